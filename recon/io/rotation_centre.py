"""Where the axis of rotation falls on the detector."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from recon.building import build
from recon.errors import UsageError

__all__ = ["find_centre"]

_BINS = 64, 192
"""Detector bins to which a sinogram is brought down for the first trial reconstructions, and for the last."""
_ROWS = 4
"""Detector rows, spread over the detector, that trial reconstructions use."""
_SEEN = 16, 32
"""Pairs of opposite views, spread over the scan, and detector rows that are compared."""
_LEVEL = 0.05
"""Largest deviation from half a turn at which two views count as opposite, in steps between views."""
_FINE = math.radians(2.5)
"""Largest step between views between which an opposite view is interpolated."""


def find_centre(
    y: Tensor,
    angles: Sequence[float] | Tensor,
    *,
    bin_size: float = 1.0,
    reach: float | None = None,
    method: Literal["auto", "opposite", "negative"] = "auto",
) -> float:
    """Return the detector's `offset` in mm, of a parallel-beam scan over half a turn or more.

    The axis falls on bin (D - 1) / 2 - offset / bin_size, and ``offset=`` of `radon` takes the result as it is.

    opposite: views half a turn apart are mirror images, y(theta + pi, t) = y(theta, -t). The shift is sought at which
    their mean squared difference, over the bins that both see, is least. Precise to a fraction of a bin, also where the
    object is wider than the detector. Between views at most 2.5 degrees apart the opposite one is interpolated, and
    extrapolated where a scan ends one step before half a turn, as many do. negative: a wrong axis drives a
    reconstruction (the method `fbp`) below zero beside every edge (Donath et al., 2006). The shift is sought at which
    the sum of negative values is least, on a coarser detector; needs no opposite views, but an object within the
    detector.

    Parameters
    ----------
    y
        Line integrals (view, bin) or (view, row, bin); the axis is parallel to the detector's columns.
    angles
        Angles of the views in radians.
    bin_size
        Width of a bin in mm.
    reach
        Largest offset that is looked at, in mm; by default a quarter of the detector's width.
    method
        auto takes opposite views where there are any, and else trial reconstructions.

    Raises
    ------
    UsageError
        If shapes do not fit, views cover less than half a turn, line integrals are not finite, opposite views are asked
        for and missing, or the best shift is the last one within reach.

    References
    ----------
    Donath, Beckmann and Schreyer, J. Opt. Soc. Am. A 23:1048, 2006, doi:10.1364/JOSAA.23.001048
    """
    theta = torch.as_tensor(angles, dtype=torch.float64).cpu()
    if y.ndim not in (2, 3) or len(y) != len(theta) or len(theta) < 2:
        raise UsageError(f"line integrals (view, bin) or (view, row, bin) of {len(theta)} angles, got {tuple(y.shape)}")
    if not bool(y.isfinite().all()):
        raise UsageError("line integrals are not finite: give the raw counts' flat_field a floor first")
    views = (y if y.ndim == 3 else y[:, None]).detach()
    limit = views.shape[-1] / 4 if reach is None else reach / bin_size
    pairs = None if method == "negative" else _pairs(views, theta)
    if pairs is not None:
        found = _opposite(*pairs, limit)
    elif method == "opposite":
        raise UsageError("no two views are half a turn apart: use method='negative'")
    elif float(theta.max() - theta.min()) + 1.5 * _step(theta) < math.pi:
        raise UsageError("views cover less than half a turn, which does not tell the axis")
    else:
        found = _negative(views, theta, limit)
    return found * bin_size


def _step(theta: Tensor) -> float:
    gaps = theta.sort().values.diff()
    return float(gaps[gaps > 1e-6].median()) if bool((gaps > 1e-6).any()) else math.pi


def _pairs(views: Tensor, theta: Tensor) -> tuple[Tensor, Tensor] | None:
    """Return views and the mirror images of those half a turn on, both (pair, row, bin); None if there are none."""
    angles, order = theta.sort()
    step = _step(theta)
    partner = angles + math.pi
    after = torch.searchsorted(angles, partner).clamp(1, len(angles) - 1)
    before = after - 1
    gap = angles[after] - angles[before]
    share = (partner - angles[before]) / gap.clamp(min=1e-12)
    exact = torch.minimum((partner - angles[before]).abs(), (partner - angles[after]).abs()) <= _LEVEL * step
    fine = (step <= _FINE) & (gap <= 1.5 * step)
    chosen = torch.nonzero(exact | (fine & (share <= 1))).flatten()
    if not len(chosen):
        chosen = torch.nonzero(fine & (partner <= angles[-1] + 1.5 * step)).flatten()
    if not len(chosen):
        return None
    chosen = chosen[_spread(len(chosen), _SEEN[0])]
    rows = _spread(views.shape[1], _SEEN[1])

    def at(index: Tensor) -> Tensor:
        return views[order[index].to(views.device)][:, rows].cpu().double()

    there = torch.lerp(at(before[chosen]), at(after[chosen]), share[chosen, None, None])
    return at(chosen), there.flip(-1)


def _spread(count: int, most: int) -> Tensor:
    """Return at most so many of `count` indices, equispaced from the first to the last."""
    return torch.linspace(0, count - 1, min(count, most), dtype=torch.float64).round().long()


def _opposite(first: Tensor, mirrored: Tensor, limit: float) -> float:
    size = first.shape[-1]
    last = min(int(2 * limit), size - 2)
    costs = []
    # An offset of k half bins moves the mirror image by k bins.
    for k in range(-last, last + 1):
        here, there = (first[..., : size - k], mirrored[..., k:]) if k >= 0 else (first[..., -k:], mirrored[..., :k])
        costs.append(float((here - there).square().mean()))
    return (_lowest(costs) - last) / 2


def _negative(views: Tensor, theta: Tensor, limit: float) -> float:
    low, high, found = -limit, limit, 0.0
    for bins in _BINS:
        factor = max(1, round(views.shape[-1] / bins))
        # Whole steps of a bin through the whole reach, then half ones about the best.
        step = factor if bins == _BINS[0] else factor / 2
        count = max(3, round((high - low) / step) + 1)
        offsets = torch.linspace((low + high - (count - 1) * step) / 2, (low + high + (count - 1) * step) / 2, count)
        every = max(1, len(views) // 90) if bins == _BINS[0] else 1
        negative = _Negative(views[::every], theta[::every], factor)
        found = float(offsets[0]) + step * _lowest([negative(float(offset)) for offset in offsets])
        low, high = found - 1.5 * factor, found + 1.5 * factor
    return found


class _Negative:
    """Sum of the negative values of a reconstruction from views on a detector that is coarser by a factor."""

    def __init__(self, views: Tensor, theta: Tensor, factor: int) -> None:
        self.factor, self.bins = factor, views.shape[-1] // factor
        spare = views.shape[-1] - self.bins * factor
        left = spare // 2
        self.moved = spare / 2 - left  # by how much the detector's middle moves
        cut = views[:, _spread(views.shape[1], _ROWS), left : left + self.bins * factor].cpu().double()
        coarse = cut.reshape(*cut.shape[:-1], self.bins, factor).mean(-1)
        self.y, self.theta = coarse.movedim(1, 0)[:, None].float(), theta.tolist()
        along = torch.arange(self.bins) - (self.bins - 1) / 2
        self.inside = torch.hypot(along, along[:, None]) < self.bins / 2 - 1
        self.fbp = build("method", "fbp")

    def __call__(self, offset: float) -> float:
        radon = build(
            "operator",
            {
                "use": "radon",
                "size": [self.bins, self.bins],
                "angles": self.theta,
                "bins": self.bins,
                "offset": (offset - self.moved) / self.factor,
            },
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the object leaves the detector is seen in the result, if anywhere
            x = self.fbp(self.y, radon)
        return -float(x[..., self.inside].clamp(max=0).sum())


def _lowest(costs: list[float]) -> float:
    """Return where the costs are least, between indices, by the parabola through the three lowest neighbours."""
    index = min(range(len(costs)), key=costs.__getitem__)
    if index in (0, len(costs) - 1):
        raise UsageError("the best offset is the largest one that was tried: give a larger reach, or check the angles")
    before, here, after = costs[index - 1 : index + 2]
    bend = before - 2 * here + after
    return index + (0.5 * (before - after) / bend if bend > 0 else 0.0)
