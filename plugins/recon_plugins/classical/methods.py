"""Reconstruction by the adjoint and by least squares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt
from torch import Tensor

from recon.methods import Output, finish, linear
from recon.operators import Operator

__all__ = ["AdjointMethod", "PinvMethod"]


@dataclass(frozen=True, kw_only=True)
class AdjointMethod:
    """The adjoint x = A^H y: for k-space the zero-filled image, for sinograms the unfiltered back-projection.

    Shapes: y as the operator gives it -> x (batch, channel, *space).

    Parameters
    ----------
    output
        What becomes of a complex image: ``as_is``, its ``magnitude`` (what one compares with magnitude images) or its
        ``real`` part.
    """

    output: Output = "as_is"

    def __call__(self, y: Tensor, operator: Operator) -> Tensor:
        """Reconstruct."""
        return finish(linear(operator).adjoint(y), self.output)


@dataclass(frozen=True, kw_only=True)
class PinvMethod:
    """Least squares x = argmin |A x - y|^2 + damping |x|^2 by conjugate gradients on the normal equations, from 0.

    Without damping this tends to the solution of least norm, and few iterations are a regularisation of their own. With
    coil maps it is CG-SENSE. Shapes: y as the operator gives it -> x (batch, channel, *space).

    Parameters
    ----------
    iterations, tolerance
        Stop after so many steps, or when the residual of the normal equations has fallen by this factor (0: never
        look).
    damping
        Weight of |x|^2.
    output
        What becomes of a complex image: ``as_is``, its ``magnitude`` or its ``real`` part.

    References
    ----------
    Hestenes and Stiefel, J. Res. Natl. Bur. Stand. 49:409, 1952, doi:10.6028/jres.049.044
    """

    iterations: Annotated[int, Gt(0)] = 50
    damping: Annotated[float, Ge(0)] = 0.0
    tolerance: Annotated[float, Ge(0)] = 1e-6
    output: Output = "as_is"

    def __call__(self, y: Tensor, operator: Operator) -> Tensor:
        """Reconstruct."""
        a = linear(operator)
        x = a.pinv(y, iterations=self.iterations, tolerance=self.tolerance, damping=self.damping)
        return finish(x, self.output)
