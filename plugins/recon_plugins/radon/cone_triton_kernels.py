"""Triton kernels of cone beams whose detector columns stay in upright planes: the arithmetic of `SheetTable`.

Every value has one writer: a program of `project` owns a block of rays, one of `back_project` a block of voxels, to
which it gathers the rays that `project` reads them for, with the same weights. Positions of a column are found in
double precision, those within a block of rows or slices from there on in the precision of the data.

Layouts: volume (H + 4, W + 4, D + 4), two zeros around; projections (A, C, R). Tables have a first axis of two: columns
that follow the volume's rows, and those that follow its columns; where a column does not, `cell` lies far outside.
"""

# ruff: noqa: ANN001, ANN201, ANN202, N803 - what is compiled has Triton's types

from __future__ import annotations

import triton
import triton.language as tl

__all__ = ["back_project", "fan_place", "interpolate", "project"]


@triton.jit(do_not_specialize=["slices", "height", "width", "views", "rows", "columns"])
def project(
    volume, cell, cell_step, first, first_step, spacing, spacing_step, flat, rise, spread, ranges, y,
    slices, height, width, views, rows, columns,
    DOUBLE: tl.constexpr, COLUMNS: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """Line integrals of a block of columns and rows of one view of one volume.

    Shapes: volume (N, H + 4, W + 4, D + 4); y (N, A, C, R); ranges (2, A, blocks of columns, 2): the lines that some
    column of the block meets.
    """
    number: tl.constexpr = tl.float64 if DOUBLE else tl.float32
    blocks = tl.cdiv(columns, COLUMNS)
    block, top = tl.program_id(0) % blocks, tl.program_id(0) // blocks * ROWS
    view, item = tl.program_id(1), tl.program_id(2).to(tl.int64)
    column = block * COLUMNS + tl.arange(0, COLUMNS)
    here, row = column < columns, tl.arange(0, ROWS)
    down, across = (width + 4).to(tl.int64) * (slices + 4), (slices + 4).to(tl.int64)
    volume += item * (height + 4) * down
    total = tl.zeros((COLUMNS, ROWS), number)
    for side in tl.static_range(2):
        bounds = ranges + ((side * views + view) * blocks + block) * 2
        begin, end = tl.load(bounds), tl.load(bounds + 1)
        ray = (side * views + view) * columns + column
        at, step = tl.load(cell + ray, mask=here, other=-1e6), tl.load(cell_step + ray, mask=here, other=0.0)
        low, climb = tl.load(first + ray, mask=here, other=0.0), tl.load(first_step + ray, mask=here, other=0.0)
        apart, widen = tl.load(spacing + ray, mask=here, other=1.0), tl.load(spacing_step + ray, mask=here, other=0.0)
        cells = height if side else width
        line_stride, cell_stride = (across, down) if side else (down, across)
        value = tl.zeros((COLUMNS, ROWS), number)
        for line in range(begin, end):
            place = at + step * line
            lower = tl.floor(place)
            share = (place - lower).to(number)[:, None]
            near = tl.minimum(tl.maximum(lower, -2.0), cells + 0.0).to(tl.int64) + 2
            gap = apart + widen * line
            z = low + climb * line + top * gap
            base = tl.floor(z)
            position = (z - base).to(number)[:, None] + gap.to(number)[:, None] * row[None, :].to(number)
            whole = tl.floor(position)
            f = position - whole
            base = tl.minimum(tl.maximum(base, -1e6), 1e6).to(tl.int32)
            k = tl.minimum(tl.maximum(base[:, None] + whole.to(tl.int32), -2), slices) + 2
            pointer = volume + (line + 2) * line_stride + (near * cell_stride)[:, None] + k
            one = (1 - share) * tl.load(pointer) + share * tl.load(pointer + cell_stride)
            two = (1 - share) * tl.load(pointer + 1) + share * tl.load(pointer + cell_stride + 1)
            value += (1 - f) * one + f * two
        across_length = tl.load(flat + ray, mask=here, other=0.0).to(number)[:, None]
        up = tl.load(rise + ray, mask=here, other=0.0)[:, None]
        up = (up + (top + row)[None, :] * tl.load(spread + ray, mask=here, other=0.0)[:, None]).to(number)
        total += tl.sqrt(across_length + up * up) * value
    target = y + ((item * views + view) * columns + column)[:, None] * rows + (top + row)[None, :]
    tl.store(target, total, mask=here[:, None] & (top + row < rows)[None, :])


@triton.jit(do_not_specialize=["slices", "height", "width", "views", "rows", "columns", "most", "taps"])
def back_project(
    y, cell, cell_step, first, first_step, spacing, spacing_step, flat, rise, spread, present,
    coefficients, scale, shift, x, slices, height, width, views, rows, columns, most, taps,
    DOUBLE: tl.constexpr, CURVED: tl.constexpr, TALL: tl.constexpr, WIDE: tl.constexpr, SLICES: tl.constexpr,
):  # fmt: skip
    """Gather the rays of all views at a block of voxels of one volume.

    Shapes: y (N, A, C, R); x (N, H, W, D); present (2, A): whether some column of the view follows rows, or columns;
    coefficients (A, 6): where pixels fall on the detector, see `ViewTable`, as q0, qi, qj, p0, pi, pj. A line of voxels
    lies between at most `most` columns, a voxel between at most `taps` rows.
    """
    number: tl.constexpr = tl.float64 if DOUBLE else tl.float32
    wide = tl.cdiv(width, WIDE)
    index = tl.arange(0, TALL * WIDE)
    i, j = tl.program_id(0) // wide * TALL + index // WIDE, tl.program_id(0) % wide * WIDE + index % WIDE
    bottom, item = tl.program_id(1) * SLICES, tl.program_id(2).to(tl.int64)
    k = tl.arange(0, SLICES)
    total = tl.zeros((TALL * WIDE, SLICES), number)
    for view in range(views):
        c = coefficients + view * 6
        q0, qi, qj = tl.load(c), tl.load(c + 1), tl.load(c + 2)
        p0, pi, pj = tl.load(c + 3), tl.load(c + 4), tl.load(c + 5)
        for side in tl.static_range(2):
            if tl.load(present + side * views + view) != 0:
                # The columns that pass within a cell lie between those of the neighbours on this line.
                di, dj = (1, 0) if side else (0, 1)
                one = _column(q0, qi, qj, p0, pi, pj, i - di, j - dj, scale, shift, CURVED)
                two = _column(q0, qi, qj, p0, pi, pj, i + di, j + dj, scale, shift, CURVED)
                start = tl.ceil(tl.minimum(one, two) - 0.05).to(tl.int32)
                line, cell_index = (j, i) if side else (i, j)
                for number_of in range(most):
                    column = start + number_of
                    valid = (column >= 0) & (column < columns)
                    ray = (side * views + view) * columns + column
                    place = tl.load(cell + ray, mask=valid, other=-1e6) + line * tl.load(
                        cell_step + ray, mask=valid, other=0.0
                    )
                    share = tl.maximum(1 - tl.abs((place - cell_index).to(number)), 0)[:, None]
                    gap = tl.load(spacing + ray, mask=valid, other=1.0) + line * tl.load(
                        spacing_step + ray, mask=valid, other=0.0
                    )
                    z = tl.load(first + ray, mask=valid, other=0.0) + line * tl.load(
                        first_step + ray, mask=valid, other=0.0
                    )
                    inverse = 1 / gap
                    u = (bottom - 1 - z) * inverse
                    base = tl.floor(u)
                    position = (u - base).to(number)[:, None] + inverse.to(number)[:, None] * k[None, :].to(number)
                    whole = tl.floor(position)
                    apart = gap.to(number)[:, None]
                    away = (1 - (position - whole)) * apart - 1
                    base = tl.minimum(tl.maximum(base, -1e6), 1e6).to(tl.int32)
                    row = base[:, None] + whole.to(tl.int32) + 1
                    across_length = tl.load(flat + ray, mask=valid, other=0.0).to(number)[:, None]
                    up = tl.load(rise + ray, mask=valid, other=0.0)[:, None]
                    slope = tl.load(spread + ray, mask=valid, other=0.0)[:, None]
                    source = y + ((item * views + view) * columns + column)[:, None] * rows
                    useful = valid[:, None] & (share > 0)
                    for _ in range(taps):
                        lift = (up + row * slope).to(number)
                        weight = tl.maximum(1 - tl.abs(away), 0) * tl.sqrt(across_length + lift * lift)
                        inside = useful & (row >= 0) & (row < rows)
                        total += share * weight * tl.load(source + row, mask=inside, other=0.0)
                        row += 1
                        away += apart
    target = x + ((item * height + i) * width + j)[:, None] * slices + (bottom + k)[None, :]
    tl.store(target, total, mask=((i < height) & (j < width))[:, None] & (bottom + k < slices)[None, :])


@triton.jit(do_not_specialize=["slices", "height", "width", "views", "rows", "columns"])
def interpolate(
    y, coefficients, numbers, x, slices, height, width, views, rows, columns,
    CURVED: tl.constexpr, TALL: tl.constexpr, WIDE: tl.constexpr, SLICES: tl.constexpr,
):  # fmt: skip
    """Sum all views' bilinear interpolation, weighted for FDK, at a block of voxels: see `voxel_driven`.

    Shapes: y (N, A, C + 3, R + 3), one zero before and two after; x (N, H, W, D); coefficients (A, 6) and numbers (5,),
    float64: the table's scale and shift, and where slices fall among rows, as in `Places`.
    """
    scale, shift = tl.load(numbers), tl.load(numbers + 1)
    first, first_step, step = tl.load(numbers + 2), tl.load(numbers + 3), tl.load(numbers + 4)
    wide = tl.cdiv(width, WIDE)
    index = tl.arange(0, TALL * WIDE)
    i, j = tl.program_id(0) // wide * TALL + index // WIDE, tl.program_id(0) % wide * WIDE + index % WIDE
    bottom, item = tl.program_id(1) * SLICES, tl.program_id(2).to(tl.int64)
    # Slices are counted from the block's middle: single precision serves nearby.
    half = tl.minimum(SLICES, slices - bottom) // 2
    middle, k = bottom + half, tl.arange(0, SLICES) - half
    total = tl.zeros((TALL * WIDE, SLICES), tl.float32)
    for view in range(views):
        c = coefficients + view * 6
        q = tl.load(c) + tl.load(c + 1) * i + tl.load(c + 2) * j
        p = tl.load(c + 3) + tl.load(c + 4) * i + tl.load(c + 5) * j
        place, _depth, near = fan_place(q, p, scale, shift, CURVED)
        lower = tl.floor(place)
        share = (place - lower).to(tl.float32)[:, None]
        inside = (lower >= -1) & (lower < columns)
        column = tl.minimum(tl.maximum(lower, -1.0), columns - 1.0).to(tl.int64) + 1
        gap = step * near
        z = first + first_step * near + middle * gap
        base = tl.floor(z)
        position = (z - base).to(tl.float32)[:, None] + gap.to(tl.float32)[:, None] * k[None, :]
        whole = tl.floor(position)
        f = position - whole
        row = tl.minimum(tl.maximum(base, -1e6), 1e6).to(tl.int32)[:, None] + whole.to(tl.int32)
        useful = inside[:, None] & (row >= -1) & (row < rows)
        source = y + ((item * views + view) * (columns + 3) + column)[:, None] * (rows + 3) + row + 1
        other = source + rows + 3
        one = (1 - share) * tl.load(source, mask=useful, other=0.0) + share * tl.load(other, mask=useful, other=0.0)
        two = (1 - share) * tl.load(source + 1, mask=useful, other=0.0)
        two += share * tl.load(other + 1, mask=useful, other=0.0)
        total += (near * near).to(tl.float32)[:, None] * ((1 - f) * one + f * two)
    target = x + ((item * height + i) * width + j)[:, None] * slices + (middle + k)[None, :]
    tl.store(target, total, mask=((i < height) & (j < width))[:, None] & (middle + k < slices)[None, :])


@triton.jit
def fan_place(q, p, scale, shift, CURVED: tl.constexpr):
    """Where a pixel falls among the detector's columns, its depth, and 1 / depth, from its numbers in `ViewTable`."""
    depth = p
    if CURVED:
        depth = tl.sqrt(p * p + q * q)
        # Half the angle's tangent is small, and its series short.
        h = q / (p + depth)
        s = h * h
        series = 1 / 11.0 - s * (1 / 13.0 - s * (1 / 15.0 - s / 17))
        angle = 2 * h * (1 - s * (1 / 3.0 - s * (1 / 5.0 - s * (1 / 7.0 - s * (1 / 9.0 - s * series)))))
        place, near = angle * scale + shift, 1 / depth
    else:
        near = 1 / p
        place = q * near
    return place, depth, near


@triton.jit
def _column(q0, qi, qj, p0, pi, pj, i, j, scale, shift, CURVED: tl.constexpr):
    """Where a pixel falls among the detector's columns."""
    q, p = q0 + qi * i + qj * j, p0 + pi * i + pj * j
    if CURVED:
        # arctan by a series on [-1, 1], whose error of 1e-5 the search's margin allows for.
        a = q / p
        steep = tl.abs(a) > 1
        t = tl.where(steep, 1 / tl.where(steep, a, 1.0), a)
        s = t * t
        angle = t * (
            0.99997726 + s * (-0.33262347 + s * (0.19354346 + s * (-0.11643287 + s * (0.05265332 - s * 0.01172120))))
        )
        angle = tl.where(steep, tl.where(a > 0, 1.5707964, -1.5707964) - angle, angle)
        place = angle * scale + shift
    else:
        place = q / p
    return place
