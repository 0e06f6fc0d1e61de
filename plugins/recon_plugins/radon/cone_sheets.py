"""Projection of volumes on the CPU by compiled kernels, for rays whose detector columns stay in upright planes."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor

from recon_plugins.radon import cone_sheet_kernels as kernels
from recon_plugins.radon.cone_rays import SheetTable
from recon_plugins.radon.pool import run_all
from recon_plugins.radon.resampling import LANES

__all__ = ["SheetProjector"]

DEPTH = 4
"""Lines that `forward` works on at a time."""
VIEWS = 16
"""Views of one of its tasks, at most."""
SLAB = 16
"""Lines of one task of `adjoint`."""


class SheetProjector:
    """Projection in float32 and its exact adjoint, in memory for one copy of volume and projections.

    Every value has one writer, so results do not depend on the number of threads.
    """

    def __init__(self, table: SheetTable, size: tuple[int, ...]) -> None:
        self.size, self.rows = size, table.rows
        self.shape = (*table.cell.shape, table.rows)
        self._table = tuple(
            part.contiguous().numpy()
            for part in (
                table.along_rows, table.cell, table.cell_step, table.height, table.height_step,
                table.spacing, table.spacing_step,
            )
        )  # fmt: skip
        self._lengths = tuple(part.contiguous().numpy() for part in (table.flat, table.rise, table.spread))
        least, largest = table.spacings(size)
        # What a vector reads beyond what it needs, and the zeros beyond either end.
        self.pad = -(-(math.ceil(largest * LANES) + LANES + 3) // LANES) * LANES
        self.margin = -(-(math.ceil((LANES + 2) / least) + LANES + 3) // LANES) * LANES
        self._sides = [side for side in (True, False) if (table.along_rows == side).any()]

    def forward(self, x: Tensor) -> Tensor:
        """Project. Shapes: x (N, D H W) -> (N, A R C)."""
        views, columns, rows = self.shape
        result = x.new_empty(len(x), views, rows, columns)
        for item, out in zip(x.detach().unflatten(1, self.size), result, strict=True):
            volume, y = self._volume(), self._sinogram()
            self._within(volume).copy_(item.permute(1, 2, 0))
            step = min(VIEWS, -(-views // (2 * torch.get_num_threads())))
            run_all(
                partial(
                    kernels.project, volume.numpy().reshape(-1), self.size, self.pad, self._table, self.rows,
                    (start, min(start + step, views)), DEPTH, y.numpy().reshape(-1), self.margin,
                )
                for start in range(0, views, step)
            )  # fmt: skip
            self._weigh(y)
            out.copy_(self._bins(y).transpose(1, 2))
        return result.flatten(1)

    def adjoint(self, y: Tensor) -> Tensor:
        """Back-project. Shapes: y (N, A R C) -> (N, D H W)."""
        views, columns, rows = self.shape
        result = y.new_empty(len(y), *self.size)
        for item, out in zip(y.detach().unflatten(1, (views, rows, columns)), result, strict=True):
            volume, sinogram = self._volume(), self._sinogram()
            self._bins(sinogram).copy_(item.transpose(1, 2))
            self._weigh(sinogram)
            for upright in self._sides:
                lines = self.size[1] if upright else self.size[2]
                run_all(
                    partial(
                        kernels.back_project, volume.numpy().reshape(-1), self.size, self.pad, self._table, self.rows,
                        start, min(start + SLAB, lines), upright, sinogram.numpy().reshape(-1), self.margin,
                    )
                    for start in range(0, lines, SLAB)
                )  # fmt: skip
            out.copy_(self._within(volume).permute(2, 0, 1))
        return result.flatten(1)

    def _weigh(self, y: Tensor) -> None:
        """Multiply the rays by their length between two lines."""
        views, flat = self.shape[0], y.numpy().reshape(-1)
        run_all(
            partial(kernels.weigh, self._lengths, self.rows, (start, min(start + VIEWS, views)), flat, self.margin)
            for start in range(0, views, VIEWS)
        )

    def _volume(self) -> Tensor:
        slices, height, width = self.size
        # Whole vectors are written.
        return torch.zeros(height + 2, width + 2, 2 * self.pad + -(-slices // LANES) * LANES)

    def _within(self, volume: Tensor) -> Tensor:
        return volume[1:-1, 1:-1, self.pad : self.pad + self.size[0]]

    def _sinogram(self) -> Tensor:
        views, columns, rows = self.shape
        return torch.zeros(views, columns, 2 * self.margin + -(-rows // LANES) * LANES)

    def _bins(self, y: Tensor) -> Tensor:
        return y[..., self.margin : self.margin + self.rows]
