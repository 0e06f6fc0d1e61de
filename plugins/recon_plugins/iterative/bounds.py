"""Bounds on the values of images."""

from __future__ import annotations

from torch import Tensor

from recon.errors import UsageError
from recon.iteration import Problem
from recon.methods import Constraint

__all__ = ["check_upper", "clamp"]


def check_upper(upper: float | None, problem: Problem) -> None:
    """Raise UsageError if complex images have an upper bound, or nonnegative ones a negative one."""
    if upper is not None and problem.backprojection.is_complex():
        raise UsageError("complex images have no upper bound: set constraint to real or nonnegative")


def clamp(x: Tensor, constraint: Constraint, upper: float | None) -> Tensor:
    """Return the nearest image within the bounds."""
    lower = 0.0 if constraint == "nonnegative" else None
    return x if lower is None and upper is None else x.clamp(min=lower, max=upper)
