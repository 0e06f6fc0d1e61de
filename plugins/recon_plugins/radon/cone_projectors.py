"""Which projector serves a volume: compiled kernels on the CPU, Triton on CUDA, sparse matrices for small volumes."""

from __future__ import annotations

import torch

from recon.errors import UsageError
from recon_plugins.radon.backends import Backend, choose
from recon_plugins.radon.cone_geometry import ConeBeam, SpatialGeometry, middle_plane
from recon_plugins.radon.cone_rays import voxel_rays
from recon_plugins.radon.cone_sparse import SparseVolumeProjector
from recon_plugins.radon.grid import Grid
from recon_plugins.radon.projection import Projector
from recon_plugins.radon.view_table import view_table

__all__ = ["volume_projector"]

KERNELS = "recon_plugins.radon.cone_sheet_kernels"


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
    name = choose(backend, torch.float32, device, kernels=KERNELS).name
    if name == "numba":
        if dtype == torch.float32 and rays.sheets is not None:
            from recon_plugins.radon.cone_sheets import SheetProjector

            return SheetProjector(rays.sheets, grid.size)
        from recon_plugins.radon.cone_single import SingleRayProjector

        return SingleRayProjector(rays, dtype)
    if name == "triton":
        if rays.sheets is not None and isinstance(geometry, ConeBeam):
            from recon_plugins.radon.cone_triton import TritonVolumeProjector

            plane = Grid(grid.size[1:], grid.pixel[1:], grid.centre[:2])
            return TritonVolumeProjector(
                rays.sheets, view_table(middle_plane(geometry), plane), grid.size, dtype, device
            )
        if backend == "triton":
            raise UsageError(
                "backend 'triton' projects cone beams onto detectors that are neither rolled nor pitched, within 45 "
                "degrees of level: take backend 'auto'"
            )
    return SparseVolumeProjector(rays, dtype, device)
