"""Pixel-driven back-projection on CUDA by a Triton kernel."""

from __future__ import annotations

import torch
from torch import Tensor

from recon_plugins.radon import pixel_triton_kernels as kernels
from recon_plugins.radon.pixel_lookup import PixelLookup
from recon_plugins.radon.triton_projector import FUSED, on_device
from recon_plugins.radon.view_table import ViewTable

__all__ = ["PixelTriton"]

WIDEST = 32
"""Most images that one program works on."""


class PixelTriton:
    """The maps of `PixelDriven` in float32; the transpose, which only gradients need, in plain torch operations."""

    def __init__(self, table: ViewTable, size: tuple[int, ...], taps: int, device: torch.device) -> None:
        self.table, self.size, self.taps, self.device = table, size, taps, device
        self._coefficients = table.coefficients.T.contiguous().to(device)
        # A tensor keeps double precision, which a number given to a kernel does not.
        self._numbers = torch.tensor([table.scale, table.shift], dtype=torch.float64, device=device)
        self.forward = PixelLookup(table, size, taps).forward

    def adjoint(self, y: Tensor) -> Tensor:
        """Sum interpolated views. Shapes: y (N, A D) -> (N, H W)."""
        views, (height, width) = len(self._coefficients), self.size
        lanes = min(WIDEST, 1 << (len(y) - 1).bit_length())
        items = -(-len(y) // lanes) * lanes
        rows = y.new_zeros(views, self.table.bins + 2 * self.taps, items)
        rows[:, self.taps : -self.taps, : len(y)] = y.detach().unflatten(1, (views, -1)).permute(1, 2, 0)
        x = y.new_empty(height * width, items)
        tall = {1: 16, 32: 4}.get(lanes, 8)
        wide = min(32, 1024 // lanes // tall)
        with on_device(self.device):
            kernels.interpolate[(-(-height // tall) * -(-width // wide), items // lanes)](
                rows, self._coefficients, self._numbers, x, height, width, views, self.table.bins, items,
                BEAM=("parallel", "flat", "curved").index(self.table.beam), TAPS=self.taps,
                TALL=tall, WIDE=wide, LANES=lanes, num_warps=4, **FUSED,
            )  # fmt: skip
        return x[:, : len(y)].T
