"""The Triton kernel of pixel-driven back-projection: the arithmetic of `pixel_kernels`.

Places are found for a tile of pixels from where the tile's first pixel falls in a view, in double precision; within the
tile single precision serves, of which most cards compute more. Every pixel has one writer.
"""

# ruff: noqa: ANN001, ANN201, ANN202, N803 - what is compiled has Triton's types

from __future__ import annotations

import triton
import triton.language as tl

__all__ = ["interpolate"]


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
    i, j = row.to(tl.float32), column.to(tl.float32)
    lane = tl.program_id(1) * LANES + tl.arange(0, LANES)
    scale, shift = tl.load(numbers), tl.load(numbers + 1)
    total = tl.zeros((TALL * WIDE, LANES), tl.float32)
    samples = y
    for view in range(views):
        c = coefficients + view * 6
        qi, qj, pi, pj = tl.load(c + 1), tl.load(c + 2), tl.load(c + 4), tl.load(c + 5)
        q = tl.load(c) + qi * top + qj * left
        p = tl.load(c + 3) + pi * top + pj * left
        if BEAM == 2:  # along the ray to the tile's first pixel, and across it
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
