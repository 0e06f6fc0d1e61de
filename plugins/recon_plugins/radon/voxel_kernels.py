"""Compiled voxel-driven back-projection of cone beams and its transpose: the slices of a volume fill the lanes.

All voxels above one another fall between the same two columns of the detector, evenly spaced along its rows, so that
each view is resampled along z as in `cone_sheet_kernels`, with volume and detector in each other's place.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from recon_plugins.radon.resampling import LANES, NARROW, WIDE, lerp_add, spread_add

__all__ = ["back_project", "project"]

UNIT = 2.0**32  # positions are in fixed point
ONE, TWO, EACH, VECTOR = (0,), (0, 0), (0,) * LANES, (0,) * LANES
GROUP = 8 * LANES
"""Slices, or rows, that are worked on together."""


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _place(table, view, row, column):  # noqa: ANN001, ANN202
    """Return the detector's column, where the first slice falls among its rows, slices' distance there, the weight."""
    coefficients, curved, scale, shift, first, step = table
    q = coefficients[0, view] + row * coefficients[1, view] + column * coefficients[2, view]
    p = coefficients[3, view] + row * coefficients[4, view] + column * coefficients[5, view]
    if curved:
        square = p * p + q * q
        near = 1 / math.sqrt(square)
        return math.atan2(q, p) * scale + shift, first[0] + first[1] * near, step * near, 1 / square
    near = 1 / p
    return q * near, first[0] + first[1] * near, step * near, near * near


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def back_project(y, bins, margin, table, begin, end, volume, slices):  # noqa: ANN001, ANN201
    """Add every view, at each voxel's place, to the volume's rows [begin, end), which this call alone writes to.

    Shapes: y (A, C + 2, margin + R + margin) flattened, zero around; volume (H, W, D'), D' being a multiple of lanes.
    """
    rows, columns = bins
    width = volume.shape[1]
    flat = volume.reshape(-1)
    run, length = volume.shape[2], y.size // (table[0].shape[1] * (columns + 2))
    end_row = rows << 32
    for bottom in range(0, slices, GROUP):
        top = min(bottom + GROUP, slices)
        for view in range(table[0].shape[1]):
            for row in range(begin, end):
                for column in range(width):
                    place, first, gap, weight = _place(table, view, row, column)
                    lower = math.floor(place)
                    if lower < -1 or lower >= columns:
                        continue
                    share = np.float32(place - lower)
                    near = (view * (columns + 2) + int(lower) + 1) * length + margin
                    far, factor, to = near + length, np.float32(weight), (row * width + column) * run
                    at, stride = int((first + bottom * gap) * UNIT), int(gap * UNIT)
                    before = -((LANES + 1) * stride) - (1 << 32)
                    for where in range(to + bottom, to + top, LANES):
                        here, at = at, at + LANES * stride
                        if here >= end_row or here <= before:
                            continue
                        if gap <= NARROW:
                            lerp_add(VECTOR, ONE, y, near, far, share, here, stride, factor, flat, where)
                        elif gap <= WIDE:
                            lerp_add(VECTOR, TWO, y, near, far, share, here, stride, factor, flat, where)
                        else:
                            lerp_add(VECTOR, EACH, y, near, far, share, here, stride, factor, flat, where)


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def project(volume, pad, table, views, y, bins, margin):  # noqa: ANN001, ANN201
    """Add the transpose of `back_project` to the views of a range of y, which this call alone writes to.

    Shapes: volume (H, W, pad + D + pad), zero around; y as there, with rows up to a multiple of lanes.
    """
    rows, columns = bins
    height, width, run = volume.shape
    flat = volume.reshape(-1)
    length, slices = y.size // (table[0].shape[1] * (columns + 2)), run - 2 * pad
    end_slice = slices << 32
    for left in range(0, rows, GROUP):
        right = min(left + GROUP, rows)
        for view in range(views[0], views[1]):
            for row in range(height):
                for column in range(width):
                    place, first, gap, weight = _place(table, view, row, column)
                    lower = math.floor(place)
                    if lower < -1 or lower >= columns:
                        continue
                    far_weight = np.float32((place - lower) * weight)
                    near_weight = np.float32(weight) - far_weight
                    inverse, distance = 1 / gap, np.float32(gap)
                    taps, stride = math.ceil(2 * inverse), int(inverse * UNIT)
                    start = (row * width + column) * run + pad
                    to = (view * (columns + 2) + int(lower) + 1) * length + margin
                    at = int((left - 1 - first) * inverse * UNIT)
                    before = -((LANES + 1) * stride) - ((taps + 1) << 32)
                    for near in range(to + left, to + right, LANES):
                        here, at = at, at + LANES * stride
                        if here >= end_slice or here <= before:
                            continue
                        far = near + length
                        if inverse <= NARROW:
                            spread_add(
                                VECTOR,
                                ONE,
                                flat,
                                start,
                                here,
                                stride,
                                distance,
                                taps,
                                y,
                                near,
                                near_weight,
                                far,
                                far_weight,
                            )
                        elif inverse <= WIDE:
                            spread_add(
                                VECTOR,
                                TWO,
                                flat,
                                start,
                                here,
                                stride,
                                distance,
                                taps,
                                y,
                                near,
                                near_weight,
                                far,
                                far_weight,
                            )
                        else:
                            spread_add(
                                VECTOR,
                                EACH,
                                flat,
                                start,
                                here,
                                stride,
                                distance,
                                taps,
                                y,
                                near,
                                near_weight,
                                far,
                                far_weight,
                            )
