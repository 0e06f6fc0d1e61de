"""Joseph's projector as a table: which pixels a ray crosses, and with what weights."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["joseph_table", "table_entries"]


def joseph_table(
    size: tuple[int, int], theta: Tensor, positions: Tensor, pixel: float, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the ray table in CSR form (row starts, pixel indices, weights in mm); one row per view and bin.

    The ray of view theta at t is x cos(theta) + y sin(theta) = t. It is followed along the image's rows or columns,
    whichever it crosses more steeply, and linearly interpolated between the two nearest pixels of each; beyond the
    image there is zero. Coordinates are computed in float64.

    Shapes: theta (A,), positions (D, m) in mm: a bin is the mean of its m rays.

    References
    ----------
    Joseph, IEEE Trans. Med. Imaging 1:192, 1982, doi:10.1109/TMI.1982.4307572
    """
    height, width = size
    rays = positions.shape[1]
    counts, pixels, weights = [], [], []
    for angle in theta:
        # Pixel units, from the centre of the image's first pixel.
        t, cos, sin = positions[..., None] / pixel, angle.cos(), angle.sin()
        if cos.abs() >= sin.abs():
            line = torch.arange(height)
            y = (height - 1) / 2 - line.double()
            crossing, last = (t - y * sin) / cos + (width - 1) / 2, width - 1
            stride, offset = 1, line * width
        else:
            line = torch.arange(width)
            x = line.double() - (width - 1) / 2
            crossing, last = (height - 1) / 2 - (t - x * cos) / sin, height - 1
            stride, offset = width, line
        lower = crossing.floor()
        fraction = crossing - lower
        neighbour = torch.stack([lower, lower + 1], -1)
        weight = torch.stack([1 - fraction, fraction], -1)
        inside = (neighbour >= 0) & (neighbour <= last) & (weight > 0)
        index = neighbour.long() * stride + offset[:, None]
        counts.append(inside.sum((1, 2, 3)))
        pixels.append(index[inside].int())
        weights.append((weight[inside] * (pixel / max(cos.abs(), sin.abs()) / rays)).to(dtype))
    starts = torch.cat([torch.zeros(1, dtype=torch.long), torch.cat(counts).cumsum(0)])
    return starts, torch.cat(pixels), torch.cat(weights)


def table_entries(size: tuple[int, int], theta: Tensor, positions: Tensor, pixel: float) -> int:
    """Return an upper estimate of the number of entries of `joseph_table`, within some per cent."""
    height, width = size
    cos, sin = theta.cos().abs(), theta.sin().abs()
    steep = cos >= sin
    lines = torch.where(steep, height, width)
    length = (torch.where(steep, width, height) + 1) * pixel * torch.maximum(cos, sin)
    bins, rays = positions.shape
    spacing = float(positions[1, 0] - positions[0, 0]) if bins > 1 else float("inf")
    crossing = (length / spacing + 1).clamp(max=bins) * rays
    return int((2 * lines * crossing).sum())
