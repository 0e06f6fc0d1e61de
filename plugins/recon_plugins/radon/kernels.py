"""Compiled kernels: one ray through many images at once, one image a lane of a vector.

Written in terms of two LLVM loops, since compiled NumPy loops do not vectorise here: the compiler cannot know that
image and sinogram do not overlap. The number of lanes is the length of a tuple, a type, so that every kernel is a plain
function of the module and its machine code is kept on disk.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

__all__ = ["back_project", "project"]

CONTRACT = ("contract",)  # multiply and add may be fused where the processor can


@intrinsic  # type: ignore[untyped-decorator]
def _gather(
    _typing: Any, lanes: Any, image: Any, line: Any, at: Any, step: Any, count: Any, weight: Any, y: Any, to: Any
) -> Any:
    """y[to] += weight * sum of the image along the ray, over `count` lines from `line`, met at cell `at`.

    Positions are cells in fixed point, 32 bits of fraction.
    """

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        _, image, line, at, step, count, weight, y, to = args
        walk = _Walk(context, builder, signature.args[0].count, (signature.args[1], image), line, at, step)
        # Two sums, so that neither waits for the other.
        sums = [cgutils.alloca_once_value(builder, ir.Constant(walk.vector, None)) for _ in range(2)]
        with cgutils.for_range(builder, count):
            pointers, shares = walk.next()
            for total, pointer, share in zip(sums, pointers, shares, strict=True):
                value = builder.fmul(builder.load(pointer, align=4), share, flags=CONTRACT)
                builder.store(builder.fadd(builder.load(total), value, flags=CONTRACT), total)
        value = builder.fadd(builder.load(sums[0]), builder.load(sums[1]))
        pointer = walk.row(context, (signature.args[7], y), to)
        value = builder.fmul(value, walk.splat(weight), flags=CONTRACT)
        builder.store(builder.fadd(builder.load(pointer, align=4), value, flags=CONTRACT), pointer, align=4)
        return context.get_dummy_value()

    return types.void(lanes, image, line, at, step, count, weight, y, to), emit


@intrinsic  # type: ignore[untyped-decorator]
def _scatter(
    _typing: Any, lanes: Any, image: Any, line: Any, at: Any, step: Any, count: Any, weight: Any, y: Any, of: Any
) -> Any:
    """Add weight * y[of] to the image along the ray: the transpose of `_gather`, with the very same shares."""

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        _, image, line, at, step, count, weight, y, of = args
        walk = _Walk(context, builder, signature.args[0].count, (signature.args[1], image), line, at, step)
        pointer = walk.row(context, (signature.args[7], y), of)
        value = builder.fmul(builder.load(pointer, align=4), walk.splat(weight))
        with cgutils.for_range(builder, count):
            for pointer, share in zip(*walk.next(), strict=True):
                part = builder.fmul(value, share, flags=CONTRACT)
                builder.store(builder.fadd(builder.load(pointer, align=4), part, flags=CONTRACT), pointer, align=4)
        return context.get_dummy_value()

    return types.void(lanes, image, line, at, step, count, weight, y, of), emit


class _Walk:
    """Code that steps along a ray from line to line and tells the two cells it falls between, with their shares."""

    def __init__(
        self, context: Any, builder: ir.IRBuilder, lanes: int, image: tuple[Any, Any], line: Any, at: Any, step: Any
    ) -> None:
        self.builder, self.lanes, self.step = builder, lanes, step
        self.vector = ir.VectorType(ir.FloatType(), lanes)
        self.ints = ir.VectorType(ir.IntType(32), lanes)
        array = context.make_array(image[0])(context, builder, image[1])
        self.cells = cgutils.unpack_tuple(builder, array.shape)[1]
        start = builder.bitcast(array.data, self.vector.as_pointer())
        self.pointer = cgutils.alloca_once_value(builder, builder.gep(start, [builder.mul(line, self.cells)]))
        self.at = cgutils.alloca_once_value(builder, at)

    def next(self) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
        """Emit pointers to the two cells and their shares as vectors, and the step to the next line."""
        builder = self.builder
        at, line = builder.load(self.at), builder.load(self.pointer)
        cell = builder.gep(line, [builder.ashr(at, at.type(32))])
        after = builder.gep(cell, [at.type(1)])
        builder.store(builder.add(at, self.step), self.at)
        builder.store(builder.gep(line, [self.cells]), self.pointer)
        # The upper 23 bits of the fraction as the mantissa of a number in [1, 2): no conversion is needed.
        mantissa = builder.lshr(builder.trunc(at, ir.IntType(32)), ir.Constant(ir.IntType(32), 9))
        one = builder.or_(mantissa, ir.Constant(ir.IntType(32), 0x3F800000))
        number = builder.bitcast(self.splat(one, self.ints), self.vector)
        shares = (
            builder.fsub(ir.Constant(self.vector, [2.0] * self.lanes), number),
            builder.fsub(number, ir.Constant(self.vector, [1.0] * self.lanes)),
        )
        return (cell, after), shares

    def splat(self, value: Any, vector: Any = None) -> Any:
        """Emit a vector of equal numbers."""
        vector = self.vector if vector is None else vector
        single = self.builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
        return self.builder.shuffle_vector(single, single, ir.Constant(self.ints, None))

    def row(self, context: Any, array: tuple[Any, Any], index: Any) -> Any:
        """Emit a pointer to a row of an array (rows, lanes)."""
        data = context.make_array(array[0])(context, self.builder, array[1]).data
        return self.builder.gep(self.builder.bitcast(data, self.vector.as_pointer()), [index])


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def project(lanes, image, rays, begin, end, depth, y):  # noqa: ANN001, ANN201
    """Add the line integrals along rays [begin, end) to y, `depth` lines of the image at a time (they fit the cache).

    Shapes: image (lines, cells, lanes), with a cell of zeros on either end; y (samples, lanes).
    """
    alpha, gamma, weight, first, stop, sample = rays
    for top in range(0, image.shape[0], depth):
        for ray in range(np.uintp(begin), np.uintp(end)):  # unsigned: no index counts from the end
            low, high = max(first[ray], top), min(stop[ray], top + depth)
            if low < high:
                at = alpha[ray] + gamma[ray] * low
                _gather(lanes, image, low, at, gamma[ray], high - low, weight[ray], y, sample[ray])


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def back_project(lanes, image, rays, begin, end, y):  # noqa: ANN001, ANN201
    """Add all rays to the image's lines [begin, end), which this call alone writes to. Shapes as for `project`."""
    alpha, gamma, weight, first, stop, sample = rays
    for ray in range(np.uintp(len(alpha))):
        low, high = max(first[ray], begin), min(stop[ray], end)
        if low < high:
            at = alpha[ray] + gamma[ray] * low
            _scatter(lanes, image, low, at, gamma[ray], high - low, weight[ray], y, sample[ray])
