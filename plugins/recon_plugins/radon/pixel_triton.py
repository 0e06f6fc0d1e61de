"""Pixel-driven back-projection and its transpose on CUDA by Triton kernels."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from recon_plugins.radon import pixel_triton_kernels as kernels
from recon_plugins.radon.pixel_wedges import Wedges
from recon_plugins.radon.triton_kernels import pack_image
from recon_plugins.radon.triton_projector import FUSED, blocks_for, on_device
from recon_plugins.radon.view_table import ViewTable

__all__ = ["PixelTriton"]

WIDEST = 32
"""Most images that one program works on."""
BEAMS = ("parallel", "flat", "curved")


class PixelTriton:
    """The maps of `PixelDriven` in float32, each value with one writer: results are deterministic."""

    def __init__(self, table: ViewTable, size: tuple[int, ...], taps: int, device: torch.device) -> None:
        self.table, self.size, self.taps, self.device = table, size, taps, device
        self._coefficients = table.coefficients.T.contiguous().to(device)
        # A tensor keeps double precision, which a number given to a kernel does not.
        self._numbers = torch.tensor([table.scale, table.shift], dtype=torch.float64, device=device)

    @cached_property
    def _wedges(self) -> Wedges:
        """Made for the first gradient."""
        return Wedges.of(self.table, self.size, self.taps, self.device)

    @cached_property
    def _parts(self) -> int:
        return self._wedges.usual()

    def forward(self, x: Tensor) -> Tensor:
        """Spread pixels over the bins they are interpolated from. Shapes: x (N, H W) -> (N, A D)."""
        x = x.detach().contiguous()
        y = x.new_empty(len(x), len(self._coefficients) * self.table.bins)
        full = len(x) - len(x) % self._widest()
        for part in (slice(full), slice(full, len(x))):
            if len(x[part]):
                self._spread(x[part], y[part])
        return y

    def _spread(self, x: Tensor, y: Tensor) -> None:
        views, bins, (height, width) = len(self._coefficients), self.table.bins, self.size
        lanes = min(self._widest(), 1 << (len(x) - 1).bit_length())
        groups = -(-len(x) // lanes)
        rows = x.new_empty(groups * height * (width + 4) * lanes)
        columns = x.new_empty(groups * width * (height + 4) * lanes)
        wedges, b, cells = self._wedges, blocks_for(lanes), max(32, 1024 // lanes)
        # With many images side by side loops cost little, and registers are scarce.
        parts, unroll = (self._parts, 2) if lanes < 8 else (0, 1)
        with on_device(self.device):
            pack_image[height + 4, -(-(width + 4) // cells), groups](
                x, self._numbers, rows, columns, len(x), height, width, LANES=lanes, TURNS=1, CELLS=cells, **FUSED
            )
            kernels.spread[-(-views // b.views) * -(-bins // b.bins), 1, groups](
                rows, columns, wedges.crossings, wedges.shape, wedges.lines, self._numbers, y, len(x), y.shape[1],
                height, width, views, bins, BEAM=BEAMS.index(self.table.beam), TAPS=self.taps, LANES=lanes,
                VIEWS=b.views, BINS=b.bins, PARTS=parts, UNROLL=unroll, num_warps=b.warps, **FUSED,
            )  # fmt: skip

    def _widest(self) -> int:
        """Most images side by side, such that offsets in one group of them fit 32 bits."""
        height, width = self.size
        most = 2**31 // max(height * (width + 4), width * (height + 4))
        return min(WIDEST, 1 << (max(1, most).bit_length() - 1))

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
                BEAM=BEAMS.index(self.table.beam), TAPS=self.taps,
                TALL=tall, WIDE=wide, LANES=lanes, num_warps=4, **FUSED,
            )  # fmt: skip
        return x[:, : len(y)].T
