"""Scans as ASTRA's CUDA kernels take them: always in space, as vectors."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recon.errors import UsageError
from recon_plugins.astra.geometry import plane_vectors

__all__ = ["CudaScan", "check_cuda_scan", "cuda_scan"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class CudaScan:
    """A scan in ASTRA's words, in mm.

    ASTRA's volumes are (slice, row, column) with rows growing with y, its projections (row, view, column).
    """

    volume: dict[str, Any]
    """Volume geometry."""
    projections: dict[str, Any]
    """Projection geometry: parallel3d_vec, cone_vec or cyl_cone_vec."""
    weighting: str
    """ASTRA's projection kernel: how its back-projection weighs a voxel."""
    cosines: Array
    """Cosine of each ray's angle with the detector's normal, the same in every view, (R, C)."""


def check_cuda_scan(geometry: Any, grid: Any) -> None:
    """Raise UsageError if ASTRA's CUDA kernels cannot describe the scan."""
    if len(grid.size) == 2 and _curved(geometry):
        raise UsageError("astra has no curved detectors in two dimensions: take recon's own projector")


def cuda_scan(geometry: Any, grid: Any, slices: int = 1) -> CudaScan:
    """Return a scan in space; images are a stack of slices 1 mm apart, each with a detector row of its own.

    Parameters
    ----------
    geometry, grid
        As a projector of recon's has them, in two or three dimensions.
    slices
        Number of images in the stack; fans, whose rows diverge, take one.
    """
    import astra

    flat = len(grid.size) == 2
    parallel = not hasattr(geometry, "source_distance")
    rows, columns = (slices, geometry.bins) if flat else geometry.bins
    vectors = _lifted(geometry) if flat else _curved_vectors(geometry) if _curved(geometry) else _vectors(geometry)
    kind = "parallel3d_vec" if parallel else "cyl_cone_vec" if vectors.shape[1] == 13 else "cone_vec"
    return CudaScan(
        _volume(grid, slices),
        astra.create_proj_geom(kind, rows, columns, vectors),
        # Of a plane the density of rays falls with the distance, of space with its square.
        "2d_weighting" if flat and not parallel else "default",
        _cosines(vectors[0], rows, columns, parallel),
    )


def _curved(geometry: Any) -> bool:
    return getattr(geometry, "detector", "flat") != "flat"


def _volume(grid: Any, slices: int) -> dict[str, Any]:
    import astra

    flat = len(grid.size) == 2
    size, pixel = ((slices, *grid.size), (1.0, *grid.pixel)) if flat else (grid.size, grid.pixel)
    centre = (*grid.centre, 0.0) if flat else grid.centre
    depth, height, width = size
    bounds = []
    for count, edge, middle in zip((width, height, depth), reversed(pixel), centre, strict=True):
        bounds += [middle - count * edge / 2, middle + count * edge / 2]
    made: dict[str, Any] = astra.create_vol_geom(height, width, depth, *bounds)
    return made


def _lifted(geometry: Any) -> Array:
    """Put the vectors of a scan in the plane into space, where rows lie 1 mm apart along z: (A, 12)."""
    plane = plane_vectors(geometry).reshape(-1, 3, 2)
    space = np.zeros((len(plane), 4, 3))
    space[:, :3, :2] = plane
    space[:, 3, 2] = 1
    return space.reshape(-1, 12)


def _vectors(geometry: Any) -> Array:
    """For each view: source or direction, the detector's centre, the steps along columns and rows, (A, 12)."""
    # Two columns of one row lie half a step on either side of the detector's centre.
    fans = dataclasses.replace(geometry, bins=(1, 2)).ray_fans()
    start, towards = fans.start.numpy(), fans.towards.numpy()
    cone = hasattr(geometry, "source_distance")
    points, steps = (start + towards, fans.towards_step) if cone else (start, fans.start_step)
    # ASTRA's own vectors of parallel beams point from the detector to where the rays come from.
    first = start[:, 0] if cone else -towards[:, 0]
    across = points[:, 1] - points[:, 0]
    up = np.broadcast_to(steps.numpy()[:, 0], across.shape)
    return np.concatenate([first, points.mean(1), across, up], 1)


def _curved_vectors(geometry: Any) -> Array:
    """For each view: source, the detector's middle, tangent and upward steps, and the cylinder's radius, (A, 13)."""
    fans = dataclasses.replace(geometry, bins=(1, 1)).ray_fans()
    source, towards = fans.start.numpy()[:, 0], fans.towards.numpy()[:, 0]
    x, y = towards[:, 0], towards[:, 1]
    height, width = geometry.bin_size
    radius = np.hypot(x, y)
    tangent = np.stack([y, -x, np.zeros_like(x)], 1) * (width / radius)[:, None]
    up = np.broadcast_to([0.0, 0.0, height], tangent.shape)
    return np.concatenate([source, source + towards, tangent, up, np.full((len(x), 1), geometry.length)], 1)


def _cosines(vector: Array, rows: int, columns: int, parallel: bool) -> Array:
    first, centre, across, up = vector[:12].reshape(4, 3)
    row, column = (np.arange(n)[:, None] - (n - 1) / 2 for n in (rows, columns))
    if len(vector) == 13:  # the cylinder's normals are level, and so is its middle row's distance from the source
        height = (centre - first)[2] + row * up[2]
        return np.broadcast_to(vector[12] / np.hypot(vector[12], height), (rows, columns))
    normal = np.cross(across, up)
    points = centre + row[:, None] * up + column * across
    rays = np.broadcast_to(first, points.shape) if parallel else points - first
    found: Array = abs(rays @ normal) / np.linalg.norm(rays, axis=-1) / math.sqrt(normal @ normal)
    return found
