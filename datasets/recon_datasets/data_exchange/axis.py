"""Where the rotation axis falls on the detector, from views that look at each other."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["find_axis"]

Floats = NDArray[np.floating]

_PAIRS = 8
"""Pairs of opposite views that are compared, spread over the scan."""


def find_axis(views: Floats, theta: Floats) -> float | None:
    """Return the column, from 0, on which the axis of a parallel-beam scan falls; None for less than half a turn.

    Views half a turn apart are mirror images about the axis c, y(theta + pi, j) = y(theta, 2 c - j). The opposite of a
    view is interpolated between its two neighbours; where a scan ends one step before half a turn, as many do, it is
    extrapolated from the last two. The axis has the least mean squared difference over the columns that both see, to a
    fraction of a column by a parabola; it is looked for within a quarter of the detector's width of the middle.

    Parameters
    ----------
    views
        Line integrals (view, row, column).
    theta
        Angles of the views in radians.
    """
    order = np.argsort(theta, kind="stable")
    angles = theta[order]
    steps = np.diff(angles)
    if len(angles) < 3 or not (steps > 0).any():
        return None
    step = float(np.median(steps[steps > 0]))
    partners = angles + math.pi
    eligible = np.flatnonzero(partners <= angles[-1] + 1.5 * step)
    if not len(eligible):
        return None
    chosen = eligible[np.unique(np.linspace(0, len(eligible) - 1, _PAIRS).astype(int))]
    after = np.clip(np.searchsorted(angles, partners[chosen]), 1, len(angles) - 1)
    weight = (partners[chosen] - angles[after - 1]) / np.maximum(angles[after] - angles[after - 1], 1e-12)
    here = views[order[chosen]].astype(np.float64)
    left, right = views[order[after - 1]], views[order[after]]
    there = (left + weight[:, None, None] * (right - left))[..., ::-1]
    width = views.shape[-1]
    reach = max(1, min(width // 2, width - 2))
    # Moved by k columns, the mirror image about the middle is one about the middle plus k / 2.
    costs = [_difference(here, there, k) for k in range(-reach, reach + 1)]
    best = int(np.argmin(costs))
    moved = float(best - reach)
    if 0 < best < len(costs) - 1:
        before, lowest, following = costs[best - 1 : best + 2]
        bend = before - 2 * lowest + following
        moved += 0.5 * (before - following) / bend if bend > 0 else 0.0
    return (width - 1 + moved) / 2


def _difference(here: Floats, there: Floats, k: int) -> float:
    width = here.shape[-1]
    gap = here[..., k:] - there[..., : width - k] if k >= 0 else here[..., :k] - there[..., -k:]
    return float(np.square(gap).mean())
