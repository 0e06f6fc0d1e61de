"""Triton kernels of Joseph's model: one ray, or one pixel, of many images at once, the images of a batch side by side.

Every value has one writer and sums in one order: results are deterministic and do not depend on the block sizes. Rays
meet a line of the image at ``alpha + gamma line``, in fixed point with 32 bits of fraction (or, for images in double
precision, in double precision); forward and adjoint derive their weights from the very same numbers.

Layouts, with L lanes: image (H, W + 4, L) and its transpose (W, H + 4, L), with two empty cells on either end of a
line, so that what a ray meets outside is zero without a test; sinogram (A, m D + 2 pad, L), m rays a bin. A lane holds
an item of the batch, or what one of the turns makes of it (`recon_plugins.radon.symmetry`).
"""

# ruff: noqa: A001, ANN001, ANN201, ANN202, N803 - what is compiled has Triton's types

from __future__ import annotations

import triton
import triton.language as tl

__all__ = [
    "back_project",
    "back_project_fan",
    "back_project_parallel",
    "cell_and_share",
    "pack_image",
    "pack_sinogram",
    "project",
]


@triton.jit
def cell_and_share(at, DOUBLE: tl.constexpr):
    """Split a position on a line into the cell before it and the share of the cell after it."""
    if DOUBLE:
        lower = tl.floor(at)
        cell, share = lower.to(tl.int32), at - lower
    else:
        # The upper 23 bits of the fraction as the mantissa of a number in [1, 2): no conversion is needed.
        mantissa = (at.to(tl.uint32) >> 9) | 0x3F800000
        cell, share = (at >> 32).to(tl.int32), mantissa.to(tl.float32, bitcast=True) - 1.0
    return cell, share


