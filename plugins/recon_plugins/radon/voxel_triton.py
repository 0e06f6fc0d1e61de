"""Voxel-driven back-projection of cone beams on CUDA by a Triton kernel."""

from __future__ import annotations

import torch
from torch import Tensor

from recon_plugins.radon import cone_triton_kernels as kernels
from recon_plugins.radon.triton_projector import on_device
from recon_plugins.radon.voxel_driven import Places, VoxelLookup

__all__ = ["VoxelTriton"]

TALL, WIDE, SLICES = 2, 4, 32


class VoxelTriton:
    """The maps of `VoxelDriven` in float32; the transpose, which only gradients need, in plain torch operations."""

    def __init__(self, places: Places, size: tuple[int, ...], shape: tuple[int, ...], device: torch.device) -> None:
        self.places, self.size, self.shape, self.device = places, size, shape, device
        self._coefficients = places.table.coefficients.T.contiguous().to(device)
        self.forward = VoxelLookup(places, size, shape).forward

    def adjoint(self, y: Tensor) -> Tensor:
        """Sum interpolated views. Shapes: y (N, A R C) -> (N, D H W)."""
        views, rows, columns = self.shape
        depth, height, width = self.size
        source = y.new_zeros(len(y), views, columns + 3, rows + 3)
        source[:, :, 1:-2, 1:-2] = y.detach().unflatten(1, self.shape).transpose(2, 3)
        x = y.new_empty(len(y), height, width, depth)
        table, first = self.places.table, self.places.first
        # A tensor keeps double precision, which a number given to a kernel does not.
        numbers = torch.tensor([table.scale, table.shift, *first, self.places.step], dtype=torch.float64)
        with on_device(self.device):
            kernels.interpolate[(-(-height // TALL) * -(-width // WIDE), -(-depth // SLICES), len(y))](
                source, self._coefficients, numbers.to(self.device), x,
                depth, height, width, views, rows, columns,
                CURVED=table.beam == "curved", TALL=TALL, WIDE=WIDE, SLICES=SLICES, num_warps=4,
            )  # fmt: skip
        return x.permute(0, 3, 1, 2).flatten(1)
