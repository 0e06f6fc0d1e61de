"""The projector of volumes as a pair of sparse matrices: what other backends are tested against."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from recon.errors import UsageError
from recon_plugins.radon.cone_rays import VoxelRays
from recon_plugins.radon.sparse import LIMIT
from recon_plugins.radon.tables import sparse_pair

__all__ = ["SparseVolumeProjector"]


class SparseVolumeProjector:
    """Projection of small volumes and its adjoint as CSR matrices of one precision on one device.

    Raises
    ------
    UsageError
        If the matrices would take more than 2 GiB.
    """

    def __init__(self, rays: VoxelRays, dtype: torch.dtype, device: torch.device) -> None:
        needed = 2 * rays.entries() * (4 + dtype.itemsize)
        if needed > LIMIT:
            raise UsageError(
                f"sparse tables of a cone beam through a volume of {rays.size} would take about "
                f"{needed / 2**30:.1f} GiB (limit {LIMIT / 2**30:g} GiB): use the CPU with numba (pip install "
                "'recon-toolkit[numba]'), which needs no tables, or fewer views and larger voxels"
            )
        self._pair = sparse_pair(*rays.matrix(dtype), columns=math.prod(rays.size), device=device)

    def forward(self, x: Tensor) -> Tensor:
        """Project. Shapes: x (N, D H W) -> (N, A R C)."""
        return (self._pair[0] @ x.T).T

    def adjoint(self, y: Tensor) -> Tensor:
        """Back-project. Shapes: y (N, A R C) -> (N, D H W)."""
        return (self._pair[1] @ y.T).T
