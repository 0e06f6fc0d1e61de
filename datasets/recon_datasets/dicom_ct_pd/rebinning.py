"""Single-slice rebinning: a helical cone beam becomes the fan beams of slices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recon_datasets.dicom_ct_pd.errors import ProjectionError
from recon_datasets.dicom_ct_pd.scan import TURN, HelicalScan

__all__ = ["covered", "fan_angles", "rebin_to_fan"]

Floats = NDArray[np.float64]

SPOTS = 4
"""Largest number of positions between which a focal spot flies."""
_SAME_SPOT = 0.05
"""Shifts in mm that differ by less are one position."""


@dataclass(frozen=True, slots=True, eq=False)
class _Spot:
    """The views of one position of the focal spot, and where their cells look in the plane of the source.

    A cell's ray is the line x cos(Theta) + y sin(Theta) = t, with Theta = theta + turn, theta the view's angle.
    """

    views: NDArray[np.intp]
    theta: Floats
    ahead: float  # angle of the focal spot from the focal centre
    height: Floats  # of the focal spot, for each view
    lift: float  # of the focal spot over the focal centre
    t: Floats  # for each column
    turn: Floats
    length: Floats  # from focal spot to cell, in the plane
    distance: float  # from focal spot to the axis


def fan_angles(scan: HelicalScan) -> Floats:
    """Return the angles of the rebinned views: a turn from the scan's first view in equal steps, at the focal spot."""
    count = scan.views_per_turn
    angles = scan.theta[0] + TURN / count * np.arange(count)
    spots = _spots(scan)
    for number, spot in enumerate(spots):
        angles[number :: len(spots)] += spot.ahead
    return angles


def covered(scan: HelicalScan) -> tuple[float, float]:
    """Return the lowest and highest z in mm of a slice that is seen from a whole turn of the helix about it."""
    half = abs(scan.pitch) / 2
    low, high = sorted((float(scan.z[0]), float(scan.z[-1])))
    return low + half, high - half


def rebin_to_fan(scan: HelicalScan, z: Sequence[float]) -> tuple[NDArray[np.float32], float]:
    """Return fan-beam sinograms (slice, view, column) of the planes at `z`, and the share of rays out of the detector.

    For each line in the plane, the measured ray is taken whose projection is that line and that meets the plane where
    the line is nearest to the axis; its integral times the cosine of its inclination stands for the line's. Of all
    turns, the one whose source is nearest to the plane is taken. The fan has its source on the circle of the focal
    centre, one view at each of `fan_angles`, and the detector's columns. Between measured rays is interpolated
    linearly; without a flying focal spot, views and columns fall on measured ones, and only rows are interpolated. With
    one, each position of the spot gives every second or fourth view, seen from where its source is.

    Where the needed row lies beyond the detector, which happens at large pitch, the outermost row is taken.

    Parameters
    ----------
    scan
        The helical scan.
    z
        Heights of the planes in mm, in the scan's own coordinate.

    Raises
    ------
    ProjectionError
        If a plane is not within half a turn's travel of the scan's ends, or the focal spot has too many positions.

    References
    ----------
    Noo, Defrise and Clackdoyle, Phys. Med. Biol. 44:561, 1999, doi:10.1088/0031-9155/44/2/019
    """
    low, high = covered(scan)
    slack = 1e-3 + abs(scan.pitch) / scan.views_per_turn
    outside = [height for height in z if not low - slack <= height <= high + slack]
    if outside or high + slack < low - slack:
        raise ProjectionError(
            "RECON-CTPD-RANGE",
            f"slices need the scan half a turn above and below them: z from {low:.2f} to {high:.2f} mm can be had"
            + (f", not {outside[0]:.2f}" if outside else "; the scan is shorter than a turn"),
        )
    spots = _spots(scan)
    angles = fan_angles(scan)
    u = scan.columns() / scan.detector_length
    gamma = np.arctan(u) if scan.detector == "flat" else u
    result = np.empty((len(z), len(angles), len(gamma)), dtype=np.float32)
    beyond = 0.0
    for place, height in zip(result, z, strict=True):
        for number, spot in enumerate(spots):
            views = slice(number, None, len(spots))
            place[views], share = _fan(scan, spot, angles[views], gamma, float(height))
            beyond += share * len(angles[views]) / (len(angles) * len(z))
    return result, beyond


