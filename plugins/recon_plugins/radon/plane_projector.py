"""Parallel beams in space: every detector row sees one plane, in which the two-dimensional projectors serve."""

from __future__ import annotations

import torch
from torch import Tensor

from recon_plugins.radon.backends import Backend
from recon_plugins.radon.cone_geometry import Parallel3D
from recon_plugins.radon.geometry import ParallelBeam
from recon_plugins.radon.grid import Grid
from recon_plugins.radon.ray_transform import RayTransform

__all__ = ["PlaneProjector"]


class PlaneProjector:
    """Slices interpolated linearly at the heights of the rows, then each row's plane projected as an image of a batch.

    That is Joseph's model: the rays are level, so their interpolation across slices is the same all along.
    """

    def __init__(
        self,
        geometry: Parallel3D,
        grid: Grid,
        per_bin: tuple[int, int],
        backend: Backend,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self.size = grid.size
        self.shape = (geometry.bins[0], len(geometry.angles), geometry.bins[1])
        beam = ParallelBeam(geometry.angles, geometry.bins[1], geometry.bin_size[1], geometry.offset[1])
        (_, height, width), (_, dy, dx), (x, y, _) = grid.size, grid.pixel, grid.centre
        plane = RayTransform(
            geometry=beam,
            size=(height, width),
            pixel=(dy, dx),
            centre=(x, y),
            rays_per_bin=per_bin[1],
            backend=backend,
        )
        self._plane = plane._projector(dtype, device)
        rows, _ = geometry.finer(per_bin[0], 1).positions()
        slices = grid.coordinates()[2]
        apart = (rows[:, None] - slices).abs() / grid.pixel[0]
        shares = (1 - apart).clamp(min=0).unflatten(0, (-1, per_bin[0])).mean(1)
        # Rows that lie on slices, which the usual detector's do, need no sums.
        self._same = torch.equal(shares, torch.eye(*shares.shape, dtype=torch.float64)) and len(shares) == len(slices)
        self._shares = shares.to(dtype=dtype, device=device)

    def forward(self, x: Tensor) -> Tensor:
        """Project. Shapes: x (N, D H W) -> (N, A R C)."""
        planes = x.unflatten(1, (self.size[0], -1))
        if not self._same:
            planes = torch.matmul(self._shares, planes)
        y = self._plane.forward(planes.flatten(0, 1))
        return y.unflatten(0, (len(x), -1)).unflatten(2, self.shape[1:]).transpose(1, 2).flatten(1)

    def adjoint(self, y: Tensor) -> Tensor:
        """Back-project. Shapes: y (N, A R C) -> (N, D H W)."""
        rows, views, columns = self.shape
        lines = y.unflatten(1, (views, rows, columns)).transpose(1, 2)
        planes = self._plane.adjoint(lines.reshape(-1, views * columns)).unflatten(0, (len(y), rows))
        return (planes if self._same else torch.matmul(self._shares.T, planes)).flatten(1)
