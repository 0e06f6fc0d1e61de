"""The Triton kernels of pixel-driven back-projection and its transpose: the arithmetic of `pixel_kernels`.

Places are found for a tile of pixels from where its middle falls in a view, in double precision; within the tile single
precision serves, of which most cards compute more. Every pixel has one writer.

The transpose gathers as well. The pixels that a bin is interpolated at lie in a wedge about the bin's ray, between the
rays of the places `TAPS / 2` before and after it. Rays are straight, so that both ends of what the wedge cuts out of a
line of pixels (a row or a column, whichever the ray crosses more steeply) are linear in the line's number. Every bin
has one writer, which sums line after line.
"""

# ruff: noqa: A001, A002, ANN001, ANN201, ANN202, N803 - what is compiled has Triton's types

from __future__ import annotations

import triton
import triton.language as tl

from recon_plugins.radon.triton_kernels import cell_and_share, lanes_of_group

__all__ = ["interpolate", "spread", "wedge"]

SLACK = tl.constexpr(1e-3)
"""Pixels by which wedges are widened, more than the rounding of their ends; weights decide what counts."""
FAR = tl.constexpr(2.0**20)
"""Pixels to an end that lies nowhere."""


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
    rows, columns, coefficients, directions, numbers, y, count, samples, height, width, views, bins,
    BEAM: tl.constexpr, TAPS: tl.constexpr, LANES: tl.constexpr, VIEWS: tl.constexpr, BINS: tl.constexpr,
    PARTS: tl.constexpr, UNROLL: tl.constexpr,
):  # fmt: skip
    """Sum, in a block of views and bins, the pixels that `interpolate` reads them for: its transpose.

    Shapes: rows (group, H, W + 4, LANES) and columns (group, W, H + 4, LANES) as `pack_image` writes them; y (count,
    samples). For `directions` see `wedge`. Where no wedge is wider than PARTS pixels, loops over
    them are unrolled.
    """
    blocks = tl.cdiv(bins, BINS)
    index = tl.arange(0, VIEWS * BINS)
    view = tl.program_id(0) // blocks * VIEWS + index // BINS
    bin = tl.program_id(0) % blocks * BINS + index % BINS
    valid = (view < views) & (bin < bins)
    lane, item, _turn = lanes_of_group(LANES, 1)
    scale = tl.load(numbers).to(tl.float32)
    total = tl.zeros((VIEWS * BINS, LANES), tl.float32)
    for turned in tl.static_range(2):
        lines, cells = (width, height) if turned else (height, width)
        cross, cross_step, slope, low, low_step, depth, depth_step, depth_slope, begin, end, most = wedge(
            coefficients, directions, view, bin, valid, lines, cells, turned, BEAM, TAPS // 2
        )
        # In fixed point with 32 bits of fraction, whose sums are exact.
        at = tl.floor((cross + cross_step * begin) * 4294967296.0 + 0.5).to(tl.int64)
        step = tl.floor(cross_step * 4294967296.0 + 0.5).to(tl.int64)
        slope, low, low_step = slope.to(tl.float32), low.to(tl.float32), low_step.to(tl.float32)
        depth, depth_step = depth.to(tl.float32), depth_step.to(tl.float32)
        depth_slope = depth_slope.to(tl.float32)
        stride = (cells + 4) * LANES
        source = (columns if turned else rows) + (tl.program_id(2).to(tl.int64) * lines + begin) * stride
        source += lane + 2 * LANES
        narrow = begin
        if PARTS > 0:
            narrow = tl.where(most <= PARTS, end, begin)
            for line in tl.range(begin, narrow, loop_unroll_factor=UNROLL):
                cell, away = _start(at, low + low_step * line)
                near = depth + depth_step * line
                for _part in tl.static_range(PARTS):
                    share = _share(away, slope, near, depth_slope, scale, cell < cells, BEAM, TAPS)
                    total += share[:, None] * tl.load(source + (tl.minimum(cell, cells) * LANES)[:, None])
                    cell += 1
                    away += 1
                at += step
                source += stride
        for line in range(narrow, end):
            cell, away = _start(at, low + low_step * line)
            near = depth + depth_step * line
            for _other in range(most):
                share = _share(away, slope, near, depth_slope, scale, cell < cells, BEAM, TAPS)
                total += share[:, None] * tl.load(source + (tl.minimum(cell, cells) * LANES)[:, None])
                cell += 1
                away += 1
            at += step
            source += stride
    target = y + item * samples + (view * bins + bin)[:, None]
    tl.store(target, total, mask=valid[:, None] & (item < count))


