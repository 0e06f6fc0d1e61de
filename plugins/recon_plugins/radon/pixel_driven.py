"""The back-projector of analytic methods: every view, interpolated at every pixel's centre."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor

from recon_plugins.radon.backends import Backend, choose
from recon_plugins.radon.geometry import Geometry
from recon_plugins.radon.grid import Grid
from recon_plugins.radon.projection import ProjectionOperator, Projector
from recon_plugins.radon.view_table import TAPS, Interpolation, ViewTable, view_table

__all__ = ["PixelDriven"]

ENTRIES = 2**23
"""Values looked up at a time."""


class PixelDriven(ProjectionOperator):
    """Pixel-driven interpolation of views, weighted for filtered back-projection, as the adjoint of an operator.

    `adjoint` sums, over the views, the view's linear or cubic interpolation at each pixel's centre, zero beyond the
    detector; in a fan times (source distance / depth of the pixel)^2, see `ViewTable`. For filtered back-projection
    this is more accurate than the adjoint of a ray-driven projector, whose weights for one pixel in one view do not sum
    to 1. `forward` is its exact transpose, and no model of a measurement; each is the other's backward.

    Shapes: x (batch, channel, H, W) -> y (batch, channel, A, D), as for other projectors.

    Parameters
    ----------
    geometry
        Parallel or fan beam.
    grid
        The image's grid.
    interpolation
        Between bins: linear, or cubic (Keys' convolution, third order).
    backend
        auto, or sparse for plain torch operations throughout.

    References
    ----------
    Keys, IEEE Trans. Acoust. 29:1153, 1981, doi:10.1109/TASSP.1981.1163711
    """

    geometry: Geometry

    def __init__(
        self, *, geometry: Geometry, grid: Grid, interpolation: Interpolation = "linear", backend: Backend = "auto"
    ) -> None:
        super().__init__()
        self.interpolation: Interpolation = interpolation
        self.backend: Backend = backend
        self._set_up(geometry, grid, (geometry.bins,))
        self.table = view_table(geometry, grid)
        """Where each pixel falls on the detector."""

    def views(self, index: Sequence[int]) -> Self:
        """Return the operator of the views of these indices alone, in their order."""
        angles = tuple(self.geometry.angles[i] for i in index)
        return self.with_(geometry=dataclasses.replace(self.geometry, angles=angles))

    def _projector(self, dtype: torch.dtype, device: torch.device) -> Projector:
        key = (dtype, device)
        if key not in self._projectors:
            taps = TAPS[self.interpolation]
            if choose(self.backend, dtype, device).name == "numba":
                from recon_plugins.radon.pixel_lanes import PixelLanes

                self._projectors[key] = PixelLanes(self.table, self.geometry, self.grid, taps)
            else:
                self._projectors[key] = _Lookup(self.table, self.grid.size, taps)
        return self._projectors[key]


class _Lookup:
    """The maps in plain torch operations, for any device and precision; some views at a time."""

    def __init__(self, table: ViewTable, size: tuple[int, ...], taps: int) -> None:
        self.table, self.size, self.taps = table, size, taps
        self.views = table.coefficients.shape[1]
        self.row = table.bins + 2 * taps

    def forward(self, x: Tensor) -> Tensor:
        """Spread pixels over the bins they are interpolated from. Shapes: x (N, H W) -> (N, A D)."""
        y = x.new_zeros(self.views, self.row, len(x))
        for views in self._chunks(len(x)):
            cells, shares = self._look_up(views, x)
            parts = x.T[:, None, None] * shares[..., None]
            y[views].flatten(0, 1).index_add_(0, cells.flatten(), parts.flatten(0, 2))
        return y[:, self.taps : -self.taps].permute(2, 0, 1).flatten(1)

    def adjoint(self, y: Tensor) -> Tensor:
        """Sum interpolated views. Shapes: y (N, A D) -> (N, H W)."""
        rows = torch.nn.functional.pad(y.unflatten(1, (self.views, -1)), (self.taps, self.taps)).permute(1, 2, 0)
        rows = rows.contiguous()  # the items of a bin lie side by side
        x = y.new_zeros(self.size[0] * self.size[1], len(y))
        for views in self._chunks(len(y)):
            cells, shares = self._look_up(views, y)
            samples = rows[views].flatten(0, 1)[cells.flatten(1)]
            x += torch.einsum("psn,ps->pn", samples, shares.flatten(1))
        return x.T

    def _chunks(self, items: int) -> list[slice]:
        step = max(1, ENTRIES // (self.size[0] * self.size[1] * self.taps * items))
        return [slice(first, min(first + step, self.views)) for first in range(0, self.views, step)]

    def _look_up(self, views: slice, like: Tensor) -> tuple[Tensor, Tensor]:
        # Places in double precision, which some devices lack.
        device = like.device if like.device.type in ("cpu", "cuda") else torch.device("cpu")
        cells, shares = self.table.look_up(views, self.size, self.taps, device)
        return cells.to(like.device), shares.to(like.dtype).to(like.device)
