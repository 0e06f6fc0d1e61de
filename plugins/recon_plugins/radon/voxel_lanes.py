"""Voxel-driven back-projection of cone beams on the CPU by compiled kernels."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor

from recon_plugins.radon import voxel_kernels as kernels
from recon_plugins.radon.pool import run_all
from recon_plugins.radon.resampling import LANES
from recon_plugins.radon.voxel_driven import Places

__all__ = ["VoxelLanes"]

LINES = 4
"""Rows of the volume, or views, of one task."""


class VoxelLanes:
    """The maps of `VoxelDriven` in float32, in memory for one copy of volume and projections.

    Every value has one writer, so results do not depend on the number of threads.
    """

    def __init__(self, places: Places, size: tuple[int, ...], shape: tuple[int, ...]) -> None:
        self.size, self.shape = size, shape
        table = places.table
        curved = table.beam == "curved"
        coefficients = table.coefficients.contiguous()
        self._table = coefficients.numpy(), curved, table.scale, table.shift, places.first, places.step
        # How near the corners, the nearest and the farthest voxels, come to the source's depth at the axis.
        corners = torch.tensor([[i, j] for i in (0, size[1] - 1) for j in (0, size[2] - 1)], dtype=torch.float64).T
        q, p = (c[0] + c[1] * corners[0, :, None] + c[2] * corners[1, :, None] for c in coefficients.split(3))
        depth = torch.hypot(p, q) if curved else p
        # Nearest to a curved detector's source may be a side: the distance from it to the volume's circle.
        nearest = min(float(depth.min()), 1 - float(torch.hypot(p - 1, q).max())) if curved else float(depth.min())
        largest, least = places.step / nearest, places.step / float(depth.max())
        self._margin = _whole(math.ceil(LANES * largest) + LANES + 3)
        self._pad = _whole(math.ceil((LANES + 2) / least) + LANES + 3)

    def adjoint(self, y: Tensor) -> Tensor:
        """Sum interpolated views. Shapes: y (N, A R C) -> (N, D H W)."""
        depth, height, width = self.size
        x = y.new_empty(len(y), *self.size)
        for item, out in zip(y.detach().unflatten(1, self.shape), x, strict=True):
            sinogram = self._sinogram()
            self._bins(sinogram).copy_(item.transpose(1, 2))
            volume = torch.zeros(height, width, _whole(depth))
            run_all(
                partial(
                    kernels.back_project, sinogram.numpy().reshape(-1), self.shape[1:], self._margin, self._table,
                    first, min(first + LINES, height), volume.numpy(), depth,
                )
                for first in range(0, height, LINES)
            )  # fmt: skip
            out.copy_(volume[..., :depth].permute(2, 0, 1))
        return x.flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        """Spread voxels over the bins they are interpolated from. Shapes: x (N, D H W) -> (N, A R C)."""
        depth, height, width = self.size
        y = x.new_empty(len(x), *self.shape)
        for item, out in zip(x.detach().unflatten(1, self.size), y, strict=True):
            volume = torch.zeros(height, width, depth + 2 * self._pad)
            volume[..., self._pad : self._pad + depth] = item.permute(1, 2, 0)
            sinogram = self._sinogram()
            run_all(
                partial(
                    kernels.project, volume.numpy(), self._pad, self._table, (first, min(first + LINES, self.shape[0])),
                    sinogram.numpy().reshape(-1), self.shape[1:], self._margin,
                )
                for first in range(0, self.shape[0], LINES)
            )  # fmt: skip
            out.copy_(self._bins(sinogram).transpose(1, 2))
        return y.flatten(1)

    def _sinogram(self) -> Tensor:
        views, rows, columns = self.shape
        return torch.zeros(views, columns + 2, _whole(rows) + 2 * self._margin)

    def _bins(self, sinogram: Tensor) -> Tensor:
        return sinogram[:, 1:-1, self._margin : self._margin + self.shape[1]]


def _whole(count: int) -> int:
    """Round up to whole vectors."""
    return -(-count // LANES) * LANES
