"""Compiled kernels: one ray through many images at once, one image a lane of a vector.

A ray is followed over blocks of `LINES` lines of the image. Where it meets the lines of a block, and with what shares of
the two nearest cells, is worked out for all of them at once; then comes straight code, line by line. The image has zeros
around it, so that a block that a ray enters or leaves needs no other code: `MARGIN` cells on either side of a line, and
lines up to a whole block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from threading import Lock
from typing import Any

from llvmlite import ir

from recon_plugins.radon.machine import DOUBLE, FLOAT, I32, I64, Code, numbers, vector

__all__ = ["LINES", "MARGIN", "back_project", "precision", "project"]

LINES = 8
"""Lines of a block."""
RAYS = 8
"""Rays worked out at a time."""
DEPTH = 16
"""Most blocks at a time."""
BYTES = ir.IntType(8).as_pointer()
SUMS = 8
"""Registers of 256 bits that a sum is spread over."""
MARGIN = LINES + 2
"""Cells of zeros on either side: farther than a ray that meets the image in a block can stray from it there."""

_compiling = Lock()


@dataclass(frozen=True)
class _Precision:
    """Numbers of one precision, and how positions in cells are kept: in fixed point, with so many bits of fraction.

    Within a block a position is counted from the cell in which the ray enters it, in `step` with `fine` bits of
    fraction; `mantissa` of them become those of a number in [1, 2), whose bits without them are `one`.
    """

    kind: Any
    fraction: int
    step: Any
    fine: int
    mantissa: int
    one: int


_PRECISIONS = {
    4: _Precision(FLOAT, 32, I32, 27, 23, 0x3F800000),
    8: _Precision(DOUBLE, 48, I64, 58, 52, 0x3FF0000000000000),
}


def precision(itemsize: int) -> int:
    """Return the bits of fraction that positions have for numbers of so many bytes."""
    return _PRECISIONS[itemsize].fraction


def project(itemsize: int, lanes: int) -> Callable[..., None]:
    """Return the kernel that adds to y the line integrals along rays [begin, end), over blocks [top, bottom).

    Its arguments: image (lines, cells, lanes), cells, y (samples, lanes), the ray table (alpha, gamma, weight, first,
    stop, sample; `first` and `stop` count blocks), begin, end, top, bottom, depth: so many blocks at a time, which the
    processor's caches hold.
    """
    with _compiling:
        return _compiled(itemsize, lanes, False)


def back_project(itemsize: int, lanes: int) -> Callable[..., None]:
    """Return the transpose of `project`, with the very same shares: it alone may write to these lines of the image."""
    with _compiling:
        return _compiled(itemsize, lanes, True)


@cache
def _compiled(itemsize: int, lanes: int, transpose: bool) -> Callable[..., None]:
    numeric = _PRECISIONS[itemsize]
    kind = vector(numeric.kind, lanes)
    longs, ints, numbers_ = I64.as_pointer(), I32.as_pointer(), numeric.kind.as_pointer()
    code = Code(
        "back_project" if transpose else "project",
        {"image": kind.as_pointer(), "cells": I64, "y": kind.as_pointer(), "alpha": longs, "gamma": longs}
        | {"weight": numbers_, "first": ints, "stop": ints, "sample": ints}
        | dict.fromkeys(("begin", "end", "top", "bottom", "depth"), I64),
    )
    emit = code.emit
    path = _Path(code, numeric, lanes)
    with code.loop(code.top, code.bottom, code.depth) as top, code.loop(code.begin, code.end, RAYS) as group:
        bottom = code.smaller(emit.add(top, code.depth), code.bottom)
        count = code.smaller(emit.sub(code.end, group), I64(RAYS))
        with code.loop(I64(0), count) as index:
            path.prepare(index, emit.add(group, index), top, bottom)
        with code.loop(I64(0), count) as index, path.crossing(index):
            ray = emit.add(group, index)
            place = emit.gep(code.y, [code.load(code.sample, ray)])
            weight = code.spread(code.load(code.weight, ray), lanes)
            if transpose:
                value = emit.fmul(weight, emit.load(place, align=4))
                with path.blocks(index) as cells:
                    for cell, share in cells:
                        code.add_to(cell, value, code.spread(share, lanes))
            else:
                # So many sums that none waits for itself.
                chains = min(max(SUMS * 32 // (lanes * itemsize), 1), 8)
                sums = [code.variable(ir.Constant(kind, None)) for _ in range(chains)]
                with path.blocks(index) as cells:
                    for number, (cell, share) in enumerate(cells):
                        code.add_to_variable(sums[number % chains], emit.load(cell, align=4), code.spread(share, lanes))
                values = [emit.load(total) for total in sums]
                while len(values) > 1:
                    values = [emit.fadd(a, b) for a, b in zip(values[::2], values[1::2], strict=True)]
                code.add_to(place, values[0], weight)
    return code.compile()


class _Path:
    """Code that works out where rays meet the lines of some blocks, and goes over the cells there.

    The two are loops of their own, over some rays at a time and with memory in between: the second never waits for what
    the first has to compute, and a share that comes from memory fills a vector for nothing.
    """

    def __init__(self, code: Code, numeric: _Precision, lanes: int) -> None:
        self.code, self.numeric = code, numeric
        self.offsets = code.room(vector(I32, LINES), RAYS * DEPTH)
        self.shares = [code.room(vector(numeric.kind, LINES), RAYS * DEPTH) for _ in range(2)]
        self.starts, self.counts = code.room(BYTES, RAYS), code.room(I64, RAYS)
        self.size = lanes * (4 if numeric.kind == FLOAT else 8)
        self.stride = code.emit.mul(code.cells, I64(self.size))
        narrow = code.emit.trunc(self.stride, I32)
        self.lines = code.emit.mul(code.spread(narrow, LINES), numbers(I32, range(LINES)))
        self.block = code.emit.mul(narrow, I32(LINES))
        self.image = code.emit.bitcast(code.image, BYTES)

    def prepare(self, index: Any, ray: Any, top: Any, bottom: Any) -> None:
        """Emit the loop that fills the tables of a ray for those of blocks [top, bottom) that it crosses."""
        code, numeric = self.code, self.numeric
        emit = code.emit
        low = code.greater(code.load(code.first, ray), top)
        count = emit.sub(code.smaller(code.load(code.stop, ray), bottom), low)
        start = emit.mul(low, I64(LINES))
        gamma = code.load(code.gamma, ray)
        emit.store(emit.gep(self.image, [emit.mul(start, self.stride)]), emit.gep(self.starts, [index]))
        emit.store(count, emit.gep(self.counts, [index]))
        at = code.variable(emit.add(code.load(code.alpha, ray), emit.mul(gamma, start)))
        line = code.variable(I32(0))
        step = emit.mul(gamma, I64(LINES))
        steps = emit.mul(code.spread(self._fine(gamma), LINES), numbers(numeric.step, range(LINES)))
        base = emit.mul(index, I64(DEPTH))
        with code.loop(I64(0), count) as block:
            position = emit.load(at)
            emit.store(emit.add(position, step), at)
            entered = emit.trunc(emit.ashr(position, I64(numeric.fraction)), I32)
            entered = emit.add(emit.mul(entered, I32(self.size)), emit.load(line))
            emit.store(emit.add(emit.load(line), self.block), line)
            inside = emit.and_(position, I64((1 << numeric.fraction) - 1))
            along = emit.add(code.spread(self._fine(inside), LINES), steps)
            cell = emit.ashr(along, self._all(numeric.fine))
            if numeric.step != I32:
                cell = emit.trunc(cell, vector(I32, LINES))
            offset = emit.add(emit.mul(cell, numbers(I32, [self.size] * LINES)), self.lines)
            to = emit.add(base, block)
            emit.store(emit.add(offset, code.spread(entered, LINES)), emit.gep(self.offsets, [to]))
            bits = numeric.step.width
            mantissa = emit.lshr(emit.shl(along, self._all(bits - numeric.fine)), self._all(bits - numeric.mantissa))
            number = emit.bitcast(emit.or_(mantissa, self._all(numeric.one)), vector(numeric.kind, LINES))
            first, second = (emit.gep(share, [to]) for share in self.shares)
            emit.store(emit.fsub(numbers(numeric.kind, [2.0] * LINES), number), first)
            emit.store(emit.fsub(number, numbers(numeric.kind, [1.0] * LINES)), second)

    @contextmanager
    def crossing(self, index: Any) -> Iterator[None]:
        """Emit what follows for rays that cross the blocks only."""
        self.count = self.code.load(self.counts, index)
        with self.code.emit.if_then(self.code.emit.icmp_signed(">", self.count, I64(0)), likely=True):
            yield

    @contextmanager
    def blocks(self, index: Any) -> Iterator[list[tuple[Any, Any]]]:
        """Emit the loop over a ray's blocks: pointers to the two cells of each line, with their shares."""
        code = self.code
        emit = code.emit
        start, base = emit.load(emit.gep(self.starts, [index])), emit.mul(index, I64(DEPTH))
        with code.loop(I64(0), self.count) as block:
            at = emit.add(base, block)
            offsets = code.hidden(emit.gep(self.offsets, [at]), I32.as_pointer())
            shares = [code.hidden(emit.gep(s, [at]), self.numeric.kind.as_pointer()) for s in self.shares]
            found = []
            for line in map(I64, range(LINES)):
                cell = emit.bitcast(emit.gep(start, [code.load(offsets, line)]), code.image.type)
                after = emit.gep(cell, [I64(1)])
                found += [(cell, code.load(shares[0], line)), (after, code.load(shares[1], line))]
            yield found

    def _all(self, value: int) -> Any:
        return numbers(self.numeric.step, [value] * LINES)

    def _fine(self, position: Any) -> Any:
        """Emit a position of the ray table in the bits of a block."""
        shift = self.numeric.fine - self.numeric.fraction
        if shift > 0:
            return self.code.emit.shl(position, I64(shift))
        return self.code.emit.trunc(self.code.emit.ashr(position, I64(-shift)), self.numeric.step)
