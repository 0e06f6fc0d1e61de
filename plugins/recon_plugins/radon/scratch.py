"""Memory that projectors work in, kept from call to call: fresh pages cost more than what is computed in them."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from recon_plugins.radon.pool import run_all

__all__ = ["scratch"]

KEPT = 4
"""Pieces of memory that are kept at most: what one call at a time needs."""

LINE = 64
"""Bytes of a line of the cache: a vector that straddles two takes twice as long to load."""

CLEARED = 1 << 17
"""Numbers that one task sets to zero."""

Memory = np.ndarray[tuple[int], np.dtype[np.uint8]]


class _Store:
    """Pieces of memory that nobody uses."""

    def __init__(self) -> None:
        self.reset()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self.reset)  # another thread may have held the lock

    def reset(self) -> None:
        self.lock, self.pieces = threading.Lock(), list[Memory]()

    def take(self, size: int) -> Memory:
        """Take the smallest piece that is large enough, or a new one."""
        with self.lock:
            fitting = [index for index, piece in enumerate(self.pieces) if piece.nbytes >= size]
            if fitting:
                return self.pieces.pop(min(fitting, key=lambda index: self.pieces[index].nbytes))
        piece = np.empty(size + LINE, np.uint8)
        return piece[-piece.ctypes.data % LINE :][:size]

    def give(self, piece: Memory) -> None:
        """Give a piece back; the smallest go where there are too many."""
        with self.lock:
            self.pieces = sorted([*self.pieces, piece], key=lambda piece: piece.nbytes)[-KEPT:]


_store = _Store()


@contextmanager
def scratch(*shape: int, dtype: torch.dtype, zero: bool = False) -> Iterator[Tensor]:
    """Lend a tensor of that shape, filled with zeros or with anything, until the end of the block.

    Several threads may be in such blocks at once; each has memory of its own. The tensor is made anew each time, so
    that it belongs to the inference mode that it is used in.
    """
    size = math.prod(shape) * dtype.itemsize
    memory = _store.take(size)
    try:
        tensor = torch.from_numpy(memory)[:size].view(dtype).view(shape)
        if zero:
            run_all([part.zero_ for part in tensor.view(-1).split(CLEARED)], tensor.numel())
        yield tensor
    finally:
        _store.give(memory)
