"""What reconstruction methods have in common."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from recon.errors import UsageError
from recon.operators import LinearOperator, Operator

__all__ = ["Constraint", "Output", "finish", "linear", "real_part"]

Output = Literal["as_is", "magnitude", "real"]
"""What becomes of a complex image: itself, its magnitude, its real part."""

Constraint = Literal["none", "real", "nonnegative"]
"""What images may be: anything, real, or real and nonnegative."""


def linear(operator: Operator) -> LinearOperator:
    """Return the operator without its noise; UsageError if that is not linear."""
    noiseless = operator.noiseless
    if not isinstance(noiseless, LinearOperator):
        raise UsageError(f"classical methods need a linear operator; {type(noiseless).__name__} is not one")
    return noiseless


def finish(x: Tensor, output: Output) -> Tensor:
    """Return a complex image as asked; a real one as it is, but for its magnitude."""
    if output == "magnitude":
        return x.abs()
    return real_part(x) if output == "real" else x


def real_part(x: Tensor) -> Tensor:
    """Return the real part; a real tensor itself."""
    return x.real if x.is_complex() else x
