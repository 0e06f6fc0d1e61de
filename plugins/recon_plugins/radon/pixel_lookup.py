"""Pixel-driven back-projection in plain torch operations: what the compiled kernels are tested against."""

from __future__ import annotations

import torch
from torch import Tensor

from recon_plugins.radon.view_table import ViewTable

__all__ = ["PixelLookup", "add_rows"]

ENTRIES = 2**23
"""Values looked up at a time."""


class PixelLookup:
    """The maps of `PixelDriven` in plain torch operations, for any device and precision; some views at a time."""

    def __init__(self, table: ViewTable, size: tuple[int, ...], taps: int) -> None:
        self.table, self.size, self.taps = table, size, taps
        self.views = table.coefficients.shape[1]
        self.row = table.bins + 2 * taps

    def forward(self, x: Tensor) -> Tensor:
        """Spread pixels over the bins they are interpolated from. Shapes: x (N, H W) -> (N, A D)."""
        y = x.new_zeros(self.views, self.row, len(x))
        for views in self._chunks(len(x), x.device):
            cells, shares = self._look_up(views, x)
            parts = x.T[:, None, None] * shares[..., None]
            add_rows(y[views].flatten(0, 1), cells.flatten(), parts.flatten(0, 2))
        return y[:, self.taps : -self.taps].permute(2, 0, 1).flatten(1)

    def adjoint(self, y: Tensor) -> Tensor:
        """Sum interpolated views. Shapes: y (N, A D) -> (N, H W)."""
        rows = torch.nn.functional.pad(y.unflatten(1, (self.views, -1)), (self.taps, self.taps)).permute(1, 2, 0)
        rows = rows.contiguous()  # the items of a bin lie side by side
        x = y.new_zeros(self.size[0] * self.size[1], len(y))
        for views in self._chunks(len(y), y.device):
            cells, shares = self._look_up(views, y)
            samples = rows[views].flatten(0, 1)[cells.flatten(1)]
            x += torch.einsum("psn,ps->pn", samples, shares.flatten(1))
        return x.T

    def _chunks(self, items: int, device: torch.device) -> list[slice]:
        entries = ENTRIES if device.type == "cpu" else 8 * ENTRIES  # where each step costs launches
        step = max(1, entries // (self.size[0] * self.size[1] * self.taps * items))
        return [slice(first, min(first + step, self.views)) for first in range(0, self.views, step)]

    def _look_up(self, views: slice, like: Tensor) -> tuple[Tensor, Tensor]:
        # Places in double precision, which some devices lack.
        device = like.device if like.device.type in ("cpu", "cuda") else torch.device("cpu")
        cells, shares = self.table.look_up(views, self.size, self.taps, device)
        return cells.to(like.device), shares.to(like.dtype).to(like.device)


def add_rows(target: Tensor, index: Tensor, rows: Tensor) -> None:
    """Add each row to the row of the target that the index tells, in the same order every time.

    Shapes: target (M, ...), index (K,), rows (K, ...).
    """
    if target.device.type == "cuda":  # sorts; index_add_ adds there in any order
        target.index_put_((index,), rows, accumulate=True)
    else:
        target.index_add_(0, index, rows)
