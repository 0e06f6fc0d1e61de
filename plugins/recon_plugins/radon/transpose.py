"""Moving the axis of images from first to last and back, by blocks that are transposed in registers."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from threading import Lock
from typing import Any

from torch import Tensor

from recon_plugins.radon.machine import DOUBLE, FLOAT, I32, I64, Code, numbers, vector
from recon_plugins.radon.pool import run_all

__all__ = ["transpose", "transposed_block", "transposing"]

TASK = 1 << 17
"""Entries that one task moves."""

LONGEST = 2048
"""The most entries of the short axis."""

_compiling = Lock()


def transpose(source: Tensor, target: Tensor) -> None:
    """Write the transpose of one matrix into another; fast if the shorter side fills registers.

    Shapes: source (m, n), target (n, m), both contiguous and of one precision.
    """
    run_all(transposing(source, target), source.numel())


def transposing(source: Tensor, target: Tensor, *, add: bool = False) -> list[Callable[[], object]]:
    """Return independent tasks that write the transpose of one matrix into another, or add it."""
    side = 32 // source.itemsize
    short, long = sorted(source.shape)
    whole = long - long % side
    if not short or short % side or short > LONGEST or not whole:
        return [partial(target.add_ if add else target.copy_, source.T)]
    gather = source.shape[0] == short  # the short axis comes first and becomes the last
    with _compiling:
        kernel = _compiled(source.itemsize, gather, add)
    arguments = (source.data_ptr(), target.data_ptr(), short, long)
    tasks: list[Callable[[], object]]
    step = -(-TASK // (short * side)) * side
    tasks = [partial(kernel, *arguments, start, min(start + step, whole)) for start in range(0, whole, step)]
    if whole < long:
        kept, left = (target[whole:], source[:, whole:]) if gather else (target[:, whole:], source[whole:])
        tasks.append(partial(kept.add_ if add else kept.copy_, left.T))
    return tasks


@cache
def _compiled(itemsize: int, gather: bool, add: bool) -> Callable[..., None]:
    """Move entries [begin, end) of the long axis: (short, long) to (long, short), or the other way; or add them."""
    number, side = (FLOAT, 8) if itemsize == 4 else (DOUBLE, 4)
    rows = vector(number, side).as_pointer()
    code = Code(
        "transpose",
        {"source": number.as_pointer(), "target": number.as_pointer()}
        | dict.fromkeys(("short", "long", "begin", "end"), I64),
    )
    emit = code.emit

    def place(array: Any, row: Any, column: Any, stride: Any) -> Any:
        return emit.bitcast(emit.gep(array, [emit.add(emit.mul(row, stride), column)]), rows)

    with code.loop(code.begin, code.end, side) as entry, code.loop(I64(0), code.short, side) as lane:
        steps = [I64(index) for index in range(side)]
        lanes, entries = ([emit.add(start, step) for step in steps] for start in (lane, entry))
        long_first = [(row, lane, code.short) for row in entries]
        short_first = [(row, entry, code.long) for row in lanes]
        reads, writes = (short_first, long_first) if gather else (long_first, short_first)
        block = [emit.load(place(code.source, *read), align=itemsize) for read in reads]
        for value, write in zip(transposed_block(emit, block), writes, strict=True):
            target = place(code.target, *write)
            emit.store(emit.fadd(emit.load(target, align=itemsize), value) if add else value, target, align=itemsize)
    return code.compile()


def transposed_block(emit: Any, block: list[Any]) -> list[Any]:
    """Emit the transposition of a square block, a power of two a side, whose rows are vectors."""
    side = len(block)
    halves = [[half * side // 2 + i // 2 + side * (i % 2) for i in range(side)] for half in (0, 1)]
    # Interleaving the halves of the rows, as often as the side is halved, transposes the block.
    for _ in range(side.bit_length() - 1):
        pairs = zip(block[: side // 2], block[side // 2 :], strict=True)
        block = [emit.shuffle_vector(a, b, numbers(I32, half)) for a, b in pairs for half in halves]
    return block
