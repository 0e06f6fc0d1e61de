"""The back-projector of cone-beam reconstruction: every view, interpolated at every voxel's centre."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from functools import cached_property
from typing import Self

import torch
from torch import Tensor

from recon_plugins.radon.backends import Backend, choose
from recon_plugins.radon.cone_geometry import ConeBeam, middle_plane
from recon_plugins.radon.grid import Grid
from recon_plugins.radon.pixel_lookup import add_rows
from recon_plugins.radon.projection import ProjectionOperator, Projector
from recon_plugins.radon.view_table import ViewTable, view_table

__all__ = ["Places", "VoxelDriven", "VoxelLookup"]

KERNELS = "recon_plugins.radon.voxel_kernels"
VALUES = 2**23
"""Values looked up at a time."""


class VoxelDriven(ProjectionOperator):
    """Voxel-driven bilinear interpolation of the views of a circular cone beam, as the adjoint of an operator.

    `adjoint` sums, over the views, the view's interpolation at each voxel's centre, zero beyond the detector, times
    (source distance / depth of the voxel)^2; depth is measured as `ViewTable` says. `forward` is its exact transpose,
    and no model of a measurement; each is the other's backward.

    Shapes: x (batch, channel, D, H, W) -> y (batch, channel, A, R, C), as for other projectors.

    Parameters
    ----------
    geometry
        Cone beam whose source turns in a plane, with a detector that is neither rolled nor pitched.
    grid
        The volume's grid.
    backend
        auto, or sparse for plain torch operations throughout.
    """

    geometry: ConeBeam

    def __init__(self, *, geometry: ConeBeam, grid: Grid, backend: Backend = "auto") -> None:
        super().__init__()
        self.backend: Backend = backend
        self._set_up(geometry, grid, geometry.bins)

    @cached_property
    def places(self) -> Places:
        """Where each voxel falls on the detector."""
        return Places.of(self.geometry, self.grid)

    def views(self, index: Sequence[int]) -> Self:
        """Return the operator of the views of these indices alone, in their order."""
        return self.with_(geometry=self.geometry.views(index))

    def _projector(self, dtype: torch.dtype, device: torch.device) -> Projector:
        key = (dtype, device)
        if key not in self._projectors:
            name = choose(self.backend, dtype, device, kernels=KERNELS).name if dtype == torch.float32 else "sparse"
            arguments = self.places, self.grid.size, self.sinogram_size
            if name == "numba":
                from recon_plugins.radon.voxel_lanes import VoxelLanes

                self._projectors[key] = VoxelLanes(*arguments)
            elif name == "triton":
                from recon_plugins.radon.voxel_triton import VoxelTriton

                self._projectors[key] = VoxelTriton(*arguments, device)
            else:
                self._projectors[key] = VoxelLookup(*arguments)
        return self._projectors[key]


@dataclasses.dataclass(frozen=True)
class Places:
    """Where voxels fall: their column on the detector as for a fan beam, and among its rows.

    Slice k falls at row first[0] + (first[1] + k step) / n, n being p of the `ViewTable` for a flat detector, and
    sqrt(p^2 + q^2) for a curved one.
    """

    table: ViewTable
    first: tuple[float, float]
    step: float

    @classmethod
    def of(cls, geometry: ConeBeam, grid: Grid) -> Places:
        """Return the places of a grid's voxels."""
        rows, _ = geometry.positions()
        dv = geometry.bin_size[0]
        z = grid.coordinates()[2]
        # In a plane at depth source_distance the detector's rows lie dv / magnification apart.
        scale = geometry.length * math.cos(geometry.tilt[0]) / (geometry.source_distance * dv)
        height = float(geometry.elevation()[0])
        first = -float(rows[0]) / dv, float(z[0] - height) * scale
        return cls(view_table(middle_plane(geometry), Grid(grid.size[1:], grid.pixel[1:], grid.centre[:2])), first,
                   grid.pixel[0] * scale)  # fmt: skip


class VoxelLookup:
    """The maps in plain torch operations, for any device and precision; some views at a time."""

    def __init__(self, places: Places, size: tuple[int, ...], shape: tuple[int, ...]) -> None:
        self.places, self.size, self.shape = places, size, shape

    def forward(self, x: Tensor) -> Tensor:
        """Spread voxels over the bins they are interpolated from. Shapes: x (N, D H W) -> (N, A R C)."""
        views, rows, columns = self.shape
        y = x.new_zeros(len(x), views, (rows + 2) * (columns + 2))
        for view in range(views):
            for cells, shares, part in self._look_up(view, x):
                add_rows(y[:, view].T, cells.flatten(), (x[:, part, None] * shares).flatten(1).T)
        return y.unflatten(2, (rows + 2, columns + 2))[:, :, 1:-1, 1:-1].flatten(1)

    def adjoint(self, y: Tensor) -> Tensor:
        """Sum interpolated views. Shapes: y (N, A R C) -> (N, D H W)."""
        padded = torch.nn.functional.pad(y.unflatten(1, self.shape), (1, 1, 1, 1)).flatten(2)
        x = y.new_zeros(len(y), math.prod(self.size))
        for view in range(self.shape[0]):
            for cells, shares, part in self._look_up(view, y):
                x[:, part] += (padded[:, view][:, cells] * shares).sum(-1)
        return x

    def _look_up(self, view: int, like: Tensor) -> list[tuple[Tensor, Tensor, slice]]:
        """Return, for parts of the volume, the bins that each voxel is interpolated from, and their shares."""
        _, rows, columns = self.shape
        depth, height, width = self.size
        device = like.device if like.device.type in ("cpu", "cuda") else torch.device("cpu")
        table = self.places.table
        q0, qi, qj, p0, pi, pj = table.coefficients[:, view].tolist()
        i = torch.arange(height, dtype=torch.float64, device=device)[:, None]
        j = torch.arange(width, dtype=torch.float64, device=device)
        q, p = q0 + qi * i + qj * j, p0 + pi * i + pj * j
        if table.beam == "curved":
            column, near = torch.atan2(q, p) * table.scale + table.shift, (p * p + q * q).rsqrt()
        else:
            column, near = q / p, 1 / p
        below, height_share = _split(column, columns)
        parts, step = [], max(1, VALUES // (4 * height * width))
        for start in range(0, depth, step):
            k = torch.arange(start, min(start + step, depth), dtype=torch.float64, device=device)[:, None, None]
            row, row_share = _split(self.places.first[0] + (self.places.first[1] + k * self.places.step) * near, rows)
            cells = (row[..., :, None] * (columns + 2) + below[..., None, :]).flatten(-2)
            shares = (row_share[..., :, None] * height_share[..., None, :]).flatten(-2) * near[..., None] ** 2
            part = slice(start * height * width, min(start + step, depth) * height * width)
            parts.append((cells.flatten(0, 2).to(like.device), shares.flatten(0, 2).to(like), part))
        return parts


def _split(place: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the two cells around each place, one zero cell being added before the first, and their shares."""
    lower = place.floor()
    share = place - lower
    inside = (lower >= -1) & (lower < count)
    shares = torch.stack([1 - share, share], -1) * inside[..., None]
    first = lower.clamp(-1, count - 1).long() + 1
    return torch.stack([first, first + 1], -1), shares
