"""Sums over boxes of pixels."""

from __future__ import annotations

from torch import Tensor

from recon.errors import UsageError

__all__ = ["box", "check_window"]


def box(x: Tensor, axis: int, width: int) -> Tensor:
    """Sum over `width` neighbours along one axis, centred; beyond the border there are zeros."""
    n = x.shape[axis]
    total = x.clone()
    for shift in range(1, min(width // 2, n - 1) + 1):
        total.narrow(axis, shift, n - shift).add_(x.narrow(axis, 0, n - shift))
        total.narrow(axis, 0, n - shift).add_(x.narrow(axis, shift, n - shift))
    return total


def check_window(width: int) -> None:
    """Raise UsageError unless a box of `width` pixels has one in its middle."""
    if width % 2 == 0:
        raise UsageError(f"window must be an odd number of pixels, not {width}")
