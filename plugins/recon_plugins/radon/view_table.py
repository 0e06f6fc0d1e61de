"""Where each pixel falls on the detector, view by view."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from recon.errors import UsageError
from recon_plugins.radon.geometry import FanBeam, Geometry
from recon_plugins.radon.grid import Grid

__all__ = ["TAPS", "Interpolation", "ViewTable", "view_table"]

Interpolation = Literal["linear", "cubic"]
TAPS: dict[Interpolation, int] = {"linear": 2, "cubic": 4}
"""Bins that a pixel's value is interpolated from."""


@dataclass(frozen=True)
class ViewTable:
    """For every view, two numbers q and p that are linear in a pixel's row and column, and what follows from them.

    ========  ===============================  ==================
    beam      bin                              weight
    ========  ===============================  ==================
    parallel  q                                1
    flat      q / p                            1 / p^2
    curved    scale arctan(q / p) + shift      1 / (p^2 + q^2)
    ========  ===============================  ==================

    The weight is that of filtered back-projection: for a fan (source distance / depth of the pixel)^2, depth being
    measured from the source at right angles to a flat detector, or along the ray to a curved one.

    References
    ----------
    Kak and Slaney, Principles of Computerized Tomographic Imaging, 2001, doi:10.1137/1.9780898719277 (section 3.4)
    """

    beam: Literal["parallel", "flat", "curved"]
    bins: int
    coefficients: Tensor
    """q at pixel (0, 0), its step from row to row and from column to column; likewise p: (6, A), float64."""
    scale: float = 1.0
    shift: float = 0.0

    def look_up(self, views: slice, size: tuple[int, ...], taps: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return the bins that each pixel is interpolated from, and their shares: (H W, V, taps), int64 and float64.

        Bins are counted in rows with `taps` zeros added on either side, view after view.
        """
        q0, qi, qj, p0, pi, pj = self.coefficients[:, views].to(device)
        row = torch.arange(size[0], dtype=torch.float64, device=device)[:, None, None]
        column = torch.arange(size[1], dtype=torch.float64, device=device)[:, None]
        q, p = q0 + qi * row + qj * column, p0 + pi * row + pj * column
        if self.beam == "curved":
            position, weight = torch.atan2(q, p) * self.scale + self.shift, 1 / (p * p + q * q)
        elif self.beam == "flat":
            position, weight = q / p, 1 / (p * p)
        else:
            position, weight = q, torch.ones_like(q)
        lower = position.floor()
        f = position - lower
        if taps == 2:
            shares = torch.stack([1 - f, f], -1)
        else:  # Keys' cubic convolution with a = -1/2
            shares = torch.stack(
                [
                    ((1 - 0.5 * f) * f - 0.5) * f,
                    (1.5 * f - 2.5) * f * f + 1,
                    ((2 - 1.5 * f) * f + 0.5) * f,
                    (0.5 * f - 0.5) * f * f,
                ],
                -1,
            )
        first = (lower - (taps // 2 - 1)).clamp(-taps, self.bins).long() + taps
        first = first + torch.arange(len(q0), device=device) * (self.bins + 2 * taps)
        cells = first[..., None] + torch.arange(taps, device=device)
        return cells.flatten(0, 1), (shares * weight[..., None]).flatten(0, 1)


def view_table(geometry: Geometry, grid: Grid) -> ViewTable:
    """Return the table of a scan and an image's grid.

    Raises
    ------
    UsageError
        If the source, or the plane through it along the detector, meets the image's circle.
    """
    theta = torch.tensor(geometry.angles, dtype=torch.float64)
    x, y = (axis[0] for axis in grid.coordinates())
    dy, dx = grid.pixel
    cos, sin = theta.cos(), theta.sin()
    across = torch.stack([x * cos + y * sin, -dy * sin, dx * cos])
    start = (geometry.bins - 1) / 2 - geometry.offset / geometry.bin_size
    one = torch.zeros_like(across)
    one[0] = 1
    if not isinstance(geometry, FanBeam):
        return ViewTable("parallel", geometry.bins, torch.cat([across / geometry.bin_size + start * one, one]))
    source = geometry.source_distance
    if grid.radius >= source * math.cos(geometry.tilt):
        raise UsageError(
            f"the image's circle, {grid.radius:g} mm about the centre of rotation, reaches the source at {source:g} mm "
            "(or its plane along the tilted detector): reconstruct a smaller image"
        )
    across = across / source
    depth = one + torch.stack([y * cos - x * sin, -dy * cos, -dx * sin]) / source
    unit = geometry.length / geometry.bin_size
    if geometry.detector == "curved":
        return ViewTable("curved", geometry.bins, torch.cat([across, depth]), unit, start)
    depth = math.cos(geometry.tilt) * depth - math.sin(geometry.tilt) * across
    return ViewTable("flat", geometry.bins, torch.cat([unit * across + start * depth, depth]))
