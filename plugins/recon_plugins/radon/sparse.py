"""The projector as a pair of sparse matrices: any device and precision, and what other backends are tested against."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from recon.errors import UsageError
from recon_plugins.radon.rays import RayTable, joseph_matrix, matrix_entries
from recon_plugins.radon.tables import sparse_pair

__all__ = ["SparseProjector"]

LIMIT = 2 * 2**30
"""Largest pair of matrices in bytes."""


class SparseProjector:
    """Projection and its adjoint as CSR matrices of one precision on one device.

    Raises
    ------
    UsageError
        If the matrices would take more than 2 GiB.
    """

    def __init__(self, rays: RayTable, size: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> None:
        needed = 2 * matrix_entries(rays, size) * (4 + dtype.itemsize)
        if needed > LIMIT:
            raise UsageError(
                f"Radon tables for an image of {size} and a sinogram of {tuple(rays.alpha.shape[:2])} would take about "
                f"{needed / 2**30:.1f} GiB (limit {LIMIT / 2**30:g} GiB): use fewer views, larger pixels or float32; "
                "float32 on the CPU needs no tables with numba (pip install 'recon-toolkit[numba]')"
            )
        matrix = joseph_matrix(rays, size, dtype)
        self._pair = sparse_pair(*matrix, columns=math.prod(size), device=device)

    def forward(self, x: Tensor) -> Tensor:
        """Project. Shapes: x (N, H W) -> (N, A D)."""
        return (self._pair[0] @ x.T).T

    def adjoint(self, y: Tensor) -> Tensor:
        """Back-project. Shapes: y (N, A D) -> (N, H W)."""
        return (self._pair[1] @ y.T).T
