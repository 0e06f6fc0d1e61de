"""Vector code that resamples one run of numbers onto another: the inner step of all compiled kernels of volumes.

The lanes of a vector are neighbours in the target, and a processor's permutation of a register serves them from the
source: `lerp_add` reads a blend of two runs at evenly spaced positions (rays of a detector column among the voxels of
an upright line), `spread_add` is its transpose, written as a sum over what each target element receives, so that no two
lanes write to one place. How many registers have to be permuted depends on the distance of positions; `windows` says.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import binding, ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic

__all__ = ["LANES", "NARROW", "WIDE", "Lanes", "lerp_add", "spread_add"]

BITS = 26
"""Bits of the fraction of a position within a vector, which leaves 5 for what is before the point."""
CONTRACT = ("contract",)
I32, I64, F32 = ir.IntType(32), ir.IntType(64), ir.FloatType()

Lanes = tuple[int, ...]
Fetch = Callable[[int], Any]


def _permutation() -> tuple[str | None, int]:
    """Return the instruction that permutes a register of floats by indices in another, and the number of lanes."""
    chosen = config.CPU_FEATURES
    features = binding.get_host_cpu_features().flatten() if chosen is None else chosen
    names = features.split(",")
    if "+avx512f" in names:
        return "llvm.x86.avx512.permvar.sf.512", 16
    if "+avx2" in names:
        return "llvm.x86.avx2.permps", 8
    return None, 4


PERMUTATION, LANES = _permutation()
NARROW = 1.0 if PERMUTATION else 0.0
"""Largest distance of neighbouring positions that one register serves; beyond, two halves are put together."""
WIDE = (LANES - 1) / (LANES // 2 - 1) if PERMUTATION else 0.0
"""Largest distance that two halves serve; beyond, every lane is loaded by itself."""


@intrinsic  # type: ignore[untyped-decorator]
def lerp_add(
    _typing: Any,
    lanes: Any,
    windows: Any,
    source: Any,
    near: Any,
    far: Any,
    share: Any,
    at: Any,
    step: Any,
    weight: Any,
    target: Any,
    to: Any,
) -> Any:
    """target[to + i] += weight * run(position i), i < lanes, run being (1 - share) and share of the source's two.

    The runs start at elements `near` and `far`; position i is (at + i step) 2^-32 from there, between two elements that
    are interpolated linearly. `lanes` and `windows` are tuples of those lengths.
    """

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        _, _, source, near, far, share, at, step, weight, target, to = args
        vectors = _Positions(builder, signature.args[0].count, signature.args[1].count, at, step)
        data = _data(context, builder, signature.args[2], source)
        ends = vectors.splat(builder.fsub(ir.Constant(F32, 1.0), share)), vectors.splat(share)
        runs = [builder.gep(data, [start]) for start in (near, far)]

        def blend(offset: int) -> Fetch:
            def fetch(window: int) -> Any:
                a, b = (vectors.load(run, window, offset) for run in runs)
                part = builder.fmul(a, ends[0] if vectors.whole else vectors.first(ends[0]), flags=CONTRACT)
                other = builder.fmul(b, ends[1] if vectors.whole else vectors.first(ends[1]), flags=CONTRACT)
                return builder.fadd(part, other, flags=CONTRACT)

            return fetch

        low, high = vectors.collect(blend(0)), vectors.collect(blend(1))
        rise = builder.fmul(builder.fsub(high, low, flags=CONTRACT), vectors.share, flags=CONTRACT)
        value = builder.fadd(low, rise, flags=CONTRACT)
        _accumulate(vectors, _data(context, builder, signature.args[9], target), to, value, weight)
        return context.get_dummy_value()

    arguments = (lanes, windows, source, near, far, share, at, step, weight, target, to)
    return types.void(*arguments), emit


@intrinsic  # type: ignore[untyped-decorator]
def spread_add(
    _typing: Any,
    lanes: Any,
    windows: Any,
    source: Any,
    start: Any,
    at: Any,
    step: Any,
    spacing: Any,
    taps: Any,
    target: Any,
    near: Any,
    near_weight: Any,
    far: Any,
    far_weight: Any,
) -> Any:
    """Add to two runs of the target, at `near` and `far` and in those weights, what each of their elements receives.

    Elements of the source lie `spacing` elements of the target apart; lane i receives from up to `taps` of them, each
    by 1 - its distance. The first is element 1 + floor(position i), where position i = (at + i step) 2^-32, counted
    from `start`, is the place among the source's elements of the point one element before the lane's.
    """

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        _, _, source, start, at, step, spacing, taps, target, near, near_weight, far, far_weight = args
        vectors = _Positions(builder, signature.args[0].count, signature.args[1].count, at, step)
        run = builder.gep(_data(context, builder, signature.args[2], source), [start])
        one, gap = vectors.constant(1.0), vectors.splat(spacing)
        # Distance of the first element from the lane's: (1 - share) spacing - 1.
        distance = builder.fsub(builder.fmul(builder.fsub(one, vectors.share), gap, flags=CONTRACT), one)
        distance = cgutils.alloca_once_value(builder, distance)
        zero, positive = vectors.constant(0.0), ir.Constant(vectors.ints, [0x7FFFFFFF] * vectors.lanes)
        total = cgutils.alloca_once_value(builder, zero)
        with cgutils.for_range(builder, taps) as loop:
            here = builder.gep(run, [builder.add(loop.index, I64(1))])
            away = builder.load(distance)
            absolute = builder.bitcast(builder.and_(builder.bitcast(away, vectors.ints), positive), vectors.type)
            weight = builder.fsub(one, absolute)
            weight = builder.select(builder.fcmp_ordered(">", weight, zero), weight, zero)
            value = vectors.collect(lambda window: vectors.load(here, window, 0))
            part = builder.fmul(value, weight, flags=CONTRACT)
            builder.store(builder.fadd(builder.load(total), part, flags=CONTRACT), total)
            builder.store(builder.fadd(away, gap), distance)
        value, data = builder.load(total), _data(context, builder, signature.args[8], target)
        _accumulate(vectors, data, near, value, near_weight)
        _accumulate(vectors, data, far, value, far_weight)
        return context.get_dummy_value()

    arguments = (lanes, windows, source, start, at, step, spacing, taps, target, near, near_weight, far, far_weight)
    return types.void(*arguments), emit


class _Positions:
    """Code for the positions of all lanes, and for fetching what lies there."""

    def __init__(self, builder: ir.IRBuilder, lanes: int, windows: int, at: Any, step: Any) -> None:
        # Without a permutation, what asks for one is compiled all the same, though never called.
        windows = windows if PERMUTATION else lanes
        self.builder, self.lanes, self.windows = builder, lanes, windows
        self.type, self.ints = ir.VectorType(F32, lanes), ir.VectorType(I32, lanes)
        self.each = lanes // windows
        """Lanes that one window serves."""
        self.whole = self.each > 1
        self.bases, rests = [], []
        for window in range(windows):
            place = builder.add(at, builder.mul(step, I64(window * self.each)))
            self.bases.append(builder.ashr(place, I64(32)))
            rests.append(builder.lshr(builder.trunc(place, I32), I32(32 - BITS)))
        within = ir.Constant(self.ints, [lane % self.each for lane in range(lanes)])
        offsets = self._select([self.splat(rest, self.ints) for rest in rests])
        if self.whole:
            pace = builder.trunc(builder.ashr(step, I64(32 - BITS)), I32)
            offsets = builder.add(offsets, builder.mul(self.splat(pace, self.ints), within))
        self.index = builder.lshr(offsets, ir.Constant(self.ints, [BITS] * lanes))
        rest = builder.and_(offsets, ir.Constant(self.ints, [(1 << BITS) - 1] * lanes))
        self.share = builder.fmul(builder.sitofp(rest, self.type), self.constant(2.0**-BITS))

    def load(self, run: Any, window: int, offset: int) -> Any:
        """Emit what a window reads: a vector from its base on, or the one number there where it serves one lane."""
        pointer = self.builder.gep(run, [self.builder.add(self.bases[window], I64(offset))])
        if not self.whole:
            return self.builder.load(pointer)
        return self.builder.load(self.builder.bitcast(pointer, self.type.as_pointer()), align=4)

    def collect(self, fetch: Fetch) -> Any:
        """Emit the vector of what the lanes' positions show, each in its window."""
        builder = self.builder
        if not self.whole:
            result = ir.Constant(self.type, ir.Undefined)
            for lane in range(self.lanes):
                result = builder.insert_element(result, fetch(lane), I32(lane))
            return result
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(self.type, [self.type, self.ints]), PERMUTATION
        )
        return self._select([builder.call(function, [fetch(window), self.index]) for window in range(self.windows)])

    def splat(self, value: Any, vector: Any = None) -> Any:
        """Emit a vector of equal numbers."""
        vector = self.type if vector is None else vector
        single = self.builder.insert_element(ir.Constant(vector, ir.Undefined), value, I32(0))
        return self.builder.shuffle_vector(single, single, ir.Constant(self.ints, None))

    def first(self, vector: Any) -> Any:
        """Emit the first number of a vector."""
        return self.builder.extract_element(vector, I32(0))

    def constant(self, value: float) -> Any:
        """Emit a vector of equal constants."""
        return ir.Constant(self.type, [value] * self.lanes)

    def _select(self, parts: list[Any]) -> Any:
        """Take the lanes of each window from its part."""
        result = parts[0]
        for window, part in enumerate(parts[1:], 1):
            mask = [lane + self.lanes * (lane // self.each == window) for lane in range(self.lanes)]
            result = self.builder.shuffle_vector(result, part, ir.Constant(self.ints, mask))
        return result


def _data(context: Any, builder: ir.IRBuilder, kind: Any, array: Any) -> Any:
    return context.make_array(kind)(context, builder, array).data


def _accumulate(vectors: _Positions, data: Any, index: Any, value: Any, weight: Any) -> None:
    builder = vectors.builder
    pointer = builder.bitcast(builder.gep(data, [index]), vectors.type.as_pointer())
    part = builder.fmul(value, vectors.splat(weight), flags=CONTRACT)
    builder.store(builder.fadd(builder.load(pointer, align=4), part, flags=CONTRACT), pointer, align=4)
