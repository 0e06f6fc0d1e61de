"""Line integrals through images, along the rays of any two-dimensional geometry."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Self

import torch
from annotated_types import Gt
from torch import Tensor

from recon_plugins.radon.backends import RAY_KERNELS, Backend, choose, lanes_projector, triton_projector
from recon_plugins.radon.field_of_view import warn_if_unseen
from recon_plugins.radon.geometry import Geometry, geometry_from
from recon_plugins.radon.grid import Grid
from recon_plugins.radon.projection import ProjectionOperator, Projector
from recon_plugins.radon.rays import RayTable, ray_table
from recon_plugins.radon.sparse import SparseProjector

__all__ = ["Pixel", "RayTransform"]

Pixel = Annotated[float, Gt(0)] | tuple[Annotated[float, Gt(0)], Annotated[float, Gt(0)]]
"""Edge of a square pixel, or edges (height, width), in mm."""


class RayTransform(ProjectionOperator):
    """Line integrals in mm by Joseph's linear interpolation, along the rays of a parallel or a fan beam.

    Shapes: x (batch, channel, H, W) -> y (batch, channel, A, D), real or complex, in float32 or float64 (half precision
    is computed, and returned, in float32). The adjoint uses the very same weights.

    Parameters
    ----------
    geometry
        Where the rays run: a `ParallelBeam`, a `FanBeam`, or a mapping of the arguments of one of them.
    size
        Image size (H, W).
    pixel
        Edge of a pixel in mm, or its edges (height, width).
    centre
        The image's centre (x, y) in mm from the centre of rotation, x to the right, y up.
    rays_per_bin
        Rays averaged over a bin's width; by default 1, or twice the bin's width at the centre in pixels (rounded up) if
        that exceeds 1.5 pixels.
    backend
        auto: compiled kernels where there are some (numba on the CPU, Triton on CUDA), else sparse matrices; a
        backend's name: that one, and an error where it cannot serve.

    Raises
    ------
    UsageError
        If the geometry cannot be, or a backend is asked for that is missing; at first use, if sparse matrices would
        take more than 2 GiB.

    References
    ----------
    Joseph, IEEE Trans. Med. Imaging 1:192, 1982, doi:10.1109/TMI.1982.4307572
    """

    geometry: Geometry

    def __init__(
        self,
        *,
        geometry: Geometry | Mapping[str, Any],
        size: tuple[Annotated[int, Gt(0)], Annotated[int, Gt(0)]],
        pixel: Pixel = 1.0,
        centre: tuple[float, float] = (0.0, 0.0),
        rays_per_bin: Annotated[int, Gt(0)] | None = None,
        backend: Backend = "auto",
    ) -> None:
        super().__init__()
        self.size = (int(size[0]), int(size[1]))
        self.pixel = pixel
        self.centre = (float(centre[0]), float(centre[1]))
        self.rays_per_bin = rays_per_bin
        self.backend: Backend = backend
        choose(backend, torch.float32, torch.device("cpu"), installed_only=True)
        geometry = geometry_from(geometry)
        self.positions = geometry.positions()
        """Centres of the bins on the detector in mm, float64, of shape (D,)."""
        self.spacing = geometry.bin_size
        """Width of a bin in mm."""
        self._set_up(geometry, Grid(size, pixel, centre), (geometry.bins,))

    def rays(self) -> RayTable:
        """Return the rays in pixel coordinates, on the CPU."""
        wide = self.geometry.spacing / min(self.grid.pixel)
        per_bin = self.rays_per_bin or (math.ceil(2 * wide) if wide > 1.5 else 1)
        return ray_table(self.geometry, self.grid, per_bin)

    def check_image(self, x: Tensor) -> None:
        """Warn if the detector is too small for the object, with the share of it that is missed."""
        warn_if_unseen(self, x)

    def views(self, index: Sequence[int]) -> Self:
        """Return the operator of the views of these indices alone, in their order."""
        angles = tuple(self.geometry.angles[i] for i in index)
        return self._of(dataclasses.replace(self.geometry, angles=angles))

    def _of(self, geometry: Geometry) -> Self:
        return self.with_(geometry=geometry)

    def _projector(self, dtype: torch.dtype, device: torch.device) -> Projector:
        key = (dtype, device)
        if key not in self._projectors:
            precisions = (torch.float32, torch.float64)
            backend = choose(self.backend, dtype, device, precisions=precisions, kernels=RAY_KERNELS).name
            if backend == "numba":
                self._projectors[key] = lanes_projector()(self.rays(), self.geometry, self.grid, dtype)
            elif backend == "triton":
                self._projectors[key] = triton_projector()(self.rays(), self.geometry, self.grid, dtype, device)
            else:
                self._projectors[key] = SparseProjector(self.rays(), self.grid.size, dtype, device)
        return self._projectors[key]
