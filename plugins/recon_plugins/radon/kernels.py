"""Compiled kernels: one ray through many images at once, one image a lane of a vector.

Positions along a line of the image are fixed-point numbers of 64 bits, 32 of them or more behind the point: sums of
them are exact, so that a ray meets the same cells with the same shares wherever it is taken up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import Any

from llvmlite import ir

from recon_plugins.radon.machine import DOUBLE, FLOAT, I32, I64, Code, numbers, vector

__all__ = ["back_project", "fraction", "project"]

WIDE = 128
"""Bytes of a vector from which one line at a time is enough; below, two lines have sums of their own."""

_compiling = Lock()


def fraction(itemsize: int, cells: int) -> int:
    """Return how many bits of a position stand behind the point, for numbers of so many bytes and so large an image."""
    return 32 if itemsize == 4 else 60 - cells.bit_length()


def project(itemsize: int, lanes: int, bits: int) -> Callable[..., None]:
    """Return the kernel that adds to y the line integrals along rays [begin, end), over lines [top, bottom).

    Its arguments: image (lines, cells, lanes), with a cell of zeros on either end of a line; cells; y (samples, lanes);
    the ray table alpha, gamma, weight, first, stop, sample; begin, end, top, bottom, depth: so many lines at a time,
    which the processor's caches hold. Positions have `bits` behind the point.
    """
    with _compiling:
        return _compiled(itemsize, lanes, bits, False)


def back_project(itemsize: int, lanes: int, bits: int) -> Callable[..., None]:
    """Return the transpose of `project`, with the very same shares: it alone may write to these lines of the image."""
    with _compiling:
        return _compiled(itemsize, lanes, bits, True)


@cache
def _compiled(itemsize: int, lanes: int, bits: int, transpose: bool) -> Callable[..., None]:
    number = FLOAT if itemsize == 4 else DOUBLE
    kind = vector(number, lanes)
    longs, ints = I64.as_pointer(), I32.as_pointer()
    code = Code(
        "back_project" if transpose else "project",
        {"image": kind.as_pointer(), "cells": I64, "y": kind.as_pointer(), "alpha": longs, "gamma": longs}
        | {"weight": number.as_pointer(), "first": ints, "stop": ints, "sample": ints}
        | dict.fromkeys(("begin", "end", "top", "bottom", "depth"), I64),
    )
    emit = code.emit
    with code.loop(code.top, code.bottom, code.depth) as top, code.loop(code.begin, code.end) as ray:
        bottom = code.smaller(emit.add(top, code.depth), code.bottom)
        low = code.greater(code.load(code.first, ray), top)
        high = code.smaller(code.load(code.stop, ray), bottom)
        with emit.if_then(emit.icmp_signed("<", low, high)):
            walk = _Walk(code, number, lanes, bits, ray, low)
            place = emit.gep(code.y, [code.load(code.sample, ray)])
            weight = code.spread(code.load(code.weight, ray), lanes)
            if transpose:
                value = emit.fmul(weight, emit.load(place, align=itemsize))
                with code.loop(low, high):
                    for cell, share in walk.step():
                        code.add_to(cell, value, share)
            else:
                together = 1 if lanes * itemsize >= WIDE else 2
                sums = [code.variable(ir.Constant(kind, None)) for _ in range(2 * together)]
                for last in (True,) if together == 1 else (False, True):
                    with _lines(code, low, high, together, last) as count:
                        for index in range(count):
                            for total, (cell, share) in zip(sums[2 * index :], walk.step(), strict=False):
                                code.add_to_variable(total, emit.load(cell, align=itemsize), share)
                values = [emit.load(total) for total in sums]
                while len(values) > 1:
                    values = [emit.fadd(a, b) for a, b in zip(values[::2], values[1::2], strict=True)]
                code.add_to(place, values[0], weight)
    return code.compile()


@contextmanager
def _lines(code: Code, low: Any, high: Any, together: int, last: bool) -> Iterator[int]:
    """Emit a loop over lines: so many at a time; or, the last, over single ones that are left."""
    if together == 1:
        with code.loop(low, high):
            yield 1
        return
    left = code.emit.srem(code.emit.sub(high, low), I64(together))
    whole = code.emit.sub(high, left)
    with code.loop(whole, high) if last else code.loop(low, whole, together):
        yield 1 if last else together


class _Walk:
    """Code that steps along a ray from line to line and tells the two cells it falls between, with their shares."""

    def __init__(self, code: Code, number: Any, lanes: int, bits: int, ray: Any, line: Any) -> None:
        self.code, self.number, self.lanes, self.bits = code, number, lanes, bits
        emit = code.emit
        self.gamma = code.load(code.gamma, ray)
        self.at = code.variable(emit.add(code.load(code.alpha, ray), emit.mul(self.gamma, line)))
        self.line = code.variable(emit.gep(code.image, [emit.mul(line, code.cells)]))

    def step(self) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
        """Emit pointers to the two cells and their shares as vectors, and the step to the next line."""
        code = self.code
        emit = code.emit
        at, line = emit.load(self.at), emit.load(self.line)
        cell = emit.gep(line, [emit.ashr(at, I64(self.bits))])
        emit.store(emit.add(at, self.gamma), self.at)
        emit.store(emit.gep(line, [code.cells]), self.line)
        # The upper bits of the fraction as the mantissa of a number in [1, 2): no conversion is needed.
        if self.number == FLOAT:
            mantissa = emit.lshr(emit.trunc(at, I32), I32(9))
            number = emit.or_(mantissa, I32(0x3F800000))
        else:
            mantissa = emit.lshr(emit.shl(at, I64(64 - self.bits)), I64(12))
            number = emit.or_(mantissa, I64(0x3FF0000000000000))
        number = code.spread(emit.bitcast(number, self.number), self.lanes)
        shares = (
            emit.fsub(numbers(self.number, [2.0] * self.lanes), number),
            emit.fsub(number, numbers(self.number, [1.0] * self.lanes)),
        )
        return (cell, shares[0]), (emit.gep(cell, [I64(1)]), shares[1])