def _spots(scan: HelicalScan) -> list[_Spot]:
    """Group the views by the position of the focal spot, in the order in which it visits them."""
    lengths = scan.shifts * [scan.source_distance, 1, 1]
    centres: list[Floats] = []
    label = np.empty(len(lengths), dtype=np.intp)
    for index, shift in enumerate(lengths):
        near = [number for number, centre in enumerate(centres) if np.abs(shift - centre).max() < _SAME_SPOT]
        if not near:
            centres.append(shift)
        label[index] = near[0] if near else len(centres) - 1
        if len(centres) > SPOTS:
            raise ProjectionError(
                "RECON-CTPD-FFS", f"the focal spot has more than {SPOTS} positions (7033,100B to 100D); not supported"
            )
    spots = []
    for number in range(len(centres)):
        views = np.flatnonzero(label == number)
        if len(views) < len(label) // (2 * len(centres)):
            raise ProjectionError("RECON-CTPD-FFS", "the focal spot does not visit its positions in turn; unsupported")
        spots.append(_spot(scan, views))
    return spots


def _spot(scan: HelicalScan, views: NDArray[np.intp]) -> _Spot:
    turned, lift, farther = scan.shifts[views].mean(axis=0)
    # In the view's frame the focal centre is at (0, -rho) and the central ray runs up.
    distance = scan.source_distance + farther
    source = distance * np.array([math.sin(turned), -math.cos(turned)])
    u = scan.columns()
    if scan.detector == "flat":
        x, y = u, np.full_like(u, scan.detector_length)
    else:
        x, y = (scan.detector_length * f(u / scan.detector_length) for f in (np.sin, np.cos))
    x, y = x - source[0], y - scan.source_distance - source[1]
    turn = np.arctan2(-x, y)
    return _Spot(
        views=views,
        theta=scan.theta[views],
        ahead=float(turned),
        height=scan.z[views] + scan.shifts[views, 1],
        lift=float(lift),
        t=source[0] * np.cos(turn) + source[1] * np.sin(turn),
        turn=turn,
        length=np.hypot(x, y),
        distance=float(distance),
    )


def _fan(scan: HelicalScan, spot: _Spot, angles: Floats, gamma: Floats, z: float) -> tuple[NDArray[np.float32], float]:
    """Return views (view, column) of the plane at z from one position of the focal spot, and the share beyond."""
    t = scan.source_distance * np.sin(gamma)
    cells = np.arange(len(spot.t))
    column = np.interp(t, spot.t, cells)
    turn, length = np.interp(column, cells, spot.turn), np.interp(column, cells, spot.length)
    reach = np.sqrt(spot.distance**2 - t**2)  # from the focal spot to the point nearest to the axis
    theta = angles[:, None] - gamma - turn
    theta = theta + TURN * np.rint((_nearest(spot, z) - theta) / TURN)
    view = np.interp(theta, spot.theta, np.arange(len(spot.theta)))
    source = np.interp(view, np.arange(len(spot.height)), spot.height)
    v = (z - source) * length / reach
    rows = scan.values.shape[1]
    row = (v + spot.lift - scan.offset[0]) / scan.spacing[0] + (rows - 1) / 2
    inside = np.clip(row, 0, rows - 1)
    values = _interpolated(scan.values, spot.views, view, inside, np.broadcast_to(column, view.shape))
    flat = length / np.hypot(length, v)
    return (values * flat).astype(np.float32), float(((row < -0.5) | (row > rows - 0.5)).mean())


def _nearest(spot: _Spot, z: float) -> float:
    """Return the angle at which the focal spot passes the plane, also beyond the ends of the scan."""
    slope, start = np.polyfit(spot.theta, spot.height, 1)
    return float((z - start) / slope) if slope else float(spot.theta.mean())


def _interpolated(
    values: NDArray[np.float32], views: NDArray[np.intp], view: Floats, row: Floats, column: Floats
) -> NDArray[np.float32]:
    """Interpolate linearly between views, rows and columns; axes on whose samples all places fall are only read."""
    lower, weights = [], []
    for place, count in ((view, len(views)), (row, values.shape[1]), (column, values.shape[2])):
        nearest = np.rint(place)
        snapped = np.where(np.abs(place - nearest) < 1e-3, nearest, place)
        start = np.clip(np.floor(snapped), 0, max(count - 2, 0)).astype(np.intp)
        lower.append(start)
        weights.append((snapped - start).astype(np.float32))
    result = np.zeros(view.shape, dtype=np.float32)
    steps = [(0, 1) if weight.any() else (0,) for weight in weights]
    for a in steps[0]:
        of_view = views[np.minimum(lower[0] + a, len(views) - 1)]
        for b in steps[1]:
            of_row = np.minimum(lower[1] + b, values.shape[1] - 1)
            for c in steps[2]:
                share = np.ones_like(result)
                for weight, step in zip(weights, (a, b, c), strict=True):
                    share *= weight if step else 1 - weight
                result += share * values[of_view, of_row, np.minimum(lower[2] + c, values.shape[2] - 1)]
    return result
