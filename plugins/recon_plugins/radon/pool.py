"""Threads for compiled kernels, safe in forked workers and under threads of the caller's own."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager

import torch

__all__ = ["alone", "parts", "run_all"]


GRAIN = 1 << 17
"""Numbers whose copying takes longer than to wake a thread, by far."""


class _Pools:
    """One pool per number of threads. A forked child starts anew, for threads do not survive a fork."""

    def __init__(self) -> None:
        self.reset()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self.reset)

    def reset(self) -> None:
        self.lock = threading.Lock()
        self.pools: dict[int, ThreadPoolExecutor] = {}

    def get(self, threads: int) -> ThreadPoolExecutor:
        with self.lock:
            if threads not in self.pools:
                self.pools[threads] = ThreadPoolExecutor(threads, "radon")
            return self.pools[threads]


_pools = _Pools()
_own = threading.local()


@contextmanager
def alone() -> Iterator[None]:
    """Keep torch's own operations in the caller's thread, and let `run_all` use as many threads as torch would have.

    Waking torch's threads takes longer than the short copies between kernels, many times so where they find no idle
    core; and in a forked worker they may not exist.
    """
    before = torch.get_num_threads()
    if before == 1:
        yield
        return
    _own.threads = before
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        del _own.threads


def run_all(tasks: Iterable[Callable[[], object]], size: int | None = None) -> None:
    """Run independent tasks that release the GIL on as many threads as torch uses, the caller's among them.

    Where `size` tells about how many numbers they copy, or take as long, one more thread is woken for each GRAIN of it.
    """
    queue = deque(tasks)

    def work() -> None:
        while True:
            try:
                task = queue.popleft()
            except IndexError:
                return
            task()

    most = max(torch.get_num_threads(), getattr(_own, "threads", 1)) - 1
    helpers = min(most, len(queue) - 1, most if size is None else size // GRAIN)
    futures = [_pools.get(most).submit(work) for _ in range(helpers)]
    try:
        work()
    finally:
        # Who has not begun by now has nothing left to do.
        futures = [future for future in futures if not future.cancel()]
        if futures:
            wait(futures)
    for future in futures:
        future.result()


def parts(count: int, most: int) -> list[tuple[int, int]]:
    """Divide range(count) into at most so many ranges [start, stop) of one size, the last perhaps shorter."""
    size = -(-count // most)
    return [(start, min(start + size, count)) for start in range(0, count, size)] if count else []
