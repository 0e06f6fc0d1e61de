"""Where the pixels lie that a bin is interpolated at: in a wedge about its ray."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from recon_plugins.radon.view_table import ViewTable

__all__ = ["Wedges"]

SLACK = 1e-3
"""Pixels by which wedges are widened, more than the rounding of their ends; weights decide what counts."""
FAR = 2.0**20
"""Pixels to an end that lies nowhere."""
RAYS = 2**20
"""Rays looked at together."""


@dataclass(frozen=True)
class Wedges:
    """What pixel-driven interpolation by `taps` bins reads each bin for, along lines of the image.

    A wedge lies between the rays of the places taps / 2 before and after the bin. Lines are rows or columns, whichever
    the bin's own ray crosses more steeply. Rays are straight, so that where they cross a line is linear in the line's
    number.
    """

    crossings: Tensor
    """Where a bin's ray crosses line 0, and the step from line to line, with 32 bits of fraction: (A, D, 2), int64."""
    shape: Tensor
    """How fast q - place p (see `ViewTable`) grows along a line; from the crossing to the wedge's begin on line 0, and
    the step; the depth p at the crossing (of a curved detector, along the ray) on line 0, its step, and its growth
    along a line: (A, D, 6), float32."""
    lines: Tensor
    """1 where lines are columns; those that meet the wedge, as [begin, end); most pixels of one: (A, D, 4), int32."""

    @classmethod
    def of(cls, table: ViewTable, size: tuple[int, ...], taps: int, device: torch.device) -> Self:
        """Return the wedges of all bins, found in double precision on the device."""
        views, step = table.coefficients.shape[1], max(1, RAYS // table.bins)
        bins = _directions(table, taps // 2).to(device)
        parts = [
            _wedges(table, size, table.coefficients[:, first : first + step].to(device), bins, taps // 2)
            for first in range(0, views, step)
        ]
        return cls(*(torch.cat(tensors) for tensors in zip(*parts, strict=True)))

    def usual(self) -> int:
        """Return how many pixels of a line are enough for nearly all wedges, at most 8."""
        widths = self.lines[..., 3].float().flatten()[:: max(1, self.lines[..., 3].numel() // RAYS)]
        return max(1, min(8, math.ceil(float(widths.quantile(0.95)))))


def _directions(table: ViewTable, half: int) -> Tensor:
    """Where pixels fall on a bin, from `half` bins before the first to as many after the last: at q cos = p sin.

    Gives cosine and sine of the fan angle on a curved detector, else 1 and the bin's number: (half + D + half, 2).
    """
    place = torch.arange(-half, table.bins + half, dtype=torch.float64)
    if table.beam == "curved":
        angle = (place - table.shift) / table.scale
        return torch.stack([angle.cos(), angle.sin()], 1)
    return torch.stack([torch.ones_like(place), place], 1)


def _wedges(
    table: ViewTable, size: tuple[int, ...], coefficients: Tensor, bins: Tensor, half: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return crossings, shape and lines of some views' wedges."""
    q, qi, qj, p, pi, pj = coefficients[:, :, None]
    before, middle, after = (bins[first : first + table.bins].T for first in (0, half, 2 * half))
    turned = (qi * middle[0] - pi * middle[1]).abs() > (qj * middle[0] - pj * middle[1]).abs()
    ql, qc, pl, pc = (torch.where(turned, a, b) for a, b in ((qj, qi), (qi, qj), (pj, pi), (pi, pj)))
    lines, cells = torch.where(turned, size[1], size[0]), torch.where(turned, size[0], size[1])

    def crossing(cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """How fast q cos - p sin grows along a line, where it is 0 on line 0, and the step; of rays that cross."""
        grows = qc * cos - pc * sin
        return grows, (p * sin - q * cos) / grows, (pl * sin - ql * cos) / grows

    slope, at, step = crossing(*middle)
    # So far out that nothing is met, but not beyond what fixed point holds.
    at = at.clamp(-(2.0**28), 2.0**28)

    def end(cos: Tensor, sin: Tensor, side: int) -> tuple[Tensor, Tensor]:
        """From the crossing of the bin's ray to that of the ray of one end, on line 0, and the step."""
        grows, place, moves = crossing(cos, sin)
        # A ray that hardly crosses the line, or the other way, does not end the wedge there.
        ends = grows / slope > 0.25
        return torch.where(ends, place - at, side * slope.sign() * FAR), torch.where(ends, moves - step, 0.0)

    one, two = end(before[0], before[1], -1), end(after[0], after[1], 1)
    low, low_step = (torch.where(slope > 0, a, b) for a, b in zip(one, two, strict=True))
    high, high_step = (torch.where(slope > 0, b, a) for a, b in zip(one, two, strict=True))
    low, high = low - SLACK, high + SLACK
    # Lines on which the wedge ends after the first pixel, and begins before the last.
    first, last = _not_negative(at + high, step + high_step)
    other_first, other_last = _not_negative(cells - 1 - at - low, -step - low_step)
    begin = torch.maximum(first, other_first).clamp(min=0).minimum(lines + 0.0).ceil()
    stop = torch.minimum(last, other_last).clamp(min=-1).minimum(lines - 1.0).floor() + 1
    widest = torch.maximum(*(high - low + (high_step - low_step) * line for line in (begin, stop - 1)))
    most = torch.where(begin < stop, widest.clamp(min=0).minimum(cells - 1.0).floor() + 1, 0.0)
    if table.beam == "curved":
        cos, sin = middle
        p, pl, pc = p * cos + q * sin, pl * cos + ql * sin, pc * cos + qc * sin
    shape = torch.stack([slope, low, low_step, p + pc * at, pl + pc * step, pc.expand_as(at)], -1)
    crossings = (torch.stack([at, step], -1) * 2.0**32).round().long()
    return crossings, shape.float(), torch.stack([turned, begin, stop, most], -1).int()


def _not_negative(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """First and last number, whole or not, at which a + b number >= 0."""
    root = -a / torch.where(b.abs() < 1e-9, 1e-9, b)
    rising = b > -1e-9
    return torch.where(rising, root, -FAR), torch.where(rising, FAR, root)
