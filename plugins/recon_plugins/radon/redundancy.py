"""How much each sample of a scan counts: the angle that a view stands for, and the share of rays measured twice."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from recon.errors import UsageError
from recon_plugins.radon.geometry import FanBeam, Geometry

__all__ = ["Arc", "ShortScan", "offset_weights", "parker_weights", "sample_weights", "short_side", "view_weights"]

ShortScan = Literal["auto", "parker", "none"]

MISSING = 5
"""A gap of more than so many median gaps between neighbouring views was not measured."""


class Arc:
    """The views in their order along the arc that they cover, which starts behind the largest gap.

    Parameters
    ----------
    theta
        Angles in radians, float64, of shape (A,).
    period
        Angle after which views repeat.
    """

    def __init__(self, theta: Tensor, period: float = 2 * math.pi) -> None:
        # Rounded, so that a period and 0 plus rounding are one direction.
        direction = torch.round(theta % period, decimals=9) % round(period, 9)
        unique, index, counts = torch.unique(direction, return_inverse=True, return_counts=True)
        gaps = torch.cat([unique[1:], unique[:1] + period]) - unique
        usual = gaps.median()
        self.whole = bool(gaps.max() <= MISSING * usual)
        """Whether the views cover the whole period."""
        first = unique[(int(gaps.argmax()) + 1) % len(unique)]
        gaps = torch.where(gaps > MISSING * usual, usual, gaps)
        self.shares: Tensor = ((gaps + gaps.roll(1)) / 2 / counts)[index]
        """Angle in radians that each view stands for: half the gaps to its neighbours; equal views share theirs."""
        self.position: Tensor = ((unique - first) % period + usual / 2)[index]
        """Angle in radians of each view from the arc's start, half a usual gap before the first view."""
        self.length = period if self.whole else float(self.position.max() + usual / 2)
        """Angle in radians that the views cover, from the first to the last."""


def view_weights(theta: Tensor, period: float = math.pi) -> Tensor:
    """Return the angle in radians that each view stands for: half the gaps to its neighbours modulo the period.

    Views that see the same lines (for parallel beams theta and theta + pi) share their part. A gap of more than five
    times the median is taken as a range that was not measured, and counts as the median.
    """
    return Arc(theta, period).shares


def sample_weights(geometry: Geometry, short_scan: ShortScan = "auto") -> Tensor:
    """Return what each sample of the sinogram counts in the integral over half a turn, in radians: (A, D), float64.

    The weights of all samples that lie on one line add up to the angle that they stand for, whether the scan is half a
    turn, a short scan, a full turn or more, with a centred detector or one that sees one side only.

    Parameters
    ----------
    geometry
        Parallel or fan beam. The views' angles need not be equispaced.
    short_scan
        For fan beams that do not go all the way round. auto and parker: `parker_weights`; parker also where a full turn
        was measured; none: all rays count the same.
    """
    theta = torch.tensor(geometry.angles, dtype=torch.float64)
    turn = Arc(theta)
    sides = offset_weights(geometry) if turn.whole else None
    if isinstance(geometry, FanBeam):
        if short_scan == "parker" or (short_scan == "auto" and not turn.whole):
            return turn.shares[:, None] * parker_weights(geometry)
        if sides is None:
            sides = torch.full((geometry.bins,), min(1.0, math.pi / turn.length), dtype=torch.float64)
    elif sides is None or geometry.offset == 0:
        return view_weights(theta)[:, None].expand(-1, geometry.bins)
    return turn.shares[:, None] * sides


def parker_weights(geometry: FanBeam) -> Tensor:
    """Return Parker's weights of a fan-beam scan over less than a full turn: (A, D), float64, in [0, 1].

    The ray of view beta and fan angle gamma is seen again from beta + pi - 2 gamma at -gamma. The weights of the two
    add up to 1, and fall to zero smoothly at both ends of the arc. Arcs longer than half a turn plus the fan are used
    whole (Silver); on shorter ones, rays measured once count fully.

    Parameters
    ----------
    geometry
        Fan beam, or anything with its `angles`, `positions()` and `fan_angles(positions)`.

    References
    ----------
    Parker, Med. Phys. 9:254, 1982, doi:10.1118/1.595078; Silver, Med. Phys. 27:773, 2000, doi:10.1118/1.598939
    """
    arc = Arc(torch.tensor(geometry.angles, dtype=torch.float64))
    beta, gamma = arc.position[:, None], geometry.fan_angles(geometry.positions())
    excess = (arc.length - math.pi) / 2
    start = _share(beta, excess + gamma)
    end = _share(arc.length - beta, excess - gamma)
    return torch.minimum(start, end)


def offset_weights(geometry: Geometry) -> Tensor:
    """Return what each bin counts in a full turn, where every ray that both sides see is measured twice: (D,), float64.

    One half for a centred detector. Otherwise the strip that only one side sees counts fully, and opposite bins add up
    to 1, passing from one half to 1 and to 0 smoothly towards the edge of what both see, over the strip's width or, if
    there is less, all that both see.

    Raises
    ------
    UsageError
        If the detector does not see the centre of rotation.

    References
    ----------
    Wang, Med. Phys. 29:1634, 2002, doi:10.1118/1.1489043
    """
    t = geometry.positions()
    half = geometry.bin_size / 2
    edges = torch.stack([t[0] - half, t[-1] + half])
    if isinstance(geometry, FanBeam):
        t, edges = geometry.fan_angles(t), geometry.fan_angles(edges)
    both, furthest = float(torch.minimum(-edges[0], edges[1])), float(edges.abs().max())
    if both <= 0:
        raise UsageError("the detector does not see the centre of rotation: check offset (mm)")
    if furthest - both < 1e-9 * furthest:
        return torch.full_like(t, 0.5)
    width = min(both, furthest - both)
    rise = torch.sin(((t.abs() - both) / width + 1).clamp(0, 1) * (math.pi / 2)) ** 2
    longer = 1.0 if edges[1] > -edges[0] else -1.0
    return 0.5 + 0.5 * longer * t.sign() * rise


def short_side(geometry: Geometry, short_scan: ShortScan = "auto") -> tuple[int, int]:
    """Return how many bins of zeros to add left and right of a weighted sinogram before it is filtered.

    With a shifted detector and a full turn, opposite views together see the whole object: what the filter spreads
    beyond the shorter side of one belongs to the image as much as what lies within.
    """
    turn = Arc(torch.tensor(geometry.angles, dtype=torch.float64))
    if not turn.whole or (isinstance(geometry, FanBeam) and short_scan == "parker"):
        return 0, 0
    missing = math.ceil(round(2 * abs(geometry.offset) / geometry.bin_size, 9))
    return (missing, 0) if geometry.offset > 0 else (0, missing)


def _share(angle: Tensor, width: Tensor) -> Tensor:
    """Rise from 0 to 1 over twice the width, as a squared sine; 1 where there is no width."""
    rising = torch.sin((angle / (2 * width.clamp(min=1e-12))).clamp(0, 1) * (math.pi / 2)) ** 2
    return torch.where(width > 0, rising, 1.0)
