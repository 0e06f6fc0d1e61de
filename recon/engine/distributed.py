"""One process or many: torchrun starts them, its environment says who is who."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from recon.errors import UsageError

__all__ = ["World", "choose_device", "data_parallel", "joined"]


@dataclass(frozen=True, slots=True)
class World:
    """One process among all of a run.

    Rank r of N works on the micro-batches r * A / N to (r + 1) * A / N of each step's A: together they see exactly
    what one process with `accumulate` A sees.
    """

    rank: int
    size: int
    device: torch.device

    @property
    def main(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self.rank == 0

    def micros(self, accumulate: int) -> range:
        """Return the micro-batches of a step that are the share of this process."""
        if accumulate % self.size:
            raise UsageError(
                f"training.accumulate {accumulate} must be a multiple of the {self.size} processes: set it to "
                f"{self.size * max(1, round(accumulate / self.size))}"
            )
        share = accumulate // self.size
        return range(self.rank * share, (self.rank + 1) * share)

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean over all processes."""
        return self.sum(values) / self.size if self.size > 1 else values

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum over all processes."""
        if self.size > 1:
            values = values.clone()
            dist.all_reduce(values)
        return values

    def largest(self, value: int) -> int:
        """Return the largest of one number per process, known to all of them."""
        if self.size == 1:
            return value
        shared = torch.tensor(value, device=self.device)
        dist.all_reduce(shared, dist.ReduceOp.MAX)
        return int(shared)

    def barrier(self) -> None:
        """Wait for all processes."""
        if self.size > 1:
            dist.barrier()

    @torch.no_grad()
    def average_buffers(self, model: nn.Module) -> None:
        """Average running statistics, which each process gathered from its own share of the data."""
        if self.size > 1:
            for buffer in model.buffers():
                if buffer.is_floating_point():
                    buffer.copy_(self.mean(buffer))


def choose_device(name: str) -> torch.device:
    """Turn auto, cpu, cuda, cuda:N or mps into a device; under torchrun, cuda means this process's own.

    Raises
    ------
    UsageError
        If there is no such device.
    """
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if name == "auto":
        name = "cuda" if cuda else "mps" if mps else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"unknown device {name!r}: use auto, cpu, cuda, cuda:0 or mps") from None
    if device.type not in ("cpu", "cuda", "mps"):
        raise UsageError(f"unknown device {name!r}: use auto, cpu, cuda, cuda:0 or mps")
    if (device.type == "cuda" and not cuda) or (device.type == "mps" and not mps):
        raise UsageError(f"device {name!r} is not available here: use auto or cpu")
    if device.type == "cuda":
        index = device.index if device.index is not None else int(os.environ.get("LOCAL_RANK", "0"))
        if index >= torch.cuda.device_count():
            raise UsageError(f"device cuda:{index} is not there: this machine has {torch.cuda.device_count()}")
        device = torch.device("cuda", index)
    return device


def data_parallel(model: nn.Module, device: torch.device) -> DistributedDataParallel:
    """Wrap a model so that its gradients are averaged over all processes; buffers stay each process's own."""
    # Newer torch calls the switch otherwise, and warns about the old name.
    names = inspect.signature(DistributedDataParallel.__init__).parameters
    switch = "forward_sync_buffers" if "forward_sync_buffers" in names else "broadcast_buffers"
    ids = [device.index] if device.type == "cuda" else None
    options: dict[str, Any] = {switch: False}
    return DistributedDataParallel(model, device_ids=ids, **options)


@contextmanager
def joined(device: torch.device) -> Iterator[World]:
    """Join the process group that torchrun's environment describes, and leave it at the end; alone without one."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if size == 1:
        yield World(0, 1, device)
        return
    ours = not dist.is_initialized()
    if ours:
        cuda = device.type == "cuda"
        dist.init_process_group("nccl" if cuda else "gloo", device_id=device if cuda else None)
    try:
        yield World(dist.get_rank(), dist.get_world_size(), device)
    finally:
        if ours:
            dist.destroy_process_group()
