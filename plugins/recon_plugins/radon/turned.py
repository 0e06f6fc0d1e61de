"""Images side by side in the lanes of vectors, each as a turn of the square shows it, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, lru_cache, partial
from threading import Lock
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recon_plugins.radon.machine import DOUBLE, FLOAT, I32, I64, Code, numbers, vector
from recon_plugins.radon.pool import parts, run_all
from recon_plugins.radon.scratch import scratch
from recon_plugins.radon.symmetry import Turn
from recon_plugins.radon.transpose import transposed_block, transposing

__all__ = ["add_back", "show", "shown"]

TASKS = 16
"""Into how many parts the lines of an image are divided."""

_compiling = Lock()


@contextmanager
def shown(x: Tensor, turns: Sequence[Turn], columns: Iterable[bool]) -> Iterator[tuple[Tensor, Tensor]]:
    """Lend what `show` reads: images (n, H, W), and transposed, so that every turn's lines are lines of one of them."""
    with scratch(len(x), x.shape[2], x.shape[1], dtype=x.dtype) as transposed:
        x = x.contiguous()
        if any(_lines(turn, swapped)[0] for turn in turns for swapped in columns):
            pairs = zip(x, transposed, strict=True)
            run_all([task for image, target in pairs for task in transposing(image, target)], x.numel())
        yield x, transposed


def show(sources: tuple[Tensor, Tensor], turns: Sequence[Turn], image: Tensor, *, columns: bool) -> None:
    """Write turn k of image i of n into lane k n + i of cells 1 ... W of the lines of an image (H, W + 2, lanes).

    With `columns`, the lines are columns: each turned image is transposed. Cells at the ends and lanes left over
    become zero.
    """
    lines, cells, lanes = image.shape
    image[:, 0], image[:, -1] = 0, 0
    empty = torch.zeros(cells, dtype=image.dtype)
    rows = _rows(sources, turns, columns, lanes, empty)
    kernel = _kernel(image.itemsize, lanes, add=False)
    arguments = (image.data_ptr(), cells, *_addresses(rows), cells - 2)
    run_all([partial(kernel, *arguments, *part) for part in parts(lines, TASKS)], image.numel())


