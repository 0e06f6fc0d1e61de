"""Randomness and data order as pure functions of (seed, step): there is no random state to save."""

from __future__ import annotations

import hashlib
import struct
from enum import IntEnum

import torch
from torch import Tensor

from recon.errors import UsageError

__all__ = ["BatchOrder", "Keys", "Purpose", "key"]


class Purpose(IntEnum):
    """What random numbers are for. Each purpose has streams of its own; the numbers are part of every run's result."""

    ORDER = 1
    AUGMENT = 2
    SIMULATE = 3
    LOSS = 4
    MODEL = 5
    VALIDATE = 6
    ITEM = 7


def key(seed: int, purpose: int, a: int = 0, b: int = 0) -> int:
    """Hash (seed, purpose, a, b) to a 63-bit seed, the same on every machine and version."""
    digest = hashlib.blake2b(struct.pack("<qqqq", seed, purpose, a, b), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


class Keys:
    """Generators keyed by (purpose, step, micro-batch).

    Parameters
    ----------
    seed
        Seed of the run.
    device
        Device that the generators draw on.

    Notes
    -----
    One generator object is kept for each purpose and seeded anew at every call, which is far cheaper than making one:
    draw from it before the next call with the same purpose.
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        self.seed = seed
        self.device = device
        self._generators = {purpose: torch.Generator(device=device) for purpose in Purpose}
        self._host = torch.Generator()

    def generator(self, purpose: Purpose, step: int = 0, micro: int = 0) -> torch.Generator:
        """Return the purpose's generator, seeded for this step and micro-batch."""
        return self._generators[purpose].manual_seed(key(self.seed, purpose, step, micro))

    def host_generator(self, purpose: Purpose, step: int = 0, micro: int = 0) -> torch.Generator:
        """Return a generator of the CPU with a stream of its own, to draw operators with.

        What a mask or a field of view is gets decided on the host: a draw on the device would have to be waited for.
        """
        return self._host.manual_seed(key(self.seed, -purpose, step, micro))

    def seed_global(self, step: int, micro: int) -> None:
        """Seed torch's global generators, which dropout layers draw from."""
        value = key(self.seed, Purpose.MODEL, step, micro)
        torch.default_generator.manual_seed(value)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(value)
        elif self.device.type == "mps":
            torch.mps.manual_seed(value)


class BatchOrder:
    """Which items make up the batch of a step.

    Epochs are permutations of the data set, each a function of (seed, epoch). With `drop_last` the items that do not
    fill a batch are left out of their epoch; without it batches run on across the border of epochs, so that every
    item is used equally often and every batch is full.

    Parameters
    ----------
    size
        Number of items.
    batch_size
        Items of one batch, over all processes.
    seed
        Seed of the run.
    drop_last
        What to do with the items that do not fill a batch.
    """

    def __init__(self, *, size: int, batch_size: int, seed: int, drop_last: bool = False) -> None:
        if size == 0:
            raise UsageError("the training set is empty: check the path and the split of data.train")
        if drop_last and size < batch_size:
            raise UsageError(
                f"batch_size {batch_size} is larger than the training set of {size}, and drop_last leaves out "
                f"incomplete batches: nothing would be trained; use batch_size <= {size} or drop_last: false"
            )
        self.size = size
        self.batch_size = batch_size
        self.seed = seed
        self.epoch_length = size // batch_size * batch_size if drop_last else size
        self._epochs: dict[int, Tensor] = {}

    def epoch(self, step: int) -> float:
        """Return the number of epochs that lie before `step`."""
        return step * self.batch_size / self.epoch_length

    def indices(self, step: int, start: int = 0, stop: int | None = None) -> Tensor:
        """Return the items of a step's batch, or positions `start` to `stop` of it, as int64 on the CPU."""
        first = step * self.batch_size
        position, end = first + start, first + (self.batch_size if stop is None else stop)
        epoch, offset = divmod(position, self.epoch_length)
        count = min(end - position, self.epoch_length - offset)
        part = self._permutation(epoch)[offset : offset + count]
        if position + count == end:
            return part
        parts = [part]
        while (position := position + count) < end:
            epoch += 1
            count = min(end - position, self.epoch_length)
            parts.append(self._permutation(epoch)[:count])
        return torch.cat(parts)

    def _permutation(self, epoch: int) -> Tensor:
        found = self._epochs.get(epoch)
        if found is None:
            generator = torch.Generator().manual_seed(key(self.seed, Purpose.ORDER, epoch))
            found = torch.randperm(self.size, generator=generator)
            # A streamed source looks ahead by a few batches: the epoch before is still of use, older ones are not.
            self._epochs = {e: p for e, p in self._epochs.items() if abs(e - epoch) <= 1} | {epoch: found}
        return found
