"""The grid of pixels or voxels on which an image lives."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from recon.errors import UsageError

__all__ = ["Grid"]


@dataclass(frozen=True)
class Grid:
    """Where the pixels of an image (H, W), or the voxels of a volume (D, H, W), lie relative to the scanner, in mm.

    Column j lies at x_j = centre_x + (j - (W - 1) / 2) dx, row i at y_i = centre_y - (i - (H - 1) / 2) dy, row 0 on
    top, slice k at z_k = centre_z + (k - (D - 1) / 2) dz. The origin is the centre of rotation.

    Parameters
    ----------
    size
        Number of pixels (H, W) or of voxels (D, H, W).
    pixel
        Edges of a pixel (dy, dx) or of a voxel (dz, dy, dx) in mm; one number for all of them.
    centre
        The image's centre (x, y) or (x, y, z) in mm; the origin by default.

    Raises
    ------
    UsageError
        If a size or an edge is not positive, or the lengths do not agree.
    """

    size: tuple[int, ...]
    pixel: tuple[float, ...]
    centre: tuple[float, ...]

    def __init__(
        self, size: Sequence[int], pixel: float | Sequence[float] = 1.0, centre: Sequence[float] | None = None
    ) -> None:
        set_ = object.__setattr__
        set_(self, "size", tuple(int(n) for n in size))
        edges = (pixel,) * len(self.size) if isinstance(pixel, (int, float)) else pixel
        set_(self, "pixel", tuple(float(edge) for edge in edges))
        set_(self, "centre", tuple(float(c) for c in ((0.0,) * len(self.size) if centre is None else centre)))
        if not len(self.size) == len(self.pixel) == len(self.centre):
            raise UsageError(f"size {self.size}, pixel {self.pixel} and centre {self.centre} must have the same length")
        if not all(n > 0 for n in self.size) or not all(0 < edge < math.inf for edge in self.pixel):
            raise UsageError(f"an image needs pixels of positive number and size, got {self.size} of {self.pixel} mm")
        if not all(math.isfinite(c) for c in self.centre):
            raise UsageError(f"the image's centre must be finite, got {self.centre}")

    @property
    def square(self) -> bool:
        """Whether a quarter turn about the centre of rotation maps the pixels of a slice onto themselves."""
        return self.size[-2] == self.size[-1] and self.pixel[-2] == self.pixel[-1] and self.centred

    @property
    def centred(self) -> bool:
        """Whether the image's centre is that of rotation."""
        return not any(self.centre)

    @property
    def radius(self) -> float:
        """Radius in mm of the circle about the centre of rotation that holds every slice."""
        half = [n * edge / 2 for n, edge in zip(self.size[-2:], self.pixel[-2:], strict=True)]
        x, y = self.centre[:2]
        return math.hypot(half[0] + abs(y), half[1] + abs(x))

    def coordinates(self) -> tuple[Tensor, ...]:
        """Return the centres of columns x (W,), rows y (H,) and, of a volume, slices z (D,) in mm, float64."""
        height, width = self.size[-2:]
        x = self.centre[0] + _centred(width) * self.pixel[-1]
        y = self.centre[1] - _centred(height) * self.pixel[-2]
        if len(self.size) == 2:
            return x, y
        return x, y, self.centre[2] + _centred(self.size[0]) * self.pixel[0]


def _centred(count: int) -> Tensor:
    return torch.arange(count, dtype=torch.float64) - (count - 1) / 2