def add_back(image: Tensor, turns: Sequence[Turn], x: Tensor, *, columns: bool) -> None:
    """Turn what each lane holds back, and add it to the images x (n, H, W): the transpose of `show`."""
    lines, cells, lanes = image.shape
    with scratch(len(x), x.shape[2], x.shape[1], dtype=x.dtype, zero=True) as transposed:
        spare = torch.zeros(cells, dtype=image.dtype)
        rows = _rows((x, transposed), turns, columns, lanes, spare)
        kernel = _kernel(image.itemsize, lanes, add=True)
        arguments = (image.data_ptr(), cells, *_addresses(rows), cells - 2)

        def lines_and_mirrored(start: int, stop: int) -> None:
            kernel(*arguments, start, stop)
            kernel(*arguments, max(stop, lines - stop), lines - start)

        # A turn may show lines in reverse: what line l is added to, line H - 1 - l may be. One task has both.
        run_all([partial(lines_and_mirrored, *part) for part in parts(-(-lines // 2), TASKS)], image.numel())
        if any(_lines(turn, columns)[0] for turn in turns):
            pairs = zip(transposed, x, strict=True)
            run_all([task for total, image in pairs for task in transposing(total, image, add=True)], x.numel())


@cache
def _lines(turn: Turn, columns: bool) -> tuple[bool, bool]:
    """Return whether the lines of a turned image are columns of the image itself, and whether they run backwards."""
    stride = _view(np.empty((1, 3, 3), np.uint8), turn, columns).strides[2]
    return abs(stride) == 3, stride < 0


def _view(images: Any, turn: Turn, columns: bool) -> Any:
    """Return the turned images as a view: arrays of numpy may run backwards."""
    images = np.rot90(images[..., ::-1] if turn.mirror else images, turn.quarters, (1, 2))
    return images.swapaxes(1, 2) if columns else images


def _rows(images: tuple[Tensor, Tensor], turns: Sequence[Turn], columns: bool, lanes: int, spare: Tensor) -> Tensor:
    """Return, for each lane, the address of its first line, bytes to the next, and whether it is backwards: (3, lanes).

    Lanes without an image have the spare line alone.
    """
    across, places, steps, backwards = _layout(images[0].shape, images[0].itemsize, tuple(turns), columns)
    rows = np.zeros((3, lanes), np.int64)
    rows[0] = spare.data_ptr()
    starts = np.where(across, images[1].data_ptr(), images[0].data_ptr())
    rows[:, : len(across)] = starts + places, steps, backwards
    return torch.from_numpy(rows)


@lru_cache(64)
def _layout(shape: torch.Size, itemsize: int, turns: tuple[Turn, ...], columns: bool) -> NDArray[np.int64]:
    """Return what `_rows` tells, with places from the images' start, below whether these are transposed: (4, n)."""
    count, height, width = shape
    found = []
    for turn in turns:
        across, backwards = _lines(turn, columns)
        stored = np.empty((count, width, height) if across else (count, height, width), f"V{itemsize}")
        for image in _view(stored.swapaxes(1, 2) if across else stored, turn, columns):
            ends = image[:, ::-1] if backwards else image
            found.append((across, ends.ctypes.data - stored.ctypes.data, ends.strides[0], backwards))
    return np.array(found, np.int64).T


def _addresses(rows: Tensor) -> list[int]:
    return [row.data_ptr() for row in rows]


def _kernel(itemsize: int, lanes: int, *, add: bool) -> Callable[..., None]:
    with _compiling:
        return _compiled(itemsize, lanes, add)


@cache
def _compiled(itemsize: int, lanes: int, add: bool) -> Callable[..., None]:
    """Copy lines [begin, end) of all lanes into an image by blocks transposed in registers; or add them back."""
    number = FLOAT if itemsize == 4 else DOUBLE
    side = min(32 // itemsize, lanes)
    kind = vector(number, side)
    code = Code(
        "add_back" if add else "show",
        {"image": number.as_pointer(), "cells": I64, "base": I64.as_pointer(), "step": I64.as_pointer()}
        | {"backwards": I64.as_pointer()}
        | dict.fromkeys(("length", "begin", "end"), I64),
    )
    emit = code.emit
    whole = emit.sub(code.length, emit.srem(code.length, I64(side)))

    def entry(line: Any, cell: Any, lane: Any) -> Any:
        place = emit.add(emit.mul(line, code.cells), emit.add(cell, I64(1)))
        return emit.gep(code.image, [emit.add(emit.mul(place, I64(lanes)), lane)])

    def line_of(lane: Any, line: Any, ahead: Any, back: Any) -> tuple[Any, Any]:
        """Return where a lane's line has a cell, counted from its end if it is backwards, and whether it is."""
        backwards = emit.icmp_signed("!=", code.load(code.backwards, lane), I64(0))
        start = emit.add(code.load(code.base, lane), emit.mul(code.load(code.step, lane), line))
        return emit.gep(emit.inttoptr(start, number.as_pointer()), [emit.select(backwards, back, ahead)]), backwards

    with code.loop(code.begin, code.end) as line:
        with code.loop(I64(0), whole, side) as cell, code.loop(I64(0), I64(lanes), side) as lane:
            steps = [I64(k) for k in range(side)]
            back = emit.sub(emit.sub(code.length, I64(side)), cell)
            rows = [line_of(emit.add(lane, k), line, cell, back) for k in steps]
            places = [emit.bitcast(entry(line, emit.add(cell, k), lane), kind.as_pointer()) for k in steps]
            block = [emit.load(place, align=itemsize) for place in places] if add else []
            block = transposed_block(emit, block)
            found = []
            for k, (row, backwards) in enumerate(rows):
                row = emit.bitcast(row, kind.as_pointer())
                value = block[k] if add else emit.load(row, align=itemsize)
                mirrored = emit.shuffle_vector(value, value, numbers(I32, list(range(side))[::-1]))
                value = emit.select(backwards, mirrored, value)
                if add:
                    emit.store(emit.fadd(emit.load(row, align=itemsize), value), row, align=itemsize)
                found.append(value)
            if not add:
                for value, place in zip(transposed_block(emit, found), places, strict=True):
                    emit.store(value, place, align=itemsize)
        with code.loop(whole, code.length) as cell, code.loop(I64(0), I64(lanes)) as lane:
            row, _ = line_of(lane, line, cell, emit.sub(emit.sub(code.length, I64(1)), cell))
            place = entry(line, cell, lane)
            if add:
                emit.store(emit.fadd(emit.load(row), emit.load(place)), row)
            else:
                emit.store(emit.load(row), place)
    return code.compile()
