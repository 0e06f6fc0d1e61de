"""The back-projector of analytic methods: every view, interpolated at every pixel's centre."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Self

import torch

from recon_plugins.radon.backends import Backend, choose
from recon_plugins.radon.geometry import Geometry
from recon_plugins.radon.grid import Grid
from recon_plugins.radon.pixel_lookup import PixelLookup
from recon_plugins.radon.projection import ProjectionOperator, Projector
from recon_plugins.radon.view_table import TAPS, Interpolation, view_table

__all__ = ["PixelDriven"]


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
        auto: compiled kernels in float32 where there are some, else plain torch operations; sparse: those throughout.

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
            # The compiled kernels are of single precision, and count bins in it.
            single = dtype == torch.float32 and self.table.bins < 2**17
            name = choose(self.backend, dtype, device).name if single else "sparse"
            if name == "numba":
                from recon_plugins.radon.pixel_lanes import PixelLanes

                self._projectors[key] = PixelLanes(self.table, self.geometry, self.grid, taps)
            elif name == "triton":
                from recon_plugins.radon.pixel_triton import PixelTriton

                self._projectors[key] = PixelTriton(self.table, self.grid.size, taps, device)
            else:
                self._projectors[key] = PixelLookup(self.table, self.grid.size, taps)
        return self._projectors[key]
