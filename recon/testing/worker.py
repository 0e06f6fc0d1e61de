"""One spawned process for the checks that cross process borders, as data loader workers do."""

from __future__ import annotations

import multiprocessing
import pickle
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from typing import Any

__all__ = ["elsewhere"]


def elsewhere(function: Callable[..., Any], *values: Any) -> Any:
    """Return ``function(*values)`` computed in a spawned process; everything crosses as a pickle."""
    data = pickle.dumps((function, values))
    return pickle.loads(_pool().submit(_call, list(sys.path), data).result(timeout=120))  # noqa: S301 - our own


def _call(path: list[str], data: bytes) -> bytes:
    # Unpickled here and not by the pool: a failure is then an error of this call, not the end of the process.
    import torch

    sys.path[:] = path
    torch.set_default_dtype(torch.float32)  # the component before this one may have changed it
    function, values = pickle.loads(data)  # noqa: S301 - written by `elsewhere`
    return pickle.dumps(function(*values))


@cache
def _pool() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
