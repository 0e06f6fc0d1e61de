"""Compiled projection of volumes ray by ray, for any ray and precision: tilted detectors, wide cones, float64."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from recon_plugins.radon import cone_single_kernels as kernels
from recon_plugins.radon.cone_rays import VoxelRays
from recon_plugins.radon.pool import run_all

__all__ = ["SingleRayProjector"]

VIEWS = 8
"""Views of one task."""
PLANES = 16
"""Planes of one task."""


class SingleRayProjector:
    """Projection in float32 or float64 and its exact adjoint, one ray after the other, positions in float64.

    Every value has one writer, so results do not depend on the number of threads.
    """

    def __init__(self, rays: VoxelRays, dtype: torch.dtype) -> None:
        self.size, self.dtype = rays.size, dtype
        self.shape = (len(rays.start), rays.rows, rays.start.shape[1])
        self._rays = tuple(
            table.contiguous().numpy()
            for table in (rays.start, rays.start_step, rays.towards, rays.towards_step, rays.edges)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Project. Shapes: x (N, D H W) -> (N, A R C)."""
        y = x.new_empty(len(x), *self.shape)
        for item, out in zip(x.detach().unflatten(1, self.size), y, strict=True):
            volume = torch.nn.functional.pad(item, (1,) * 6).numpy()
            views = self.shape[0]
            run_all(
                partial(kernels.project, volume, self._rays, first, min(first + VIEWS, views), out.numpy())
                for first in range(0, views, VIEWS)
            )
        return y.flatten(1)

    def adjoint(self, y: Tensor) -> Tensor:
        """Back-project. Shapes: y (N, A R C) -> (N, D H W)."""
        x = y.new_empty(len(y), *self.size)
        for item, out in zip(y.detach().unflatten(1, self.shape), x, strict=True):
            volume = torch.zeros([n + 2 for n in self.size], dtype=self.dtype)
            sinogram = item.contiguous().numpy()
            for axis in (1, 2, 0):
                planes = self.size[axis]
                run_all(
                    partial(
                        kernels.back_project,
                        volume.numpy(),
                        self._rays,
                        axis,
                        first,
                        min(first + PLANES, planes),
                        sinogram,
                    )
                    for first in range(0, planes, PLANES)
                )
            out.copy_(volume[1:-1, 1:-1, 1:-1])
        return x.flatten(1)
