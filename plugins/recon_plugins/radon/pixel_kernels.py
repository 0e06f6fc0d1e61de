"""Compiled kernels: every pixel looks up its place in many views at once, one image a lane of a vector.

Places are found for a tile of pixels from where the tile's first pixel falls in each view (in double precision), so
that single precision serves within the tile. They fill short tables, by plain loops that the compiler vectorises; two
LLVM loops then walk the tables, since compiled NumPy loops over lanes do not vectorise here (see `kernels`).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

__all__ = ["BEAMS", "VIEWS", "back_project", "project"]

VIEWS = 64
"""Views looked up at a time."""
WIDE = 32  # steps of a vectorised loop, of which VIEWS is a multiple
TILE = 32
"""Edge of a tile of pixels."""
CONTRACT = ("contract",)  # multiply and add may be fused where the processor can


@intrinsic  # type: ignore[untyped-decorator]
def _gather(
    _typing: Any, lanes: Any, taps: Any, image: Any, pixel: Any, y: Any, start: Any, cells: Any, shares: Any, count: Any
) -> Any:
    """image[pixel] += sum over views v and taps k of shares[k, v] y[start + cells[v] + k]."""

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        loop = _Loop(context, builder, signature, args)
        # Several views at a time, so that no sum waits for another; as many as there are registers for.
        step = max(1, min(4, 32 // (loop.lanes * loop.taps)))
        sums = [cgutils.alloca_once_value(builder, ir.Constant(loop.vector, None)) for _ in range(step * loop.taps)]
        with cgutils.for_range_slice(builder, args[-1].type(0), args[-1], args[-1].type(step)) as (view, _):
            for index in range(step):
                v = builder.add(view, view.type(index))
                for tap, (pointer, share) in enumerate(loop.taps_of(v)):
                    total = sums[index * loop.taps + tap]
                    value = builder.fmul(builder.load(pointer, align=4), share, flags=CONTRACT)
                    builder.store(builder.fadd(builder.load(total), value, flags=CONTRACT), total)
        value = builder.load(loop.pixel, align=4)
        for total in sums:
            value = builder.fadd(value, builder.load(total))
        builder.store(value, loop.pixel, align=4)
        return context.get_dummy_value()

    return types.void(lanes, taps, image, pixel, y, start, cells, shares, count), emit


@intrinsic  # type: ignore[untyped-decorator]
def _scatter(
    _typing: Any, lanes: Any, taps: Any, image: Any, pixel: Any, y: Any, start: Any, cells: Any, shares: Any, count: Any
) -> Any:
    """y[start + cells[v] + k] += shares[k, v] image[pixel] for all views and taps: the transpose of `_gather`."""

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        loop = _Loop(context, builder, signature, args)
        value = builder.load(loop.pixel, align=4)
        with cgutils.for_range(builder, args[-1]) as it:
            for pointer, share in loop.taps_of(it.index):
                part = builder.fmul(value, share, flags=CONTRACT)
                builder.store(builder.fadd(builder.load(pointer, align=4), part, flags=CONTRACT), pointer, align=4)
        return context.get_dummy_value()

    return types.void(lanes, taps, image, pixel, y, start, cells, shares, count), emit


class _Loop:
    """Code that finds the samples a pixel falls on in a view, and their shares as vectors."""

    def __init__(self, context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> None:
        self.builder = builder
        self.lanes, self.taps = signature.args[0].count, signature.args[1].count
        self.vector = ir.VectorType(ir.FloatType(), self.lanes)

        def data(position: int, kind: Any) -> Any:
            array = context.make_array(signature.args[position])(context, builder, args[position])
            return builder.bitcast(array.data, kind.as_pointer())

        self.pixel = builder.gep(data(2, self.vector), [args[3]])
        self.first = builder.gep(data(4, self.vector), [args[5]])
        self.cells, self.shares = data(6, ir.IntType(32)), data(7, ir.FloatType())

    def taps_of(self, view: Any) -> list[tuple[Any, Any]]:
        """Emit a pointer to each sample, and its share as a vector of equal numbers."""
        builder = self.builder
        cell = builder.sext(builder.load(builder.gep(self.cells, [view])), ir.IntType(64))
        result = []
        for tap in range(self.taps):
            share = builder.load(builder.gep(self.shares, [builder.add(view, view.type(tap * VIEWS))]))
            single = builder.insert_element(ir.Constant(self.vector, ir.Undefined), share, ir.IntType(32)(0))
            zeros = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), None)
            pointer = builder.gep(self.first, [builder.add(cell, cell.type(tap))])
            result.append((pointer, builder.shuffle_vector(single, single, zeros)))
        return result


BEAMS = ("parallel", "flat", "curved")
PARALLEL, FLAT, _ = range(3)
FAR = 2.0**22  # where a view is met so far out, exactness no longer matters
F = np.float32


@njit(nogil=True, cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _enter(beam, taps, views, scale, shift, bins, first, count, row, column, tile):  # noqa: ANN001, ANN202
    """Write what is constant in the tile whose first pixel is (row, column) to tile[field * VIEWS + view]."""
    for v in range(count):
        q, qi, qj = views[0, first + v], views[1, first + v], views[2, first + v]
        p, pi, pj = views[3, first + v], views[4, first + v], views[5, first + v]
        q += qi * row + qj * column
        p += pi * row + pj * column
        if beam <= FLAT:
            place = math.floor(min(max(q / p, -FAR), FAR))
            q, qi, qj = q - place * p, qi - place * pi, qj - place * pj
        else:  # along the ray to the middle of a bin, and across it
            place = math.floor(scale * math.atan2(q, p) + shift)
            c, s = math.cos((place - shift) / scale), math.sin((place - shift) / scale)
            q, p = q * c - p * s, p * c + q * s
            qi, pi = qi * c - pi * s, pi * c + qi * s
            qj, pj = qj * c - pj * s, pj * c + qj * s
        tile[v] = q
        tile[VIEWS + v] = qi
        tile[2 * VIEWS + v] = qj
        tile[3 * VIEWS + v] = p
        tile[4 * VIEWS + v] = pi
        tile[5 * VIEWS + v] = pj
        # As many zeros as there are taps lie on either side of a row. The first tap is kept within:
        tile[6 * VIEWS + v] = -len(taps) - place
        tile[7 * VIEWS + v] = bins - place
        tile[8 * VIEWS + v] = v * (bins + 2 * len(taps)) + place + len(taps)


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})  # type: ignore[untyped-decorator]
def _look_up(beam, taps, scale, count, row, column, tile, cells, shares):  # noqa: ANN001, ANN202
    """Find the first sample that a pixel of the tile falls on in each view, and the samples' shares."""
    i, j, double = F(row), F(column), F(2 * scale)
    views = np.uintp((count + WIDE - 1) // WIDE * WIDE)  # what is too much is looked up faster than left out
    if beam == PARALLEL:
        for v in range(views):
            _share(taps, tile, cells, shares, v, _across(tile, v, i, j), F(1))
    elif beam == FLAT:
        for v in range(views):
            inverse = F(1) / _along(tile, v, i, j)
            _share(taps, tile, cells, shares, v, _across(tile, v, i, j) * inverse, inverse * inverse)
    else:
        for v in range(views):
            q, p = _across(tile, v, i, j), _along(tile, v, i, j)
            square = p * p + q * q
            angle = double * _arctangent(q / (p + np.sqrt(square)))
            _share(taps, tile, cells, shares, v, angle, F(1) / square)


@njit(nogil=True, cache=True, inline="always")  # type: ignore[untyped-decorator]
def _across(tile, v, i, j):  # noqa: ANN001, ANN202
    return tile[v] + tile[VIEWS + v] * i + tile[2 * VIEWS + v] * j


@njit(nogil=True, cache=True, inline="always")  # type: ignore[untyped-decorator]
def _along(tile, v, i, j):  # noqa: ANN001, ANN202
    return tile[3 * VIEWS + v] + tile[4 * VIEWS + v] * i + tile[5 * VIEWS + v] * j


@njit(nogil=True, cache=True, inline="always")  # type: ignore[untyped-decorator]
def _share(taps, tile, cells, shares, v, at, weight):  # noqa: ANN001, ANN202
    """Write where a pixel falls in view v: the first of the samples it is interpolated from, and their shares."""
    lower = np.floor(at)
    f = at - lower
    lower -= F(len(taps) // 2 - 1)
    lower = lower if lower > tile[6 * VIEWS + v] else tile[6 * VIEWS + v]
    lower = lower if lower < tile[7 * VIEWS + v] else tile[7 * VIEWS + v]
    cells[v] = np.int32(tile[8 * VIEWS + v] + lower)
    if len(taps) == 2:
        shares[v] = weight * (F(1) - f)
        shares[VIEWS + v] = weight * f
    else:  # Keys' cubic convolution with a = -1/2
        shares[v] = weight * (((F(1) - F(0.5) * f) * f - F(0.5)) * f)
        shares[VIEWS + v] = weight * ((F(1.5) * f - F(2.5)) * f * f + F(1))
        shares[2 * VIEWS + v] = weight * (((F(2) - F(1.5) * f) * f + F(0.5)) * f)
        shares[3 * VIEWS + v] = weight * ((F(0.5) * f - F(0.5)) * f * f)


@njit(nogil=True, cache=True, fastmath={"contract"})  # type: ignore[untyped-decorator]
def _arctangent(u):  # noqa: ANN001, ANN202
    """Arctangent of |u| <= 1 to 2e-8: Abramowitz and Stegun, Handbook of Mathematical Functions, 4.4.49."""
    z = u * u
    r = F(0.0028662257)
    r = r * z - F(0.0161657367)
    r = r * z + F(0.0429096138)
    r = r * z - F(0.0752896400)
    r = r * z + F(0.1065626393)
    r = r * z - F(0.1420889944)
    r = r * z + F(0.1999355085)
    r = r * z - F(0.3333314528)
    return (r * z + F(1)) * u


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def back_project(lanes, beam, taps, views, scale, shift, image, y, begin, end):  # noqa: ANN001, ANN201
    """Add all views to the image's rows [begin, end), which this call alone writes to.

    Shapes: image (H, W, lanes); y (A, taps + D + taps, lanes), zero beyond the bins, A a multiple of 4.
    """
    bins = y.shape[1] - 2 * len(taps)
    tile, cells = np.zeros(9 * VIEWS, np.float32), np.zeros(VIEWS, np.int32)
    shares = np.zeros(len(taps) * VIEWS, np.float32)
    blocks = (y.shape[0] + VIEWS - 1) // VIEWS
    step = (y.shape[0] // 4 + blocks - 1) // blocks * 4
    for first in range(0, y.shape[0], step):
        count = min(step, y.shape[0] - first)
        for top in range(begin, end, TILE):
            for left in range(0, image.shape[1], TILE):
                _enter(beam, taps, views, scale, shift, bins, first, count, top, left, tile)
                for row in range(top, min(top + TILE, end)):
                    for column in range(left, min(left + TILE, image.shape[1])):
                        _look_up(beam, taps, scale, count, row - top, column - left, tile, cells, shares)
                        pixel = row * image.shape[1] + column
                        _gather(lanes, taps, image, pixel, y, first * y.shape[1], cells, shares, count)


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def project(lanes, beam, taps, views, scale, shift, image, y, first, stop):  # noqa: ANN001, ANN201
    """Add all pixels to the views [first, stop), at most VIEWS: the transpose of `back_project`, of the same shapes."""
    bins, count = y.shape[1] - 2 * len(taps), stop - first
    tile, cells = np.zeros(9 * VIEWS, np.float32), np.zeros(VIEWS, np.int32)
    shares = np.zeros(len(taps) * VIEWS, np.float32)
    for top in range(0, image.shape[0], TILE):
        for left in range(0, image.shape[1], TILE):
            _enter(beam, taps, views, scale, shift, bins, first, count, top, left, tile)
            for row in range(top, min(top + TILE, image.shape[0])):
                for column in range(left, min(left + TILE, image.shape[1])):
                    _look_up(beam, taps, scale, count, row - top, column - left, tile, cells, shares)
                    pixel = row * image.shape[1] + column
                    _scatter(lanes, taps, image, pixel, y, first * y.shape[1], cells, shares, count)
