"""Plans of finufft (CPU) and cufinufft (CUDA), kept for reuse: sums at arbitrary frequencies."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import math
import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from recon.errors import MissingDependencyError

__all__ = ["Direction", "PlanCache", "clear_plans", "in_use", "transform"]

Direction = Literal["samples", "image"]
"""What a transform makes: samples of an image, or the adjoint's image of samples."""

MISSING = "NUFFT needs finufft: pip install 'recon-toolkit[noncart]'"
_FLOOR = {torch.complex64: 1e-6, torch.complex128: 1e-14}
"""What rounding leaves of `eps` at usual sizes; the libraries warn of less."""


class PlanCache:
    """Plans that wait for their next use; the longest unused goes first. Threads share it, forked processes do not.

    A plan is taken out while it works, so that no two threads ever work with one; the last one returned stays however
    large it is.

    Parameters
    ----------
    most
        Number of plans kept.
    most_bytes
        Their memory.
    """

    def __init__(self, *, most: int = 32, most_bytes: int = 2**31) -> None:
        self.most = most
        self.most_bytes = most_bytes
        self.renew()

    def renew(self) -> None:
        """Start anew in a forked process: neither its lock nor its plans are those of the parent."""
        self._lock = threading.Lock()
        self._idle: OrderedDict[tuple[Any, ...], _Plan] = OrderedDict()

    def take(self, key: tuple[Any, ...]) -> _Plan | None:
        """Take a plan out, if there is one."""
        with self._lock:
            return self._idle.pop(key, None)

    def put(self, key: tuple[Any, ...], plan: _Plan) -> None:
        """Return a plan, and let go of what is then too much."""
        gone = []
        with self._lock:
            gone.append(self._idle.pop(key, None))
            self._idle[key] = plan
            while len(self._idle) > 1 and (len(self._idle) > self.most or self.bytes() > self.most_bytes):
                gone.append(self._idle.popitem(last=False)[1])
        gone.clear()  # libraries free memory here, outside the lock

    def bytes(self) -> int:
        """Return an estimate of the memory that the plans hold."""
        return sum(plan.bytes for plan in self._idle.values())

    def __len__(self) -> int:
        """Return the number of plans that wait."""
        return len(self._idle)


class _Plan:
    """A plan of either library for one set of frequencies.

    One finufft plan serves both directions by the same kernel, which makes them adjoint to rounding; cufinufft needs a
    plan each, and the same upsampling for both.
    """

    def __init__(
        self, points: Tensor, size: tuple[int, ...], count: int, eps: float, dtype: torch.dtype, direction: Direction
    ) -> None:
        self.source = points  # keeps its address taken, which is the key of the cache
        real = dtype.to_real()
        columns = [column.contiguous() for column in points.to(real).T]
        name = str(dtype).removeprefix("torch.")
        self.size, self.count, self.points, self.dtype = size, count, len(points), dtype
        self.cuda = points.is_cuda
        if self.cuda:
            kind, sign = (2, -1) if direction == "samples" else (1, 1)
            options = {"gpu_device_id": points.device.index, "upsampfac": 2.0}
            options["gpu_stream"] = torch.cuda.current_stream(points.device).cuda_stream
            library = importlib.import_module("cufinufft")
            self.plan = library.Plan(kind, size, count, eps, sign, name, **options)
            self.plan.setpts(*columns)
        else:
            # Threads that share a transform add up in any order; those that take one each do not.
            sharing = 2 if torch.are_deterministic_algorithms_enabled() else 0
            library = _finufft()
            threads = _threads(size, len(points), count, eps)
            options = {"nthreads": threads, "showwarn": 0, "spread_thread": sharing}
            self.plan = library.Plan(2, size, count, eps, -1, name, **options)
            self.plan.setpts(*(column.numpy() for column in columns))
        # finufft takes its grid when it works and lets it go, cufinufft keeps it.
        grid = dtype.itemsize * torch.Size(size).numel() * 2 ** len(size) if self.cuda else 0
        self.bytes = grid + self.points * 8 * (len(size) + 1)

    def run(self, data: Tensor, direction: Direction) -> Tensor:
        """Transform `count` images or sets of samples."""
        shape = (self.points,) if direction == "samples" else self.size
        out = torch.empty(self.count, *shape, dtype=self.dtype, device=data.device)
        given, result = (data[0], out[0]) if self.count == 1 else (data, out)
        if self.cuda:
            self.plan.execute(given, out=result)
        elif direction == "samples":
            self.plan.execute(given.numpy(), out=result.numpy())
        else:
            self.plan.execute_adjoint(given.numpy(), out=result.numpy())
        return out


