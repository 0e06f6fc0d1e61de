"""From few samples about the centre of k-space to values on any grid of the image."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["axes_of", "evaluate", "refine", "waves"]


def axes_of(size: Sequence[int], step: int, device: torch.device) -> list[Tensor]:
    """Return every `step`-th pixel of each axis, counted from the centre: -(n // 2), -(n // 2) + step, ..."""
    return [torch.arange(0, n, step, device=device) - n // 2 for n in size]


def waves(offsets: Tensor, pixels: Tensor, n: int, dtype: torch.dtype) -> Tensor:
    """Return exp(2 pi i k r / n) for whole offsets k from the zero frequency (rows) and whole pixels r (columns).

    The phase is computed in double precision from k r modulo n: large phases lose digits.
    """
    angle = (offsets[:, None] * pixels[None] % n).double() * (2 * math.pi / n)
    return torch.polar(torch.ones_like(angle), angle).to(dtype)


def evaluate(k: Tensor, pixels: Sequence[Tensor], size: Sequence[int]) -> Tensor:
    """Sum the waves of a small block of k-space at some pixels: an inverse transform without padding nor scale.

    Shapes: k (..., *block) -> (..., *pixels). The block's index n // 2 is taken for the zero frequency.
    """
    for axis, at, n in zip(range(-len(size), 0), pixels, size, strict=True):
        offsets = torch.arange(k.shape[axis], device=k.device) - k.shape[axis] // 2
        k = torch.movedim(torch.movedim(k, axis, -1) @ waves(offsets, at, n, k.dtype), -1, axis)
    return k


def refine(x: Tensor, size: Sequence[int], step: int) -> Tensor:
    """Interpolate values at every `step`-th pixel to all of them, by cubic convolution along each axis in turn.

    Shapes: x (..., *coarse) -> (..., *size). Beyond the last value of an axis the last one is repeated.

    References
    ----------
    Keys, IEEE Trans. Acoust. 29:1153, 1981, doi:10.1109/TASSP.1981.1163711
    """
    for axis, n in zip(range(-len(size), 0), size, strict=True):
        matrix = _cubic(x.shape[axis], n, step).to(x.device, x.dtype)
        x = torch.movedim(torch.movedim(x, axis, -1) @ matrix, -1, axis)
    return x


def _cubic(coarse: int, n: int, step: int) -> Tensor:
    place = torch.arange(n, dtype=torch.float64) / step
    matrix = torch.zeros(coarse, n, dtype=torch.float64)
    for tap in range(-1, 3):
        index = place.floor().long() + tap
        d = (place - index).abs()
        near = (1.5 * d - 2.5) * d**2 + 1
        far = ((-0.5 * d + 2.5) * d - 4) * d + 2
        weight = torch.where(d <= 1, near, torch.where(d < 2, far, 0))
        matrix.index_put_((index.clamp(0, coarse - 1), torch.arange(n)), weight, accumulate=True)
    return matrix
