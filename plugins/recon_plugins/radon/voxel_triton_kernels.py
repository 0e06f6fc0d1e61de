"""The Triton kernel of the transpose of voxel-driven back-projection (`interpolate` of `cone_triton_kernels`).

It gathers: the voxels that the bins of a detector column are interpolated at stand above the pixels that a bin of the
middle plane's fan is interpolated at, and fall evenly spaced along the column. Every bin has one writer, which sums in
one order.
"""

# ruff: noqa: ANN001, ANN201, N803 - what is compiled has Triton's types

from __future__ import annotations

import triton
import triton.language as tl

from recon_plugins.radon.cone_triton_kernels import fan_place
from recon_plugins.radon.pixel_triton_kernels import first_pixel, lines_of_block

__all__ = ["spread"]


@triton.jit(do_not_specialize=["slices", "height", "width", "views", "rows", "columns", "taps"])
def spread(
    x, coefficients, crossings, shapes, met, numbers, y, slices, height, width, views, rows, columns, taps,
    CURVED: tl.constexpr, COLUMNS: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """Sum, in a block of columns and rows of one view of one volume, the voxels that are interpolated from its bins.

    Shapes: x (N, H, W, D); y (N, A, C, R); coefficients (A, 6) and numbers (5,) as for `interpolate`; crossings
    (A, C, 2), shapes (A, C, 6) and met (A, C, 4): the tables of `Wedges`. At most `taps` slices of a line of voxels
    fall within a row of a bin.
    """
    blocks = tl.cdiv(columns, COLUMNS)
    column = tl.program_id(0) % blocks * COLUMNS + tl.arange(0, COLUMNS)
    top, view, item = tl.program_id(0) // blocks * ROWS, tl.program_id(1), tl.program_id(2).to(tl.int64)
    here, half = column < columns, tl.minimum(ROWS, rows - top) // 2
    middle, row = top + half, tl.arange(0, ROWS) - half
    scale, shift = tl.load(numbers), tl.load(numbers + 1)
    first, first_step, slice_step = tl.load(numbers + 2), tl.load(numbers + 3), tl.load(numbers + 4)
    slices_a_row = 1 / slice_step
    c = coefficients + view * 6
    q0, qi, qj = tl.load(c), tl.load(c + 1), tl.load(c + 2)
    p0, pi, pj = tl.load(c + 3), tl.load(c + 4), tl.load(c + 5)
    ray = view * columns + column
    cross = tl.load(crossings + 2 * ray, mask=here, other=0)
    step = tl.load(crossings + 2 * ray + 1, mask=here, other=0)
    low_step = tl.load(shapes + 6 * ray + 2, mask=here, other=0.0)
    x += item * height * width * slices
    total = tl.zeros((COLUMNS, ROWS), tl.float32)
    for turned in tl.static_range(2):
        lines, cells = (width, height) if turned else (height, width)
        mine, begin, end, most = lines_of_block(met + 4 * ray, here, lines, turned)
        low = tl.load(shapes + 6 * ray + 1, mask=mine, other=1048576.0)
        at = cross + step * begin
        for line in range(begin, end):
            cell, _away = first_pixel(at, low + low_step * line)
            at += step
            for _part in range(most):
                i, j = (cell, line) if turned else (line, cell)
                place, depth, near = fan_place(q0 + qi * i + qj * j, p0 + pi * i + pj * j, scale, shift, CURVED)
                share = tl.maximum(1 - tl.abs(place - column), 0.0)
                useful = here & (cell < cells) & (share > 0)
                depth, near = tl.where(useful, depth, 1.0), tl.where(useful, near, 1.0)
                # Rows less one among slices, from the block's middle: single precision serves nearby.
                inverse = depth * slices_a_row
                u = (middle - 1 - first - first_step * near) * inverse
                base = tl.minimum(tl.maximum(tl.floor(u), -1e6), 1e6)
                position = (u - base).to(tl.float32)[:, None] + inverse.to(tl.float32)[:, None] * row[None, :]
                whole = tl.floor(position)
                apart = (slice_step * near).to(tl.float32)[:, None]
                away = (1 - (position - whole)) * apart - 1
                k = base.to(tl.int32)[:, None] + whole.to(tl.int32) + 1
                factor = tl.where(useful, share * near * near, 0.0).to(tl.float32)[:, None]
                source = x + ((i * width + j).to(tl.int64) * slices)[:, None] + k
                for _ in range(taps):
                    inside = useful[:, None] & (k >= 0) & (k < slices)
                    weight = factor * tl.maximum(1 - tl.abs(away), 0.0)
                    total += weight * tl.load(source, mask=inside, other=0.0)
                    k += 1
                    source += 1
                    away += apart
                cell += 1
    target = y + ((item * views + view) * columns + column)[:, None] * rows + (middle + row)[None, :]
    tl.store(target, total, mask=here[:, None] & (middle + row < rows)[None, :])
