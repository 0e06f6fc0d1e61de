"""The Triton kernels of pixel-driven back-projection and its transpose: the arithmetic of `pixel_kernels`.

Places are found for a tile of pixels from where its middle falls in a view, in double precision; within the tile single
precision serves, of which most cards compute more. Every pixel has one writer.

The transpose gathers as well: every bin has one writer, which sums, line after line of the image, what pixels its wedge
holds (see `pixel_wedges`).
"""

# ruff: noqa: A001, ANN001, ANN201, ANN202, N803 - what is compiled has Triton's types

from __future__ import annotations

import triton
import triton.language as tl

from recon_plugins.radon.triton_kernels import cell_and_share, lanes_of_group

__all__ = ["first_pixel", "interpolate", "lines_of_block", "spread"]


@triton.jit(do_not_specialize=["height", "width", "views", "bins"])
def interpolate(
    y, coefficients, numbers, x, height, width, views, bins, items,
    BEAM: tl.constexpr, TAPS: tl.constexpr, TALL: tl.constexpr, WIDE: tl.constexpr, LANES: tl.constexpr,
):  # fmt: skip
    """Sum all views' interpolation at a tile of pixels.

    Shapes: y (A, TAPS + D + TAPS, items), zero beyond the D bins; x (H, W, items); items is a multiple of LANES.
    `coefficients` (A, 6) and `numbers`, scale and shift, are those of a `ViewTable` in float64. BEAM counts parallel,
    flat, curved.
    """
    wide = tl.cdiv(width, WIDE)
    top, left = tl.program_id(0) // wide * TALL, tl.program_id(0) % wide * WIDE
    pixel = tl.arange(0, TALL * WIDE)
    # What lies beyond the image is computed as its edge, and not stored.
    row, column = tl.minimum(pixel // WIDE, height - 1 - top), tl.minimum(pixel % WIDE, width - 1 - left)
    down, right = tl.minimum(TALL, height - top) // 2, tl.minimum(WIDE, width - left) // 2
    i, j = (row - down).to(tl.float32), (column - right).to(tl.float32)
    down, right = top + down, left + right
    lane = tl.program_id(1) * LANES + tl.arange(0, LANES)
    scale, shift = tl.load(numbers), tl.load(numbers + 1)
    total = tl.zeros((TALL * WIDE, LANES), tl.float32)
    samples = y
    for view in range(views):
        c = coefficients + view * 6
        qi, qj, pi, pj = tl.load(c + 1), tl.load(c + 2), tl.load(c + 4), tl.load(c + 5)
        q = tl.load(c) + qi * down + qj * right
        p = tl.load(c + 3) + pi * down + pj * right
        if BEAM == 2:  # along the ray to the tile's middle, and across it
            length = tl.sqrt(p * p + q * q)
            place = 2 * _arctangent(q / (p + length)) * scale + shift
            cos, sin = p / length, q / length
            qi, pi = qi * cos - pi * sin, pi * cos + qi * sin
            qj, pj = qj * cos - pj * sin, pj * cos + qj * sin
            whole = tl.floor(place)
            rest = (place - whole).to(tl.float32)
            a, b = qi.to(tl.float32) * i + qj.to(tl.float32) * j, length.to(tl.float32)
            b = b + pi.to(tl.float32) * i + pj.to(tl.float32) * j
            square = a * a + b * b
            at = rest + 2 * scale.to(tl.float32) * _arctangent(a / (b + tl.sqrt(square)))
            weight = 1 / square
        else:
            whole = tl.floor(tl.minimum(tl.maximum(q / p, -2097152.0), 2097152.0))
            q, qi, qj = q - whole * p, qi - whole * pi, qj - whole * pj
            at = q.to(tl.float32) + qi.to(tl.float32) * i + qj.to(tl.float32) * j
            weight = tl.full((TALL * WIDE,), 1.0, tl.float32)
            if BEAM == 1:
                inverse = 1 / (p.to(tl.float32) + pi.to(tl.float32) * i + pj.to(tl.float32) * j)
                at, weight = at * inverse, inverse * inverse
        lower = tl.floor(at)
        f = at - lower
        start = whole.to(tl.float32)
        first = tl.minimum(tl.maximum(lower - (TAPS // 2 - 1), -start - TAPS), bins - start)
        cell = (first + start).to(tl.int32) + TAPS
        source = samples + (cell * items)[:, None] + lane[None, :]
        samples += (bins + 2 * TAPS) * items
        if TAPS == 2:
            total += (weight * (1 - f))[:, None] * tl.load(source) + (weight * f)[:, None] * tl.load(source + items)
        else:  # Keys' cubic convolution with a = -1/2
            total += (weight * ((1 - 0.5 * f) * f - 0.5) * f)[:, None] * tl.load(source)
            total += (weight * ((1.5 * f - 2.5) * f * f + 1))[:, None] * tl.load(source + items)
            total += (weight * ((2 - 1.5 * f) * f + 0.5) * f)[:, None] * tl.load(source + 2 * items)
            total += (weight * (0.5 * f - 0.5) * f * f)[:, None] * tl.load(source + 3 * items)
    inside = (pixel // WIDE == row) & (pixel % WIDE == column)
    target = x + (((top + row) * width + left + column).to(tl.int64) * items)[:, None] + lane[None, :]
    tl.store(target, total, mask=inside[:, None])


@triton.jit(do_not_specialize=["count", "samples", "height", "width", "views", "bins"])
def spread(
    rows, columns, crossings, shapes, met, numbers, y, count, samples, height, width, views, bins,
    BEAM: tl.constexpr, TAPS: tl.constexpr, LANES: tl.constexpr, VIEWS: tl.constexpr, BINS: tl.constexpr,
    PARTS: tl.constexpr, UNROLL: tl.constexpr,
):  # fmt: skip
    """Sum, in a block of views and bins, the pixels that `interpolate` reads them for: its transpose.

    Shapes: rows (group, H, W + 4, LANES) and columns (group, W, H + 4, LANES) as `pack_image` writes them; crossings
    (A, D, 2), shapes (A, D, 6) and met (A, D, 4): the tables of `Wedges`; y (count, samples). Where no wedge is wider
    than PARTS pixels, loops over them are unrolled.
    """
    blocks = tl.cdiv(bins, BINS)
    index = tl.arange(0, VIEWS * BINS)
    view = tl.program_id(0) // blocks * VIEWS + index // BINS
    bin = tl.program_id(0) % blocks * BINS + index % BINS
    valid = (view < views) & (bin < bins)
    ray = view * bins + bin
    lane, item, _turn = lanes_of_group(LANES, 1)
    scale = tl.load(numbers).to(tl.float32)
    cross = tl.load(crossings + 2 * ray, mask=valid, other=0)
    step = tl.load(crossings + 2 * ray + 1, mask=valid, other=0)
    shape = shapes + 6 * ray
    slope, low_step = tl.load(shape, mask=valid, other=0.0), tl.load(shape + 2, mask=valid, other=0.0)
    depth, depth_step = tl.load(shape + 3, mask=valid, other=1.0), tl.load(shape + 4, mask=valid, other=0.0)
    depth_slope = tl.load(shape + 5, mask=valid, other=0.0)
    total = tl.zeros((VIEWS * BINS, LANES), tl.float32)
    for turned in tl.static_range(2):
        lines, cells = (width, height) if turned else (height, width)
        mine, begin, end, most = lines_of_block(met + 4 * ray, valid, lines, turned)
        # Far beyond the image for rays that have no pixels on these lines.
        low = tl.load(shape + 1, mask=mine, other=1048576.0)
        at = cross + step * begin
        stride = (cells + 4) * LANES
        source = (columns if turned else rows) + (tl.program_id(2).to(tl.int64) * lines + begin) * stride
        source += lane + 2 * LANES
        narrow = begin
        if PARTS > 0:
            narrow = tl.where(most <= PARTS, end, begin)
            for line in tl.range(begin, narrow, loop_unroll_factor=UNROLL):
                cell, away = first_pixel(at, low + low_step * line)
                near = depth + depth_step * line
                for _part in tl.static_range(PARTS):
                    total += _pixel(source, cell, cells, away, slope, near, depth_slope, scale, BEAM, TAPS, LANES)
                    cell += 1
                    away += 1
                at += step
                source += stride
        for line in range(narrow, end):
            cell, away = first_pixel(at, low + low_step * line)
            near = depth + depth_step * line
            for _other in range(most):
                total += _pixel(source, cell, cells, away, slope, near, depth_slope, scale, BEAM, TAPS, LANES)
                cell += 1
                away += 1
            at += step
            source += stride
    target = y + item * samples + (view * bins + bin)[:, None]
    tl.store(target, total, mask=valid[:, None] & (item < count))


@triton.jit
def lines_of_block(met, valid, lines, TURNED: tl.constexpr):
    """Return which wedges are cut along these lines, the lines [begin, end) that some meet, and the most pixels."""
    side = tl.load(met, mask=valid, other=2)
    begin, end = tl.load(met + 1, mask=valid, other=0), tl.load(met + 2, mask=valid, other=0)
    mine = (side == TURNED) & (begin < end)
    most = tl.load(met + 3, mask=mine, other=0)
    return mine, tl.min(tl.where(mine, begin, lines), 0), tl.max(tl.where(mine, end, 0), 0), tl.max(most, 0)


@triton.jit
def first_pixel(at, low):
    """First pixel of a wedge, not before the line's first, and how far it lies beyond the ray's crossing `at`."""
    cell, part = cell_and_share(at, False)
    first = tl.maximum(tl.ceil(part + low).to(tl.int32), -cell)
    return cell + first, first.to(tl.float32) - part


@triton.jit
def _pixel(
    source, cell, cells, away, slope, depth, depth_slope, scale,
    BEAM: tl.constexpr, TAPS: tl.constexpr, LANES: tl.constexpr,
):  # fmt: skip
    """Return what a pixel of a line, `away` from where the bin's ray crosses it, adds to the bin."""
    share = _share(away, slope, depth, depth_slope, scale, cell < cells, BEAM, TAPS)
    return share[:, None] * tl.load(source + (tl.minimum(cell, cells) * LANES)[:, None])


@triton.jit
def _share(away, slope, depth, depth_slope, scale, inside, BEAM: tl.constexpr, TAPS: tl.constexpr):
    """Weight of a pixel `away` from where the bin's ray crosses its line at some depth."""
    across = slope * away
    weight = 1.0
    if BEAM == 1:
        inverse = 1 / (depth + depth_slope * away)
        across, weight = across * inverse, inverse * inverse
    if BEAM == 2:
        along = depth + depth_slope * away
        square = across * across + along * along
        angle = _arctangent(across / (along + tl.sqrt(square)))
        across, weight = tl.where(along > 0, 2 * scale * angle, 4.0), 1 / square
    across = tl.abs(across)
    if TAPS == 2:
        share = 1 - across
    else:
        rest = 2 - across
        share = tl.where(across < 1, (1.5 * across - 2.5) * across * across + 1, (0.5 * rest - 0.5) * rest * rest)
    # Beyond the image a depth may be 0, and a weight infinite.
    return tl.where(inside & (across < TAPS // 2), share * weight, 0.0)


@triton.jit
def _arctangent(u):
    """Arctangent of |u| <= 1 to 2e-8: Abramowitz and Stegun, Handbook of Mathematical Functions, 4.4.49."""
    z = u * u
    r = 0.0028662257 * z - 0.0161657367
    r = r * z + 0.0429096138
    r = r * z - 0.0752896400
    r = r * z + 0.1065626393
    r = r * z - 0.1420889944
    r = r * z + 0.1999355085
    r = r * z - 0.3333314528
    return (r * z + 1) * u
