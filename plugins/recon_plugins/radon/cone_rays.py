"""Joseph's model of a ray in space: which voxels it crosses, and with what weights."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from recon_plugins.radon.cone_geometry import SpatialGeometry
from recon_plugins.radon.grid import Grid

__all__ = ["SheetTable", "VoxelRays", "voxel_rays"]


@dataclass(frozen=True)
class VoxelRays:
    """Rays in voxel coordinates (z, y, x), counted from the centre of the first voxel: see `RayFans`.

    A ray is followed from plane to plane across the axis along which it is steepest (y before x before z where two are
    equal). On each plane the four nearest voxels are interpolated bilinearly, beyond the volume there is zero, and the
    sum over the planes times the ray's length between two of them is the line integral.

    References
    ----------
    Joseph, IEEE Trans. Med. Imaging 1:192, 1982, doi:10.1109/TMI.1982.4307572
    """

    start: Tensor
    start_step: Tensor
    towards: Tensor
    towards_step: Tensor
    rows: int
    size: tuple[int, ...]
    edges: Tensor
    """Edges of a voxel (z, y, x) in mm, float64, (3,)."""

    @cached_property
    def sheets(self) -> SheetTable | None:
        """The table of rays whose columns stay in one upright plane, or None where one leaves it or is steepest in z.

        That is so unless the detector is rolled or pitched, or the cone wide.
        """
        if self.start_step[..., 1:].any() or self.towards_step[..., 1:].any():
            return None
        (z, y, x), (dz, dy, dx) = self.start.unbind(-1), self.towards.unbind(-1)
        rise = torch.maximum(dz.abs(), (dz + (self.rows - 1) * self.towards_step[..., 0]).abs())
        if (rise > torch.maximum(dy.abs(), dx.abs())).any():
            return None
        along_rows = dy.abs() >= dx.abs()
        at, step = torch.where(along_rows, y, x), torch.where(along_rows, dy, dx)
        cell, cell_step = torch.where(along_rows, x, y), torch.where(along_rows, dx, dy) / step
        rise, spread = dz / step, self.towards_step[..., 0] / step
        flat = self.edges[1:].square().mul(self.towards[..., 1:].square()).sum(-1)
        return SheetTable(
            along_rows=along_rows,
            cell=cell - at * cell_step,
            cell_step=cell_step,
            height=z - at * rise,
            height_step=rise,
            spacing=self.start_step[..., 0] - at * spread,
            spacing_step=spread,
            flat=flat / step.square(),
            rise=self.edges[0] * rise,
            spread=self.edges[0] * spread,
            rows=self.rows,
        )

    def view(self, index: int) -> VoxelRays:
        """Return the rays of one view."""
        start, start_step, towards, towards_step = (
            table[index : index + 1] for table in (self.start, self.start_step, self.towards, self.towards_step)
        )
        return VoxelRays(start, start_step, towards, towards_step, self.rows, self.size, self.edges)

    def entries(self) -> int:
        """Return an upper estimate of the number of voxels that rays meet."""
        return 4 * self.start.shape[0] * self.start.shape[1] * self.rows * max(self.size)

    def matrix(self, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
        """Return the projector in CSR form: row starts, voxel indices, weights in mm; a row per view, row, column."""
        counts, voxels, weights = [], [], []
        for index in range(len(self.start)):
            count, voxel, weight = _view_entries(self.view(index))
            counts.append(count)
            voxels.append(voxel)
            weights.append(weight.to(dtype))
        starts = torch.cat([torch.zeros(1, dtype=torch.long), torch.cat(counts).cumsum(0)])
        return starts, torch.cat(voxels), torch.cat(weights)


@dataclass(frozen=True)
class SheetTable:
    """Rays whose columns each stay in one upright plane, a sheet: Joseph's model with the path of a column shared.

    A sheet is followed along the volume's rows, or its columns of voxels, whichever it crosses more steeply. It meets
    line l at cell + cell_step l, where ray r passes at height + height_step l + r (spacing + spacing_step l) in slices.
    The length of ray r between two lines is sqrt(flat + (rise + r spread)^2) in mm. Shapes (A, C), float64.
    """

    along_rows: Tensor
    cell: Tensor
    cell_step: Tensor
    height: Tensor
    height_step: Tensor
    spacing: Tensor
    spacing_step: Tensor
    flat: Tensor
    rise: Tensor
    spread: Tensor
    rows: int

    def crossed(self, size: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """Return the first and the last line on which each sheet may be inside; first > last where there is none."""
        height, width = size[1:]
        lines = torch.where(self.along_rows, height, width)
        cells = torch.where(self.along_rows, width, height)
        slope = torch.where(self.cell_step.abs() < 1e-9, 1e-9, self.cell_step)
        one, other = (-1 - self.cell) / slope, (cells - self.cell) / slope
        first = torch.minimum(one, other).ceil().clamp(min=0)
        return first, torch.minimum(torch.maximum(one, other).floor(), lines - 1.0)

    def spacings(self, size: tuple[int, ...]) -> tuple[float, float]:
        """Return the least and the largest distance of neighbouring rays of a column inside the volume, in slices."""
        first, last = self.crossed(size)
        ends = torch.stack([self.spacing + self.spacing_step * line for line in (first, last)])[:, first <= last]
        return (float(ends.min()), float(ends.max())) if ends.numel() else (1.0, 1.0)


def voxel_rays(geometry: SpatialGeometry, grid: Grid) -> VoxelRays:
    """Return the rays of a geometry through a volume on a grid."""
    fans = geometry.ray_fans()
    edges = torch.tensor(grid.pixel, dtype=torch.float64)
    # x, y, z in mm to slice, row, column; row 0 on top.
    scale = torch.tensor([1.0, -1.0, 1.0], dtype=torch.float64) / edges
    middle = torch.tensor([(n - 1) / 2 for n in grid.size], dtype=torch.float64)
    centre = torch.tensor(grid.centre, dtype=torch.float64)
    return VoxelRays(
        start=(fans.start - centre).flip(-1) * scale + middle,
        start_step=fans.start_step.flip(-1) * scale,
        towards=fans.towards.flip(-1) * scale,
        towards_step=fans.towards_step.flip(-1) * scale,
        rows=fans.rows,
        size=grid.size,
        edges=edges,
    )


def _view_entries(rays: VoxelRays) -> tuple[Tensor, Tensor, Tensor]:
    """Return the number of voxels that each ray of a view meets, their indices and weights, ray by ray."""
    row = torch.arange(rays.rows, dtype=torch.float64)[:, None, None]
    start = (rays.start + row * rays.start_step).flatten(0, 1)
    towards = (rays.towards + row * rays.towards_step).flatten(0, 1)
    dz, dy, dx = towards.abs().unbind(-1)
    steep = torch.where(dz > torch.maximum(dy, dx), 2, torch.where(dy >= dx, 0, 1))
    size = torch.tensor(rays.size)
    strides = torch.tensor([math.prod(rays.size[1:]), rays.size[2], 1])
    plane = torch.arange(max(rays.size))
    length = (towards * rays.edges).norm(dim=-1)
    parts = []
    for number, (major, first, second) in enumerate(((1, 0, 2), (2, 0, 1), (0, 1, 2))):
        ray = (steep == number).nonzero()[:, 0]
        o, d = start[ray], towards[ray]
        s = (plane[: size[major]] - o[:, [major]]) / d[:, [major]]
        index, share = plane[: size[major]] * strides[major], (length[ray] / d[:, major].abs())[:, None]
        index, share = index.expand(len(ray), -1)[..., None], share.expand_as(s)[..., None]
        inside = torch.ones_like(index, dtype=torch.bool)
        for axis in (first, second):
            position = o[:, [axis]] + s * d[:, [axis]]
            lower = position.floor()
            neighbour = torch.stack([lower, lower + 1], -1)
            weight = torch.stack([1 - (position - lower), position - lower], -1)
            within = (neighbour >= 0) & (neighbour < size[axis]) & (weight > 0)
            index = (index[..., None] + (neighbour.long() * strides[axis])[..., None, :]).flatten(-2)
            share = (share[..., None] * weight[..., None, :]).flatten(-2)
            inside = (inside[..., None] & within[..., None, :]).flatten(-2)
        parts.append((ray.repeat_interleave(inside.sum((1, 2))), index[inside], share[inside]))
    ray, index, share = (torch.cat(column) for column in zip(*parts, strict=True))
    ray, order = torch.sort(ray, stable=True)
    return torch.bincount(ray, minlength=len(towards)), index[order].int(), share[order]
