"""Line integrals through volumes, along the rays of any parallel or cone beam."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Self

import torch
from annotated_types import Gt
from torch import Tensor

from recon_plugins.radon.backends import Backend, choose
from recon_plugins.radon.cone_geometry import (
    ConeBeam,
    Parallel3D,
    SpatialGeometry,
    check_outside,
    pair,
    spatial_geometry_from,
)
from recon_plugins.radon.cone_projectors import volume_projector
from recon_plugins.radon.field_of_view import warn_if_unseen
from recon_plugins.radon.grid import Grid
from recon_plugins.radon.plane_projector import PlaneProjector
from recon_plugins.radon.projection import ProjectionOperator, Projector

__all__ = ["VolumeTransform", "Voxel"]

Positive = Annotated[float, Gt(0)]
Voxel = Positive | tuple[Positive, Positive, Positive]
"""Edge of a cubic voxel, or edges (depth, height, width), in mm."""


class VolumeTransform(ProjectionOperator):
    """Line integrals in mm by Joseph's linear interpolation, along the rays of a parallel or cone beam in space.

    Shapes: x (batch, channel, D, H, W) -> y (batch, channel, A, R, C), real or complex, in float32 or float64 (half
    precision is computed, and returned, in float32). The volume's first axis and the detector's rows grow with z, row 0
    of a slice is on top. The adjoint uses the very same weights.

    Parameters
    ----------
    geometry
        Where the rays run: a `Parallel3D`, a `ConeBeam`, or a mapping of the arguments of one of them.
    size
        Volume size (D, H, W).
    pixel
        Edge of a voxel in mm, or its edges (depth, height, width).
    centre
        The volume's centre (x, y, z) in mm from the origin on the axis of rotation, x to the right, y up.
    rays_per_bin
        Rays (along rows, along columns) averaged over a bin; by default 1 each, or twice the bin's edge at the axis in
        voxels (rounded up) where that exceeds 1.5 voxels.
    backend
        auto: compiled kernels where there are some (numba on the CPU, Triton on CUDA), else sparse matrices; a
        backend's name: that one, and an error where it cannot serve.

    Raises
    ------
    UsageError
        If the geometry cannot be, the source runs through the volume, or a backend is asked for that is missing; at
        first use, if sparse matrices would take more than 2 GiB.

    References
    ----------
    Joseph, IEEE Trans. Med. Imaging 1:192, 1982, doi:10.1109/TMI.1982.4307572
    """

    geometry: SpatialGeometry

    def __init__(
        self,
        *,
        geometry: SpatialGeometry | Mapping[str, Any],
        size: tuple[Annotated[int, Gt(0)], Annotated[int, Gt(0)], Annotated[int, Gt(0)]],
        pixel: Voxel = 1.0,
        centre: tuple[float, float, float] = (0.0, 0.0, 0.0),
        rays_per_bin: Annotated[int, Gt(0)] | tuple[Annotated[int, Gt(0)], Annotated[int, Gt(0)]] | None = None,
        backend: Backend = "auto",
    ) -> None:
        super().__init__()
        depth, height, width = size
        self.size = (int(depth), int(height), int(width))
        self.pixel = pixel
        x, y, z = centre
        self.centre = (float(x), float(y), float(z))
        self.rays_per_bin = rays_per_bin
        self.backend: Backend = backend
        choose(backend, torch.float32, torch.device("cpu"), installed_only=True)
        geometry, grid = spatial_geometry_from(geometry), Grid(self.size, pixel, self.centre)
        if isinstance(geometry, ConeBeam):
            check_outside(grid, geometry.source_distance)
        self._set_up(geometry, grid, geometry.bins)

    @property
    def per_bin(self) -> tuple[int, int]:
        """Number of rays averaged over the height and over the width of a bin."""
        if self.rays_per_bin is not None:
            return pair(self.rays_per_bin, int)
        edges = self.grid.pixel[0], min(self.grid.pixel[1:])
        wide = [spacing / edge for spacing, edge in zip(self.geometry.spacing, edges, strict=True)]
        rows, columns = (math.ceil(2 * ratio) if ratio > 1.5 else 1 for ratio in wide)
        return rows, columns

    def check_image(self, x: Tensor) -> None:
        """Warn if the detector is too narrow for the object, with the share of it that is missed."""
        warn_if_unseen(self, x)

    def views(self, index: Sequence[int]) -> Self:
        """Return the operator of the views of these indices alone, in their order."""
        return self._of(self.geometry.views(index))

    def _of(self, geometry: SpatialGeometry) -> Self:
        return self.with_(geometry=geometry)

    def _projector(self, dtype: torch.dtype, device: torch.device) -> Projector:
        key = (dtype, device)
        if key not in self._projectors:
            rows, columns = self.per_bin
            if isinstance(self.geometry, Parallel3D) and not any(self.geometry.tilt):
                plane = PlaneProjector(self.geometry, self.grid, (rows, columns), self.backend, dtype, device)
                self._projectors[key] = plane
            else:
                fine = self.geometry.finer(rows, columns)
                projector = volume_projector(fine, self.grid, self.backend, dtype, device)
                averaged = _Averaged(projector, self.sinogram_size, rows, columns)
                self._projectors[key] = averaged if rows * columns > 1 else projector
        return self._projectors[key]


class _Averaged:
    """The mean, over each bin, of the rays of a detector of finer bins."""

    def __init__(self, projector: Projector, size: tuple[int, ...], rows: int, columns: int) -> None:
        self._projector = projector
        views, r, c = size
        self._fine = (views * r, rows, c, columns)

    def forward(self, x: Tensor) -> Tensor:
        """Project. Shapes: x (N, D H W) -> (N, A R C)."""
        return self._projector.forward(x).unflatten(1, self._fine).mean((2, 4)).flatten(1)

    def adjoint(self, y: Tensor) -> Tensor:
        """Back-project. Shapes: y (N, A R C) -> (N, D H W)."""
        lines, rows, c, columns = self._fine
        y = (y / (rows * columns)).reshape(-1, lines, 1, c, 1)
        return self._projector.adjoint(y.expand(-1, lines, rows, c, columns).flatten(1))
