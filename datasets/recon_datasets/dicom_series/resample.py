"""Volumes whose slices do not lie on a right-angled, even grid, brought onto one."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from recon_datasets.dicom_series.volume import Volume

__all__ = ["mixed", "untilted"]

Values = NDArray[np.float32]


def mixed(values: Values, weights: np.ndarray) -> Values:
    """Mix slices into the planes of a grid.

    Parameters
    ----------
    values
        (t, slice, y, x).
    weights
        (plane, slice): each row holds one or two weights, or NaN for a plane that no slice lies on.
    """
    out = np.empty((values.shape[0], len(weights), *values.shape[2:]), np.float32)
    for plane, row in enumerate(weights):
        if np.isnan(row).any():
            out[:, plane] = np.nan
            continue
        used = np.flatnonzero(row)
        np.multiply(values[:, used[0]], np.float32(row[used[0]]), out=out[:, plane])
        for other in used[1:]:
            out[:, plane] += values[:, other] * np.float32(row[other])
    return out


def untilted(values: Values, volume: Volume) -> tuple[Values, np.ndarray, str]:
    """Shift the slices of a tilted gantry within their planes until the grid is right-angled.

    Parameters
    ----------
    values
        (t, z, y, x).
    volume
        Where they lie.

    Returns
    -------
    :
        Values on a larger grid, linearly interpolated, with the least value where nothing was measured; the affine;
        and a note.
    """
    assert volume.affine is not None  # noqa: S101 - for the type checker: what has no place has no tilt
    planes = values.shape[1]
    shifts = [(volume.tilt[1] * k, volume.tilt[0] * k) for k in range(planes)]
    low = [math.floor(min(0.0, shifts[-1][axis])) for axis in (0, 1)]
    high = [math.ceil(max(0.0, shifts[-1][axis])) for axis in (0, 1)]
    rows, columns = values.shape[2] + high[0] - low[0], values.shape[3] + high[1] - low[1]
    outside = float(np.nanmin(values))
    out = np.empty((values.shape[0], planes, rows, columns), np.float32)
    for time in range(values.shape[0]):
        for plane, (down, right) in enumerate(shifts):
            moved = _shifted(values[time, plane], down - low[0], 0, rows, outside)
            out[time, plane] = _shifted(moved, right - low[1], 1, columns, outside)
    affine = volume.affine.copy()
    affine[:3, 2] -= volume.tilt[0] * affine[:3, 0] + volume.tilt[1] * affine[:3, 1]
    affine[:3, 3] += low[1] * affine[:3, 0] + low[0] * affine[:3, 1]
    return out, affine, "gantry tilt removed: slices shifted within their planes by linear interpolation"


def _shifted(plane: Values, by: float, axis: int, size: int, outside: float) -> Values:
    """Return a plane of `size` along `axis` whose sample `i` is the old one at ``i - by``."""
    whole = math.floor(by)
    part = np.float32(by - whole)
    shape = list(plane.shape)
    shape[axis] = size + 1
    wide = np.full(shape, outside, np.float32)
    place = [slice(None), slice(None)]
    count = min(plane.shape[axis], size - whole)
    source = list(place)
    place[axis], source[axis] = slice(whole + 1, whole + 1 + count), slice(0, count)
    wide[tuple(place)] = plane[tuple(source)]
    near, before = list(place), list(place)
    near[axis], before[axis] = slice(1, size + 1), slice(0, size)
    return (1 - part) * wide[tuple(near)] + part * wide[tuple(before)]
