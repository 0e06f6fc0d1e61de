"""The order of batches whose items are all of one shape."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from recon.engine.keys import BatchOrder, Purpose, key
from recon.errors import UsageError
from recon.interfaces import Bucketed, Dataset

__all__ = ["BucketOrder", "buckets_of"]


def buckets_of(dataset: Dataset) -> Sequence[int]:
    """Return the bucket of each item.

    Raises
    ------
    UsageError
        If the data set does not tell.
    """
    if not isinstance(dataset, Bucketed):
        raise UsageError(
            f"data.bucket: dataset {type(dataset).__name__} does not tell which of its items are of one shape (it has "
            "no method buckets); set data.crop instead"
        )
    return dataset.buckets()


class BucketOrder:
    """Which items make up the batch of a step, where all items of a batch come from one bucket.

    Every bucket has a `BatchOrder` of its own, so that every item is used equally often. Buckets take turns in rounds
    of about an epoch: in round r, a bucket of n items gives its batches floor(r n / b) to floor((r + 1) n / b), in an
    order drawn from (seed, r). All is a function of (seed, step).

    Parameters
    ----------
    buckets
        Bucket of each item; at least one.
    batch_size
        Items of one batch, over all processes.
    seed
        Seed of the run.
    drop_last
        Leave out, in each round, the items of a bucket that do not fill a batch.

    Raises
    ------
    UsageError
        If `drop_last` would leave out a whole bucket for ever.
    """

    def __init__(self, *, buckets: Sequence[int], batch_size: int, seed: int, drop_last: bool = False) -> None:
        self.size = len(buckets)
        self.batch_size = batch_size
        self.seed = seed
        members: dict[int, list[int]] = {}
        for index, bucket in enumerate(buckets):
            members.setdefault(bucket, []).append(index)
        small = min(map(len, members.values()))
        if drop_last and small < batch_size:
            raise UsageError(
                f"a bucket has {small} items, fewer than batch_size {batch_size}, and drop_last leaves out incomplete "
                "batches: these items would never be used; set drop_last: false"
            )
        self._members = [torch.tensor(indices) for indices in members.values()]
        self._orders = [
            BatchOrder(size=len(m), batch_size=batch_size, seed=key(seed, Purpose.ORDER, 0, g + 1), drop_last=drop_last)
            for g, m in enumerate(self._members)
        ]
        self.epoch_length = sum(order.epoch_length for order in self._orders)
        self._rounds: dict[int, tuple[int, list[tuple[int, int]]]] = {}

    def epoch(self, step: int) -> float:
        """Return the number of epochs that lie before `step`."""
        return step * self.batch_size / self.epoch_length

    def indices(self, step: int, start: int = 0, stop: int | None = None) -> Tensor:
        """Return the items of a step's batch, or positions `start` to `stop` of it, as int64 on the CPU."""
        turn = step * self.batch_size // self.epoch_length
        while self._start(turn + 1) <= step:  # at most once for each bucket
            turn += 1
        first, turns = self._round(turn)
        bucket, number = turns[step - first]
        members: Tensor = self._members[bucket]
        return members[self._orders[bucket].indices(number, start, stop)]

    def _before(self, turn: int) -> list[int]:
        """Return how many batches of each bucket lie before round `turn`."""
        return [turn * order.epoch_length // self.batch_size for order in self._orders]

    def _start(self, turn: int) -> int:
        return sum(self._before(turn))

    def _round(self, turn: int) -> tuple[int, list[tuple[int, int]]]:
        """Return the first step of a round, and of each step the bucket and which of its batches it is."""
        found = self._rounds.get(turn)
        if found is None:
            before, after = self._before(turn), self._before(turn + 1)
            given = [bucket for bucket, count in enumerate(before) for _ in range(after[bucket] - count)]
            generator = torch.Generator().manual_seed(key(self.seed, Purpose.ORDER, turn))
            turns = []
            for position in torch.randperm(len(given), generator=generator).tolist():
                bucket = given[position]
                turns.append((bucket, before[bucket]))
                before[bucket] += 1
            found = self._start(turn), turns
            # As in BatchOrder: a source looks ahead by a few batches, so the round before is still of use.
            self._rounds = {t: r for t, r in self._rounds.items() if abs(t - turn) <= 1} | {turn: found}
        return found
