"""Losses since the last log point, kept on the device."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from recon.engine.distributed import World

__all__ = ["LossWindow"]


class LossWindow:
    """A row per step between two log points: nothing is read until one is reached, and no step is lost.

    Parameters
    ----------
    columns
        Names of the numbers kept of each step.
    checked
        How many of them, from the first, must be finite.
    length
        Steps between two log points.
    device
        Where the losses are.
    """

    def __init__(self, columns: Sequence[str], checked: int, length: int, device: torch.device) -> None:
        self.columns = list(columns)
        self.checked = checked
        self.length = length
        self.rows = torch.zeros(length, len(columns), device=device)
        self.since = 0
        self._slots = [row.unbind() for row in self.rows.unbind()]

    def put(self, step: int, column: int, value: Tensor, *, first: bool) -> None:
        """Note a number of `step`, or add it to what the micro-batches before gave."""
        slot = self._slots[step % self.length][column]
        if first:
            slot.copy_(value.detach())
        else:
            slot.add_(value.detach())

    def start(self, step: int) -> int:
        """Return the first step that the window holds when `step` steps are done."""
        return max(self.since, (step - 1) // self.length * self.length)

    def read(self, step: int, world: World) -> Tensor:
        """Return the numbers of steps `start` to `step` on the CPU, added up over all processes."""
        first = self.start(step)
        offset = first % self.length
        # Doubled on the CPU: some devices have no double precision.
        return world.sum(self.rows[offset : offset + step - first]).cpu().double()

    def first_bad(self, rows: Tensor, step: int) -> tuple[int, str, float] | None:
        """Return step, name and value of the first loss that is not finite."""
        bad = ~rows[:, : self.checked].isfinite()
        if not bool(bad.any()):
            return None
        row, column = (int(index) for index in bad.nonzero()[0])
        return self.start(step) + row, self.columns[column], float(rows[row, column])

    def means(self, rows: Tensor, accumulate: int) -> dict[str, float]:
        """Return the mean of each column over the window's steps and micro-batches.

        Steps whose number is not finite are left out: such are the gradient norms of steps that fp16 scaling skipped.
        """
        kept = rows.isfinite()
        mean = torch.where(kept, rows, 0).sum(0) / kept.sum(0)
        return dict(zip(self.columns, (mean / accumulate).tolist(), strict=True))
