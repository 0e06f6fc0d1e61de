"""Voxel-driven back-projection of cone beams and its transpose on CUDA by Triton kernels."""

from __future__ import annotations

import math
from functools import cached_property

import torch
from torch import Tensor

from recon_plugins.radon.cone_triton_kernels import interpolate
from recon_plugins.radon.pixel_wedges import Wedges
from recon_plugins.radon.triton_projector import on_device
from recon_plugins.radon.voxel_driven import Places
from recon_plugins.radon.voxel_triton_kernels import spread

__all__ = ["VoxelTriton"]

TALL, WIDE, SLICES = 2, 4, 32
COLUMNS, ROWS = 4, 64


class VoxelTriton:
    """The maps of `VoxelDriven` in float32, each value with one writer: results are deterministic."""

    def __init__(self, places: Places, size: tuple[int, ...], shape: tuple[int, ...], device: torch.device) -> None:
        self.places, self.size, self.shape, self.device = places, size, shape, device
        table = places.table
        self._coefficients = table.coefficients.T.contiguous().to(device)
        # A tensor keeps double precision, which a number given to a kernel does not.
        numbers = torch.tensor([table.scale, table.shift, *places.first, places.step], dtype=torch.float64)
        self._numbers = numbers.to(device)
        # Slices lie closest among the detector's rows where they are farthest from the source: at a corner.
        corners = torch.tensor([[1, i, j] for i in (0, size[1] - 1) for j in (0, size[2] - 1)], dtype=torch.float64)
        q, p = (corners @ c for c in table.coefficients.split(3))
        farthest = float((torch.hypot(q, p) if table.beam == "curved" else p).max())
        self._taps = math.floor(2 * farthest / places.step + 1e-3) + 1

    @cached_property
    def _wedges(self) -> Wedges:
        """Of the middle plane's fan; made for the first gradient."""
        return Wedges.of(self.places.table, self.size[1:], 2, self.device)

    def forward(self, x: Tensor) -> Tensor:
        """Spread voxels over the bins they are interpolated from. Shapes: x (N, D H W) -> (N, A R C)."""
        views, rows, columns = self.shape
        depth, height, width = self.size
        source = x.detach().unflatten(1, self.size).permute(0, 2, 3, 1).contiguous()
        y, wedges = x.new_empty(len(x), views, columns, rows), self._wedges
        with on_device(self.device):
            spread[(-(-columns // COLUMNS) * -(-rows // ROWS), views, len(x))](
                source, self._coefficients, wedges.crossings, wedges.shape, wedges.lines, self._numbers, y,
                depth, height, width, views, rows, columns, self._taps,
                CURVED=self.places.table.beam == "curved", COLUMNS=COLUMNS, ROWS=ROWS, num_warps=4,
            )  # fmt: skip
        return y.transpose(2, 3).flatten(1)

    def adjoint(self, y: Tensor) -> Tensor:
        """Sum interpolated views. Shapes: y (N, A R C) -> (N, D H W)."""
        views, rows, columns = self.shape
        depth, height, width = self.size
        source = y.new_zeros(len(y), views, columns + 3, rows + 3)
        source[:, :, 1:-2, 1:-2] = y.detach().unflatten(1, self.shape).transpose(2, 3)
        x = y.new_empty(len(y), height, width, depth)
        with on_device(self.device):
            interpolate[(-(-height // TALL) * -(-width // WIDE), -(-depth // SLICES), len(y))](
                source, self._coefficients, self._numbers, x,
                depth, height, width, views, rows, columns,
                CURVED=self.places.table.beam == "curved", TALL=TALL, WIDE=WIDE, SLICES=SLICES, num_warps=4,
            )  # fmt: skip
        return x.permute(0, 3, 1, 2).flatten(1)
