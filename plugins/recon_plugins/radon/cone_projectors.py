"""Which projector serves a volume: compiled kernels on the CPU, Triton on CUDA, sparse matrices for small volumes."""

from __future__ import annotations

import torch

from recon.errors import UsageError
from recon_plugins.radon.backends import Backend, choose
from recon_plugins.radon.cone_geometry import SpatialGeometry
from recon_plugins.radon.cone_rays import voxel_rays
from recon_plugins.radon.cone_sparse import SparseVolumeProjector
from recon_plugins.radon.grid import Grid
from recon_plugins.radon.projection import Projector

__all__ = ["volume_projector"]


def volume_projector(
    geometry: SpatialGeometry, grid: Grid, backend: Backend, dtype: torch.dtype, device: torch.device
) -> Projector:
    """Return the projector of a geometry through volumes on a grid.

    On the CPU, kernels whose lanes are detector rows take float32 where every detector column stays in an upright
    plane; other rays and float64 go one by one.

    Raises
    ------
    UsageError
        If a backend that was asked for by name is missing or cannot serve, or sparse matrices would be too large.
    """
    rays = voxel_rays(geometry, grid)
    name = choose(backend, torch.float32, device).name
    if name == "numba":
        if dtype == torch.float32 and rays.sheets is not None:
            from recon_plugins.radon.cone_sheets import SheetProjector

            return SheetProjector(rays.sheets, grid.size)
        from recon_plugins.radon.cone_single import SingleRayProjector

        return SingleRayProjector(rays, dtype)
    if name == "triton":
        if rays.sheets is not None:
            from recon_plugins.radon.cone_triton import TritonVolumeProjector

            return TritonVolumeProjector(rays.sheets, grid.size, dtype, device)
        if backend == "triton":
            raise UsageError(
                "backend 'triton' projects onto detectors that are neither rolled nor pitched, and within 45 degrees: "
                "take backend 'auto'"
            )
    return SparseVolumeProjector(rays, dtype, device)