@triton.jit
def lanes_of_group(LANES: tl.constexpr, TURNS: tl.constexpr):
    """Lanes of this program's group, the item that each holds, and as which turn shows it."""
    lane = tl.arange(0, LANES)[None, :]
    return lane, tl.program_id(2).to(tl.int64) * (LANES // TURNS) + lane // TURNS, lane % TURNS


@triton.jit
def turned_place(turns, turn, row, column, width, TURNS: tl.constexpr):
    """Where in an image the pixel lies that a turn shows at (row, column)."""
    if TURNS == 1:
        place = row * width + column
    else:
        place = tl.load(turns + 3 * turn) + tl.load(turns + 3 * turn + 1) * row + tl.load(turns + 3 * turn + 2) * column
    return place


@triton.jit(do_not_specialize=["count", "height", "width"])
def pack_image(
    x, turns, rows, columns, count, height, width, LANES: tl.constexpr, TURNS: tl.constexpr, CELLS: tl.constexpr
):
    """Write images (count, H, W) as (group, H, W + 4, lanes) and (group, W, H + 4, lanes), ends and spare lanes zero.

    Shapes: turns (TURNS, 3): where in an image the turned one's first pixel lies, and the steps down and to the right.
    """
    line = tl.program_id(0) - 2
    cell = tl.program_id(1) * CELLS + tl.arange(0, CELLS)[:, None] - 2
    group = tl.program_id(2).to(tl.int64)
    lane, item, turn = lanes_of_group(LANES, TURNS)
    # The cells of this line that are pixels, and those that its row takes.
    line_inside = (line >= 0) & (line < height)
    inside = (cell >= 0) & (cell < width)
    pixel = inside & (cell < tl.where(line_inside, width, 0))
    taken = (cell < tl.where(line_inside, width + 2, -2)) & (lane >= 0)
    source = x + item * height * width + turned_place(turns, turn, line, cell, width, TURNS)
    value = tl.load(source, mask=pixel & (item < count), other=0.0)
    tl.store(rows + ((group * height + line) * (width + 4) + cell + 2) * LANES + lane, value, mask=taken)
    target = columns + ((group * width + cell) * (height + 4) + line + 2) * LANES + lane
    tl.store(target, value, mask=inside & (lane >= 0))


@triton.jit(do_not_specialize=["count", "samples", "views", "bins", "per_bin", "pad"])
def pack_sinogram(
    y, starts, factor, out, count, samples, views, bins, per_bin, pad,
    SCALED: tl.constexpr, LANES: tl.constexpr, TURNS: tl.constexpr, BINS: tl.constexpr,
):  # fmt: skip
    """Write sinograms (count, samples) as (group, A, m D + 2 pad, lanes), a bin for each of its m rays, times a factor.

    Shapes: factor (A, m D), if SCALED; starts (A, TURNS, 2): where in a sinogram the view begins that a turn sees, and
    the step from bin to bin; 0 for a view that another turn sees as well.
    """
    view = tl.program_id(0)
    cell = tl.program_id(1) * BINS + tl.arange(0, BINS)[:, None]
    group = tl.program_id(2).to(tl.int64)
    lane, item, turn = lanes_of_group(LANES, TURNS)
    ray = cell - pad
    cells = bins * per_bin + 2 * pad
    start = starts + (view * TURNS + turn) * 2
    step = tl.load(start + 1)
    inside = (ray >= 0) & (ray < bins * per_bin) & (step != 0) & (item < count)
    value = tl.load(y + item * samples + tl.load(start) + ray // per_bin * step, mask=inside, other=0.0)
    if SCALED:
        value = value.to(tl.float32) * tl.load(factor + view * (bins * per_bin) + ray, mask=inside, other=0.0)
    tl.store(out + ((group * views + view) * cells + cell) * LANES + lane, value, mask=(cell < cells) & (lane >= 0))


@triton.jit(do_not_specialize=["count", "samples", "height", "width", "views", "bins", "per_bin"])
def project(
    rows, columns, alpha, gamma, weight, blocks, starts, y, count, samples, height, width, views, bins, per_bin,
    DOUBLE: tl.constexpr, LANES: tl.constexpr, TURNS: tl.constexpr, VIEWS: tl.constexpr, BINS: tl.constexpr,
    UNROLL: tl.constexpr,
):  # fmt: skip
    """Line integrals of a block of neighbouring views and bins, which read the same strip of the image.

    Shapes: y (count, samples); alpha and gamma (2, A, D m), rays along rows and along columns; weight (A, D m); blocks
    (n, 6): first view and bin, and the lines that its rays meet, of the rows and of the columns, as [begin, end);
    starts as for `pack_sinogram`.
    """
    number: tl.constexpr = tl.float64 if DOUBLE else tl.float32
    block = blocks + tl.program_id(0) * 6
    group = tl.program_id(2).to(tl.int64)
    index = tl.arange(0, VIEWS * BINS)
    view, bin = tl.load(block) + index // BINS, tl.load(block + 1) + index % BINS
    valid = (view < views) & (bin < bins)
    lane, item, turn = lanes_of_group(LANES, TURNS)
    rays = views * bins * per_bin
    total = tl.zeros((VIEWS * BINS, LANES), number)
    for part in range(per_bin):
        ray = (view * bins + bin) * per_bin + part
        length = tl.load(weight + ray, mask=valid, other=0.0)
        for turned in tl.static_range(2):
            begin, end = tl.load(block + 2 + 2 * turned), tl.load(block + 3 + 2 * turned)
            last = (height if turned else width) + 2
            stride = (last + 2) * LANES
            line = (columns if turned else rows) + (group * (width if turned else height) + begin) * stride
            at = tl.load(alpha + turned * rays + ray, mask=valid, other=0)
            step = tl.load(gamma + turned * rays + ray, mask=valid, other=0)
            at += step * begin
            value = tl.zeros((VIEWS * BINS, LANES), number)
            for _ in tl.range(begin, end, loop_unroll_factor=UNROLL):
                cell, share = cell_and_share(at, DOUBLE)
                pointer = line + tl.minimum(tl.maximum(cell, 0), last)[:, None] * LANES + lane
                share = share[:, None]
                value += (1 - share) * tl.load(pointer).to(number)
                value += share * tl.load(pointer + LANES).to(number)
                at += step
                line += stride
            total += length[:, None] * value
    start = starts + (view[:, None] * TURNS + turn) * 2
    step = tl.load(start + 1, mask=valid[:, None] & (lane >= 0), other=0)
    target = y + item * samples + tl.load(start, mask=valid[:, None] & (lane >= 0), other=0) + bin[:, None] * step
    tl.store(target, total, mask=(step != 0) & (item < count))


@triton.jit(do_not_specialize=["count", "height", "width", "views", "rays"])
def back_project(
    y, alpha, gamma, weight, search, present, turns, x, count, height, width, views, rays,
    angle_scale, angle_shift, margin, DOUBLE: tl.constexpr, CURVED: tl.constexpr,
    LANES: tl.constexpr, TURNS: tl.constexpr, TALL: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """Sum, at every pixel, the rays of all views that come nearer than one cell on the pixel's row or column.

    In each view these are neighbours. Where they begin is told, to a small fraction of a bin, by where the pixel's
    centre is projected to: (n0 + nx column + ny row) / (d0 + dx column + dy row), counted from the image's centre, or
    an angle from its arc tangent on a curved detector; how many there can be, by the largest slope of this over the
    tile. Their weights come from the table of rays, as in `project`.

    Shapes: y (A, rays, lanes); search (A, 9): n0, nx, ny, d0, dx, dy, the slope's numerators; present (A, 2): whether
    rays run along the rows, along the columns; x (count, TURNS, H, W).
    """
    number: tl.constexpr = tl.float64 if DOUBLE else tl.float32
    index = tl.arange(0, TALL * WIDE)
    row, column = tl.program_id(0) * TALL + index // WIDE, tl.program_id(1) * WIDE + index % WIDE
    lane = tl.arange(0, LANES)[None, :]
    down, right = row - 0.5 * (height - 1), column - 0.5 * (width - 1)
    middle_down = tl.program_id(0) * TALL + 0.5 * (TALL - 1) - 0.5 * (height - 1)
    middle_right = tl.program_id(1) * WIDE + 0.5 * (WIDE - 1) - 0.5 * (width - 1)
    y += tl.program_id(2).to(tl.int64) * views * rays * LANES
    value = tl.zeros((TALL * WIDE, LANES), number)
    for view in range(views):
        hint = search + view * 9
        n0, nx, ny = tl.load(hint), tl.load(hint + 1), tl.load(hint + 2)
        d0, dx, dy = tl.load(hint + 3), tl.load(hint + 4), tl.load(hint + 5)
        e0, e1, e2 = tl.load(hint + 6), tl.load(hint + 7), tl.load(hint + 8)
        depth = d0 + dx * right + dy * down
        place = (n0 + nx * right + ny * down) / tl.where(tl.abs(depth) < 1e-6, 1e-6, depth)
        if CURVED:
            place = angle_scale * arc_tangent(place) + angle_shift
        place = tl.minimum(tl.maximum(place, -2.0 * rays), 3.0 * rays)
        # Over the tile and one pixel around it, the least depth bounds the slope.
        nearest = tl.abs(d0 + dx * middle_right + dy * middle_down)
        nearest -= tl.abs(dx) * (0.5 * WIDE + 1) + tl.abs(dy) * (0.5 * TALL + 1)
        scale = angle_scale / (tl.maximum(nearest, 1e-6) * tl.maximum(nearest, 1e-6))
        for turned in tl.static_range(2):
            base = (turned * views + view) * rays
            if turned:
                slope = tl.abs(e2 - e1 * middle_right) + tl.abs(e1) * (0.5 * WIDE)
                line, cell = column, row + 2
            else:
                slope = tl.abs(e0 + e1 * middle_down) + tl.abs(e1) * (0.5 * TALL)
                line, cell = row, column + 2
            reach = tl.minimum(slope * scale, 4.0 * rays) + margin
            first = tl.maximum(tl.ceil(place - reach).to(tl.int32), 0)
            most = tl.load(present + 2 * view + turned) * tl.minimum(tl.floor(2 * reach).to(tl.int32) + 1, rays)
            for part in range(most):
                ray = first + part
                inside = ray < rays
                at = tl.load(alpha + base + ray, mask=inside, other=0)
                at += tl.load(gamma + base + ray, mask=inside, other=0) * line
                lower, share = cell_and_share(at, DOUBLE)
                share = tl.where(lower == cell, 1 - share, tl.where(lower == cell - 1, share, 0.0))
                met = inside & (share > 0)
                share *= tl.load(weight + view * rays + ray, mask=met, other=0.0)
                pointer = y + ((view * rays + ray) * LANES)[:, None] + lane
                value += share[:, None] * tl.load(pointer, mask=met[:, None] & (lane >= 0), other=0.0).to(number)
    store_tile(x, turns, value, row, column, count, height, width, LANES, TURNS)


@triton.jit(do_not_specialize=["count", "height", "width", "views", "rays", "pad"])
def back_project_parallel(
    y, origin, slopes, shares, turns, x, count, height, width, views, rays, pad,
    BITS: tl.constexpr, REACH: tl.constexpr, LANES: tl.constexpr, TURNS: tl.constexpr, TALL: tl.constexpr,
    WIDE: tl.constexpr, UNROLL: tl.constexpr,
):  # fmt: skip
    """As `back_project`, of parallel rays in single precision, whose positions are evenly spaced in every view.

    The pixel's centre lies origin + down row + right column bins from the first ray, in fixed point with `BITS` bits of
    fraction; the ray d bins away from there has the weight max(0, full - fall d).

    Shapes: y (A, rays + 2 pad, lanes), pad >= 2 REACH; origin (A,) int64; slopes (A, 2) int32: down, right; shares
    (A, 2): full, fall; x (count, TURNS, H, W).
    """
    index = tl.arange(0, TALL * WIDE)
    top, left = tl.program_id(0) * TALL, tl.program_id(1) * WIDE
    below, beside = (index // WIDE).to(tl.int64), (index % WIDE).to(tl.int64)
    lane = tl.arange(0, LANES)[None, :]
    stride = (rays + 2 * pad) * LANES
    y += tl.program_id(2).to(tl.int64) * views * stride + pad * LANES
    value = tl.zeros((TALL * WIDE, LANES), tl.float32)
    for view in tl.range(0, views, loop_unroll_factor=UNROLL):
        down, right = tl.load(slopes + 2 * view).to(tl.int64), tl.load(slopes + 2 * view + 1).to(tl.int64)
        full, fall = tl.load(shares + 2 * view), tl.load(shares + 2 * view + 1)
        place = tl.load(origin + view) + down * top + right * left
        place = place + down * below + right * beside
        first = tl.minimum(tl.maximum((place >> BITS).to(tl.int32), -REACH - 1), rays + REACH)
        mantissa = ((place.to(tl.uint32) << (32 - BITS)) >> 9) | 0x3F800000
        past = mantissa.to(tl.float32, bitcast=True) - 1.0
        pointer = y + (first * LANES)[:, None] + lane
        for part in tl.static_range(1 - REACH, REACH + 1):
            away = part - past if part > 0 else past - part
            share = tl.maximum(full - fall * away, 0.0)
            value += share[:, None] * tl.load(pointer + part * LANES).to(tl.float32)
        y += stride
    row, column = top + index // WIDE, left + index % WIDE
    store_tile(x, turns, value, row, column, count, height, width, LANES, TURNS)


@triton.jit(do_not_specialize=["count", "height", "width", "views", "rays", "pad"])
def back_project_fan(
    y, places, lengths, turns, x, count, height, width, views, rays, pad, limit,
    BITS: tl.constexpr, LANES: tl.constexpr, TURNS: tl.constexpr, TALL: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """As `back_project`, of a fan on a flat detector in single precision, without a table of rays.

    The pixel's centre is projected to n / d bins from the first ray, n and d being affine in row and column. Ray i has
    the weight max(0, h_i - |i d - n|) there, h_i = max(|a + b i|, |c + e i|): what makes it Joseph's weight is a factor
    of the ray, with which the sinogram comes multiplied. Differences to the ray nearest to the middle of the tile are
    formed in fixed point, with `BITS` bits of fraction, so that single precision does for the rest.

    Shapes: y (A, rays + 2 pad, lanes), pad larger than the number of rays within `limit` of a pixel, the farthest that
    any can lie; places (A, 6) int64: n at the first pixel, its steps to the right and down, likewise d; lengths (A, 4):
    a, b, c, e; x (count, TURNS, H, W).
    """
    unit: tl.constexpr = 1.0 / (1 << BITS)
    index = tl.arange(0, TALL * WIDE)
    top, left = tl.program_id(0) * TALL, tl.program_id(1) * WIDE
    down, right = (index // WIDE - TALL // 2).to(tl.float32), (index % WIDE - WIDE // 2).to(tl.float32)
    lane = tl.arange(0, LANES)[None, :]
    stride = (rays + 2 * pad) * LANES
    y += tl.program_id(2).to(tl.int64) * views * stride + pad * LANES
    value = tl.zeros((TALL * WIDE, LANES), tl.float32)
    for view in range(views):
        place, length = places + 6 * view, lengths + 4 * view
        nx, ny, dx, dy = tl.load(place + 1), tl.load(place + 2), tl.load(place + 4), tl.load(place + 5)
        n = tl.load(place) + nx * (left + WIDE // 2) + ny * (top + TALL // 2)
        d = tl.load(place + 3) + dx * (left + WIDE // 2) + dy * (top + TALL // 2)
        middle = tl.floor(n.to(tl.float32) / d.to(tl.float32)).to(tl.int32)
        n, nx, ny = n - d * middle, nx - dx * middle, ny - dy * middle
        n, nx, ny = n.to(tl.float32) * unit, nx.to(tl.float32) * unit, ny.to(tl.float32) * unit
        d, dx, dy = d.to(tl.float32) * unit, dx.to(tl.float32) * unit, dy.to(tl.float32) * unit
        b, e = tl.load(length + 1), tl.load(length + 3)
        a, c = tl.load(length) + b * middle, tl.load(length + 2) + e * middle
        # Over the tile and one pixel around it: the least d and the largest h bound how far a ray may lie.
        nearest = d - tl.abs(dx) * (0.5 * WIDE + 1) - tl.abs(dy) * (0.5 * TALL + 1)
        beside = (tl.abs(nx) * (0.5 * WIDE) + tl.abs(ny) * (0.5 * TALL)) / nearest + pad
        reach = (tl.maximum(tl.abs(a), tl.abs(c)) + tl.maximum(tl.abs(b), tl.abs(e)) * beside) / nearest
        reach = tl.where(nearest > 0, tl.minimum(reach, limit), limit) + 0.01
        depth = d + dx * right + dy * down
        shift = n + nx * right + ny * down
        # A quick quotient; the integer next to a number lies in the lower bits of its sum with 1.5 2^23.
        root = tl.rsqrt(depth)
        rounded = shift * root * root + (0.5 - reach) + 12582912.0
        first = rounded - 12582912.0
        bin = middle + (rounded.to(tl.int32, bitcast=True) - 0x4B400000)
        pointer = y + (tl.minimum(tl.maximum(bin, -pad), rays) * LANES)[:, None] + lane
        away = first * depth - shift
        rise, run = a + b * first, c + e * first
        for _ in range(tl.floor(2 * reach).to(tl.int32) + 1):
            share = tl.maximum(tl.maximum(tl.abs(rise), tl.abs(run)) - tl.abs(away), 0.0)
            value += share[:, None] * tl.load(pointer).to(tl.float32)
            pointer += LANES
            away += depth
            rise += b
            run += e
        y += stride
    row, column = top + index // WIDE, left + index % WIDE
    store_tile(x, turns, value, row, column, count, height, width, LANES, TURNS)


@triton.jit
def store_tile(x, turns, value, row, column, count, height, width, LANES: tl.constexpr, TURNS: tl.constexpr):
    """Write pixels (tile, lanes) into images (count, TURNS, H, W), turned back."""
    _, item, turn = lanes_of_group(LANES, TURNS)
    inside = ((row < height) & (column < width))[:, None] & (item < count)
    place = turned_place(turns, turn, row[:, None], column[:, None], width, TURNS)
    tl.store(x + (item * TURNS + turn) * height * width + place, value, mask=inside)


@triton.jit
def arc_tangent(x):
    """Arc tangent to 1e-5 radians (Abramowitz and Stegun, Handbook of Mathematical Functions, 4.4.47)."""
    large = tl.abs(x) > 1
    z = tl.where(large, 1 / tl.where(large, x, 1.0), x)
    q = z * z
    result = z * (0.9998660 + q * (-0.3302995 + q * (0.1801410 + q * (-0.0851330 + q * 0.0208351))))
    return tl.where(large, tl.where(x > 0, 1.5707963, -1.5707963) - result, result)
