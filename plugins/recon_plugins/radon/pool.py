"""Threads for compiled kernels, safe in forked workers and under threads of the caller's own."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import torch

__all__ = ["run_all"]


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


def run_all(tasks: Iterable[Callable[[], object]]) -> None:
    """Run independent tasks that release the GIL on as many threads as torch uses, and wait for them."""
    tasks = list(tasks)
    threads = min(torch.get_num_threads(), len(tasks))
    if threads <= 1:
        for task in tasks:
            task()
        return
    for future in [_pools.get(threads).submit(task) for task in tasks]:
        future.result()
