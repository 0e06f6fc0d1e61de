"""Projection of volumes on CUDA by Triton kernels, for rays whose detector columns stay in upright planes."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from recon_plugins.radon import cone_triton_kernels as kernels
from recon_plugins.radon.cone_rays import SheetTable
from recon_plugins.radon.triton_projector import on_device
from recon_plugins.radon.view_table import ViewTable

__all__ = ["TritonVolumeProjector"]

OUTSIDE = -1e6
"""Cell of columns that do not follow the lines at hand."""
COLUMNS, ROWS = 8, 64
TALL, WIDE, SLICES = 4, 4, 64
WARPS = 4
"""Columns and rows that a program projects, voxels that one projects back to: the best of a sweep on an H200 that keep
to the registers."""


class TritonVolumeProjector:
    """Projection and its exact adjoint in single or double precision, in memory for one copy of volume and projections.

    No value has two writers, so results are deterministic.
    """

    def __init__(
        self, table: SheetTable, places: ViewTable, size: tuple[int, ...], dtype: torch.dtype, device: torch.device
    ) -> None:
        self.size, self.dtype, self.device = size, dtype, device
        self.shape = (*table.cell.shape, table.rows)
        sides = torch.stack([table.along_rows, ~table.along_rows])
        cells = torch.where(sides, table.cell, OUTSIDE), torch.where(sides, table.cell_step, 0)
        rest = (
            table.height, table.height_step, table.spacing, table.spacing_step, table.flat, table.rise, table.spread
        )  # fmt: skip
        self._table = [t.expand(2, -1, -1).contiguous().to(device) for t in (*cells, *rest)]
        self._present = sides.any(-1).int().contiguous().to(device)
        self._coefficients = places.coefficients.T.float().contiguous().to(device)
        self._curved, self._scale, self._shift = places.beam == "curved", float(places.scale), float(places.shift)
        self._taps = math.ceil(2 / table.spacings(size)[0] - 1e-9)
        # Distance of neighbouring columns, which is affine in the line: the extremes lie at the ends.
        both = table.along_rows[:, 1:] == table.along_rows[:, :-1]
        apart = [
            (table.cell.diff(dim=-1) + table.cell_step.diff(dim=-1) * line[:, 1:]).abs()[both & (first <= last)[:, 1:]]
            for first, last in (table.crossed(size),)
            for line in (first, last)
        ]
        least = float(torch.cat(apart).min()) if apart[0].numel() else 2.0
        self._most = math.ceil(2 / least + 0.1) + 1
        self._ranges = self._line_ranges(table, sides).to(device)

    def forward(self, x: Tensor) -> Tensor:
        """Project. Shapes: x (N, D H W) -> (N, A R C)."""
        views, columns, rows = self.shape
        depth, height, width = self.size
        volume = x.new_zeros(len(x), height + 4, width + 4, depth + 4)
        volume[:, 2:-2, 2:-2, 2:-2] = x.detach().unflatten(1, self.size).permute(0, 2, 3, 1)
        y = x.new_empty(len(x), *self.shape)
        together = min(ROWS, 1 << (rows - 1).bit_length())
        blocks = -(-columns // COLUMNS) * -(-rows // together)
        with on_device(self.device):
            kernels.project[(blocks, views, len(x))](
                volume, *self._table, self._ranges, y, depth, height, width, views, rows, columns,
                DOUBLE=self.dtype == torch.float64, COLUMNS=COLUMNS, ROWS=together, num_warps=WARPS,
            )  # fmt: skip
        return y.transpose(2, 3).flatten(1)

    def adjoint(self, y: Tensor) -> Tensor:
        """Back-project. Shapes: y (N, A R C) -> (N, D H W)."""
        views, columns, rows = self.shape
        depth, height, width = self.size
        source = y.detach().unflatten(1, (views, rows, columns)).transpose(2, 3).contiguous()
        x = y.new_empty(len(y), height, width, depth)
        tiles, together = -(-height // TALL) * -(-width // WIDE), min(SLICES, 1 << (depth - 1).bit_length())
        with on_device(self.device):
            kernels.back_project[(tiles, -(-depth // together), len(y))](
                source, *self._table, self._present, self._coefficients, self._scale, self._shift, x,
                depth, height, width, views, rows, columns, self._most, self._taps,
                DOUBLE=self.dtype == torch.float64, CURVED=self._curved, TALL=TALL, WIDE=WIDE, SLICES=together,
                num_warps=WARPS,
            )  # fmt: skip
        return x.permute(0, 3, 1, 2).flatten(1)

    def _line_ranges(self, table: SheetTable, sides: Tensor) -> Tensor:
        """Lines [begin, end) that some column of each block meets, (2, A, blocks, 2)."""
        first, last = table.crossed(self.size)
        met = sides & (first <= last)
        bounds = []
        for side, lines in enumerate(self.size[1:]):
            begin, end = torch.where(met[side], first, lines), torch.where(met[side], last + 1, 0)
            fill = -begin.shape[1] % COLUMNS
            begin = torch.nn.functional.pad(begin, (0, fill), value=lines).unflatten(1, (-1, COLUMNS)).amin(2)
            end = torch.nn.functional.pad(end, (0, fill)).unflatten(1, (-1, COLUMNS)).amax(2)
            bounds.append(torch.stack([begin, end], -1))
        return torch.stack(bounds).int()
