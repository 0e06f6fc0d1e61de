"""Compiled kernels for rays whose detector columns stay in upright planes: the rows of the detector fill the lanes.

All rays of a column cross a line of the volume's slices between the same two voxels, which are blended once for all of
them; what each ray reads is then a resampling of that blend along z (`resampling`). Memory is walked in blocks of lines
and of rows that fit the processor's caches.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from recon_plugins.radon.resampling import LANES, NARROW, WIDE, lerp_add, spread_add

__all__ = ["back_project", "project", "weigh"]

UNIT = 2.0**32  # positions are in fixed point
ONE, TWO, EACH, VECTOR = (0,), (0, 0), (0,) * LANES, (0,) * LANES
SHARDS = 8
"""Vectors of rows, or of slices, that are worked on together."""


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _crossed(cell, step, cells, begin, end):  # noqa: ANN001, ANN202
    """Return the lines of a range on which -1 < cell + step line < cells, perhaps with one more on either side."""
    if abs(step) < 1e-9:
        return (begin, end) if -1 < cell < cells else (begin, begin)
    a, b = (-1 - cell) / step, (cells - cell) / step
    low, high = min(a, b), max(a, b)
    return max(begin, int(max(low, -1.0))), min(end, int(max(min(high, 1e9), -2.0)) + 2)


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def project(volume, shape, pad, table, rows, views, depth, y, margin):  # noqa: ANN001, ANN201
    """Add to y, for the views of a range, the sums of the volume along their rays.

    Shapes: volume (H + 2, W + 2, pad + D + pad) flattened, zero around; y (A, C, margin + R' + margin) flattened, R'
    being a multiple of the lanes. `depth` lines are worked on at a time.
    """
    slices, height, width = shape
    along_rows, cell, cell_step, first, first_step, spacing, spacing_step = table
    columns = cell.shape[1]
    run = -(-slices // LANES) * LANES + 2 * pad
    row_stride, length = (width + 2) * run, y.size // (cell.shape[0] * columns)
    group, end = SHARDS * LANES, slices << 32
    for top in range(0, max(height, width), depth):
        for left in range(0, rows, group):
            right = min(left + group, rows)
            for view in range(views[0], views[1]):
                for column in range(columns):
                    if along_rows[view, column]:
                        lines, cells, line_stride, cell_stride = height, width, row_stride, run
                    else:
                        lines, cells, line_stride, cell_stride = width, height, run, row_stride
                    start, step = cell[view, column], cell_step[view, column]
                    low, high = _crossed(start, step, cells, top, min(top + depth, lines))
                    to = (view * columns + column) * length + margin
                    for line in range(low, high):
                        place = start + step * line
                        lower = math.floor(place)
                        if lower < -1 or lower >= cells:
                            continue
                        near = (line + 1) * line_stride + (int(lower) + 1) * cell_stride + pad
                        share = np.float32(place - lower)
                        gap = spacing[view, column] + spacing_step[view, column] * line
                        height_0 = first[view, column] + first_step[view, column] * line
                        z, stride = int((height_0 + left * gap) * UNIT), int(gap * UNIT)
                        far, bottom, one = near + cell_stride, -((LANES + 1) * stride) - (1 << 32), np.float32(1)
                        for where in range(to + left, to + right, LANES):
                            at, z = z, z + LANES * stride
                            if at >= end or at <= bottom:
                                continue
                            if gap <= NARROW:
                                lerp_add(VECTOR, ONE, volume, near, far, share, at, stride, one, y, where)
                            elif gap <= WIDE:
                                lerp_add(VECTOR, TWO, volume, near, far, share, at, stride, one, y, where)
                            else:
                                lerp_add(VECTOR, EACH, volume, near, far, share, at, stride, one, y, where)


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def back_project(volume, shape, pad, table, rows, begin, stop, upright, y, margin):  # noqa: ANN001, ANN201
    """Add y along its rays to the volume's lines [begin, stop), which this call alone writes to.

    The lines are rows if `upright`, and then only rays that follow rows count; else columns. Shapes as for `project`.
    """
    slices, height, width = shape
    along_rows, cell, cell_step, first, first_step, spacing, spacing_step = table
    views, columns = cell.shape
    run = -(-slices // LANES) * LANES + 2 * pad
    length = y.size // (views * columns)
    group, end = SHARDS * LANES, rows << 32
    if upright:
        cells, line_stride, cell_stride = width, (width + 2) * run, run
    else:
        cells, line_stride, cell_stride = height, run, (width + 2) * run
    for bottom in range(0, slices, group):
        top = min(bottom + group, slices)
        for view in range(views):
            for column in range(columns):
                if along_rows[view, column] != upright:
                    continue
                start, step = cell[view, column], cell_step[view, column]
                low, high = _crossed(start, step, cells, begin, stop)
                first_row = (view * columns + column) * length + margin
                for line in range(low, high):
                    place = start + step * line
                    lower = math.floor(place)
                    if lower < -1 or lower >= cells:
                        continue
                    near = (line + 1) * line_stride + (int(lower) + 1) * cell_stride + pad
                    share = np.float32(place - lower)
                    rest = np.float32(1) - share
                    gap = spacing[view, column] + spacing_step[view, column] * line
                    height_0 = first[view, column] + first_step[view, column] * line
                    inverse, distance = 1 / gap, np.float32(gap)
                    taps = math.ceil(2 * inverse)
                    row, stride = int((bottom - 1 - height_0) * inverse * UNIT), int(inverse * UNIT)
                    before = -(LANES * stride) - ((taps + 1) << 32)
                    for where in range(near + bottom, near + top, LANES):
                        at, row = row, row + LANES * stride
                        if at >= end or at <= before:
                            continue
                        far = where + cell_stride
                        if inverse <= NARROW:
                            spread_add(
                                VECTOR, ONE, y, first_row, at, stride, distance, taps, volume, where, rest, far, share
                            )
                        elif inverse <= WIDE:
                            spread_add(
                                VECTOR, TWO, y, first_row, at, stride, distance, taps, volume, where, rest, far, share
                            )
                        else:
                            spread_add(
                                VECTOR, EACH, y, first_row, at, stride, distance, taps, volume, where, rest, far, share
                            )


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def weigh(lengths, rows, views, y, margin):  # noqa: ANN001, ANN201
    """Multiply the rays of a range of views by their length between two lines. Shapes: y as for `project`."""
    flat, rise, spread = lengths
    columns = flat.shape[1]
    length = y.size // flat.size
    for view in range(views[0], views[1]):
        for column in range(columns):
            level, base, step = flat[view, column], rise[view, column], spread[view, column]
            start = np.uint64((view * columns + column) * length + margin)
            for row in range(np.uint64(rows)):
                up = base + step * np.float64(row)
                y[start + row] *= np.float32(math.sqrt(level + up * up))