@triton.jit
def wedge(
    coefficients, directions, view, bin, valid, lines, cells,
    TURNED: tl.constexpr, BEAM: tl.constexpr, HALF: tl.constexpr,
):  # fmt: skip
    """Return what rows of pixels (columns, if TURNED) have in common that the wedges of some bins cut through.

    That is, in double precision: where a bin's ray crosses row 0, and the step from row to row; how fast q - place p
    (see `ViewTable`) grows along a row; from the crossing to the wedge's end, on row 0, and the step; the depth p at
    the crossing, its step, and its growth along a row (of a curved detector, depth along the ray); then, of all bins
    together, the rows [begin, end) and the most pixels of one. Rays that cross columns more steeply have no pixels.

    Shapes: coefficients (A, 6); directions (HALF + D + HALF, 2): cosine and sine of the fan angle at the place of a bin
    on a curved detector, else 1 and the place.
    """
    c = coefficients + view * 6
    q, p = tl.load(c, mask=valid, other=0.0), tl.load(c + 3, mask=valid, other=0.0)
    first: tl.constexpr = 2 if TURNED else 1
    second: tl.constexpr = 1 if TURNED else 2
    ql, qc = tl.load(c + first, mask=valid, other=0.0), tl.load(c + second, mask=valid, other=0.0)
    pl, pc = tl.load(c + 3 + first, mask=valid, other=0.0), tl.load(c + 3 + second, mask=valid, other=0.0)
    d = directions + 2 * bin
    cos, sin = tl.load(d + 2 * HALF, mask=valid, other=1.0), tl.load(d + 2 * HALF + 1, mask=valid, other=0.0)
    nl, nc = ql * cos - pl * sin, qc * cos - pc * sin
    mine = valid & ((tl.abs(nc) > tl.abs(nl)) if TURNED else (tl.abs(nc) >= tl.abs(nl)))
    slope = tl.where(mine, nc, 1.0)
    cross, cross_step = tl.where(mine, (p * sin - q * cos) / slope, 0.0), tl.where(mine, -nl / slope, 0.0)
    # So far out that nothing is met, but not beyond what fixed point holds.
    cross = tl.minimum(tl.maximum(cross, -FAR * 256), FAR * 256)
    if BEAM == 2:
        p, pl, pc = p * cos + q * sin, pl * cos + ql * sin, pc * cos + qc * sin
    depth, depth_step = p + pc * cross, pl + pc * cross_step
    one, one_step = _end(c, d, valid, first, second, cross, cross_step, slope, -1.0)
    two, two_step = _end(c, d + 4 * HALF, valid, first, second, cross, cross_step, slope, 1.0)
    rising = slope > 0
    low, low_step = tl.where(rising, one, two) - SLACK, tl.where(rising, one_step, two_step)
    high, high_step = tl.where(rising, two, one) + SLACK, tl.where(rising, two_step, one_step)
    # Rows on which the wedge ends after the first pixel, and begins before the last.
    after, before = _not_negative(cross + high, cross_step + high_step)
    later, earlier = _not_negative(cells - 1 - cross - low, -cross_step - low_step)
    begin = tl.ceil(tl.minimum(tl.maximum(tl.maximum(after, later), 0.0), lines + 0.0)).to(tl.int32)
    end = tl.floor(tl.minimum(tl.maximum(tl.minimum(before, earlier), -1.0), lines - 1.0)).to(tl.int32) + 1
    met = mine & (begin < end)
    span, widen = high - low, high_step - low_step
    widest = tl.maximum(span + widen * begin, span + widen * (end - 1))
    widest = tl.floor(tl.minimum(tl.maximum(widest, 0.0), cells - 1.0)).to(tl.int32) + 1
    begin, end = tl.min(tl.where(met, begin, lines), 0), tl.max(tl.where(met, end, 0), 0)
    most = tl.max(tl.where(met, widest, 0), 0)
    low, low_step = tl.where(met, low, FAR), tl.where(met, low_step, 0.0)
    return cross, cross_step, slope, low, low_step, depth, depth_step, pc, begin, end, most


@triton.jit
def _end(c, d, valid, first: tl.constexpr, second: tl.constexpr, cross, cross_step, slope, side):
    """From the crossing of a bin's ray with row 0 to that of the ray that ends the wedge on one side; the step."""
    cos, sin = tl.load(d, mask=valid, other=1.0), tl.load(d + 1, mask=valid, other=0.0)
    n = tl.load(c, mask=valid, other=0.0) * cos - tl.load(c + 3, mask=valid, other=0.0) * sin
    nl = tl.load(c + first, mask=valid, other=0.0) * cos - tl.load(c + 3 + first, mask=valid, other=0.0) * sin
    nc = tl.load(c + second, mask=valid, other=0.0) * cos - tl.load(c + 3 + second, mask=valid, other=0.0) * sin
    # A ray that hardly crosses the row, or the other way, does not end the wedge there.
    ends = nc * slope > 0.25 * slope * slope
    nc = tl.where(ends, nc, 1.0)
    away = tl.where(ends, -n / nc - cross, tl.where(slope > 0, side, -side) * FAR)
    return away, tl.where(ends, -nl / nc - cross_step, 0.0)


@triton.jit
def _not_negative(a, b):
    """First and last number, whole or not, at which a + b number >= 0."""
    rising = b > -1e-9
    root = -a / tl.where(tl.abs(b) < 1e-9, 1e-9, b)
    return tl.where(rising, root, -FAR), tl.where(rising, FAR, root)


@triton.jit
def _start(at, low):
    """First pixel of a wedge, not before the line's first, and how far it lies beyond the ray's crossing `at`."""
    cell, part = cell_and_share(at, False)
    first = tl.maximum(tl.ceil(part + low).to(tl.int32), -cell)
    return cell + first, first.to(tl.float32) - part


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
