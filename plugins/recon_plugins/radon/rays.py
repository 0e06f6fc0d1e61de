"""Joseph's model of a ray: which pixels it crosses, and with what weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from recon_plugins.radon.geometry import Geometry
from recon_plugins.radon.grid import Grid

__all__ = ["RayTable", "joseph_matrix", "matrix_entries", "ray_table"]


@dataclass(frozen=True)
class RayTable:
    """Rays in pixel coordinates, each followed along the image's rows or columns.

    A ray that crosses the rows more steeply meets row l at column alpha + gamma l; any other meets column l at row
    alpha + gamma l. Either way |gamma| <= 1, the two nearest pixels of the line are interpolated linearly, beyond the
    image there is zero, and the ray's sum over the lines times its weight is the line integral.

    Shapes: all (A, D, m); the value of a bin is the sum over its m rays.

    References
    ----------
    Joseph, IEEE Trans. Med. Imaging 1:192, 1982, doi:10.1109/TMI.1982.4307572
    """

    alpha: Tensor
    """Where the ray meets line 0, in pixels from the first one's centre, float64."""
    gamma: Tensor
    """Step from one line to the next in pixels, float64."""
    weight: Tensor
    """Length of the ray between two lines in mm, over the m rays of the bin, float64."""
    along_rows: Tensor
    """Whether the lines are the image's rows."""


def ray_table(geometry: Geometry, grid: Grid, per_bin: int = 1) -> RayTable:
    """Return the rays of a geometry through an image on a grid, `per_bin` of them a bin."""
    origin, direction = geometry.rays(per_bin)
    height, width = grid.pixel
    centre = torch.tensor(grid.centre, dtype=torch.float64)
    edges = torch.tensor([width, height], dtype=torch.float64)
    # In pixels from the image's centre, x to the right and y up.
    (x, y), (dx, dy) = ((origin - centre) / edges).unbind(-1), (direction / edges).unbind(-1)
    row, column = (grid.size[0] - 1) / 2, (grid.size[1] - 1) / 2  # of the image's centre
    along_rows = dy.abs() >= dx.abs()
    steep, shallow = torch.where(along_rows, dy, dx), torch.where(along_rows, dx, dy)
    gamma = -shallow / steep
    # Row l lies at y = row - l, column l at x = l - column.
    alpha = torch.where(along_rows, column + x - (row - y) * gamma, row - y - (column + x) * gamma)
    return RayTable(alpha, gamma, 1 / steep.abs() / per_bin, along_rows)


def joseph_matrix(rays: RayTable, size: tuple[int, ...], dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Return the projector in CSR form: row starts, pixel indices, weights in mm; one row per view and bin."""
    height, width = size
    line = torch.arange(max(size))
    counts, pixels, weights = [], [], []
    for alpha, gamma, weight, along_rows in zip(
        *(table[..., None] for table in (rays.alpha, rays.gamma, rays.weight, rays.along_rows)), strict=True
    ):
        lines, last = torch.where(along_rows, height, width), torch.where(along_rows, width, height) - 1
        crossing = alpha + gamma * line
        lower = crossing.floor()
        fraction = crossing - lower
        neighbour = torch.stack([lower, lower + 1], -1)
        share = torch.stack([1 - fraction, fraction], -1)
        inside = (neighbour >= 0) & (neighbour <= last[..., None]) & (share > 0) & (line < lines)[..., None]
        index = neighbour.long() * torch.where(along_rows, 1, width)[..., None]
        index += (line * torch.where(along_rows, width, 1))[..., None]
        counts.append(inside.sum((1, 2, 3)))
        pixels.append(index[inside].int())
        weights.append((share * weight[..., None])[inside].to(dtype))
    starts = torch.cat([torch.zeros(1, dtype=torch.long), torch.cat(counts).cumsum(0)])
    return starts, torch.cat(pixels), torch.cat(weights)


def matrix_entries(rays: RayTable, size: tuple[int, ...]) -> int:
    """Return an upper estimate of the number of entries of `joseph_matrix`, within some per cent."""
    height, width = size
    lines = torch.where(rays.along_rows, height, width)
    last = torch.where(rays.along_rows, width, height) - 1
    # The stretch of lines on which -1 < alpha + gamma line < last + 1.
    slope = rays.gamma.abs().clamp(min=1e-12)
    start = torch.where(rays.gamma < 0, rays.alpha - last, -rays.alpha)
    low, high = (start - 1) / slope, (start + last + 1) / slope
    crossed = torch.minimum(high, lines - 1.0) - low.clamp(min=0) + 1
    return int((2 * crossed.clamp(min=0)).sum())