def transform(
    direction: Direction, data: Tensor, points: Tensor, size: Sequence[int], eps: float, scale: float = 1.0
) -> Tensor:
    """Sum at arbitrary frequencies; no gradient passes.

    ``samples``: y_j = scale sum_r x_r exp(-i w_j . (r - n // 2)); ``image``: x_r = scale sum_j y_j exp(+i w_j . (r -
    n // 2)). Both hold to a relative error of about `eps`, and are adjoint to rounding.

    Shapes: x (..., *size), y (..., M), w (M, dimensions) in radians per pixel.

    Raises
    ------
    MissingDependencyError
        If finufft is not installed.
    """
    size = tuple(size)
    item = size if direction == "samples" else (len(points),)
    new = (len(points),) if direction == "samples" else size
    batch = data.shape[: data.ndim - len(item)]
    count = batch.numel()
    if count == 0 or len(points) == 0:
        return data.new_zeros(*batch, *new)
    data = data.detach().reshape(count, *item)
    smaller_first = scale != 1 and torch.Size(item).numel() <= torch.Size(new).numel()
    data = (data * scale if smaller_first else data).resolve_conj().resolve_neg().contiguous()
    if data.is_cuda and not _has("cufinufft"):
        result = _run(direction, data.cpu(), points.detach().cpu(), size, eps).to(data.device)
    else:
        result = _run(direction, data, points.detach(), size, eps)
    if scale != 1 and not smaller_first:
        result *= scale
    return result.reshape(*batch, *new)


def _run(direction: Direction, data: Tensor, points: Tensor, size: tuple[int, ...], eps: float) -> Tensor:
    eps = max(eps / 2, _FLOOR[data.dtype])  # the libraries' own figure is exceeded up to twofold
    key: tuple[Any, ...] | None = None
    if not points.is_inference():  # inference tensors do not count their changes
        place = (points.data_ptr(), points._version, points.shape, points.stride(), points.dtype)
        if data.is_cuda:
            how: tuple[Any, ...] = (points.device, torch.cuda.current_stream(points.device).cuda_stream, direction)
        else:
            how = (_threads(size, len(points), len(data), eps), torch.are_deterministic_algorithms_enabled())
        key = (*place, size, len(data), eps, data.dtype, *how)
    plan = _cache.take(key) if key else None
    if plan is None:
        plan = _Plan(points, size, len(data), eps, data.dtype, direction)
    result = plan.run(data, direction)
    if key:
        _cache.put(key, plan)
    return result


def clear_plans() -> None:
    """Free the memory of all plans that wait for their next use."""
    _cache.renew()


def in_use() -> dict[str, str]:
    """Return for each device here, by name, the library that serves it."""
    finufft = f"finufft {importlib.metadata.version('finufft')}" if _has("finufft") else f"none: {MISSING}"
    lines = {"NUFFT, cpu": finufft}
    if torch.cuda.is_available():
        if _has("cufinufft"):
            lines["NUFFT, cuda"] = f"cufinufft {importlib.metadata.version('cufinufft')}"
        else:
            lines["NUFFT, cuda"] = "through the CPU, which is slow: pip install cufinufft"
    return lines


def _finufft() -> Any:
    try:
        return importlib.import_module("finufft")
    except ImportError as error:
        raise MissingDependencyError(MISSING) from error


def _has(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def _threads(size: tuple[int, ...], points: int, count: int, eps: float) -> int:
    # The threads of OpenMP do not survive a fork, and waiting for them would never end.
    if _forked:
        return 1
    width = 1 - math.log10(eps)
    adds = count * (points * width ** len(size) + math.prod(size) * 2 ** len(size))
    return torch.get_num_threads() if adds > _WORTH_THREADS else 1


_WORTH_THREADS = 500_000
"""Additions to a grid that take about a millisecond; less than that is sooner done than handed out."""

_cache = PlanCache()
_forked = False
_inherited: list[Any] = []
"""Plans of the parent process, which are not ours to free."""


def _after_fork() -> None:
    global _forked
    _forked = True
    _inherited.append(_cache._idle)
    _cache.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
