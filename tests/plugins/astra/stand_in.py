"""ASTRA's CUDA kernels of volumes in plain NumPy, by their documentation and formulas, for tests without CUDA.

Geometries are read back from ASTRA, so its reading of what it is told is tested too.
"""

from __future__ import annotations

from typing import Any

import astra
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from torch import Tensor

Array = NDArray[np.float64]


def direct_FP3D(handle: int, volume: Tensor, projections: Tensor) -> None:
    """Fill projections (R, A, C) from a volume (D, H, W), along the axis that the middle ray follows most."""
    scan, edges, to_voxels = _geometries(handle)
    for view, vector in enumerate(scan["Vectors"]):
        pixels, first = _pixels(scan, vector)
        rays = pixels - first if scan["type"] != "parallel3d_vec" else np.broadcast_to(first, pixels.shape)
        start, step = to_voxels(pixels), rays[..., ::-1] / edges
        middle = (first if scan["type"] == "parallel3d_vec" else vector[3:6] - first)[::-1] / edges
        axis = int(abs(middle).argmax())
        planes = np.arange(volume.shape[axis])
        along = (planes - start[..., axis, None]) / step[..., axis, None]
        points = start[..., None, :] + along[..., None] * step[..., None, :]
        values = map_coordinates(volume.numpy(), np.moveaxis(points, -1, 0), order=1, mode="grid-constant")
        length = np.linalg.norm(rays, axis=-1) / abs(step[..., axis])
        projections[:, view] = projections.new_tensor(values.sum(-1) * length)


def direct_BP3D(handle: int, volume: Tensor, projections: Tensor) -> None:
    """Fill a volume: each view is interpolated where a voxel's centre falls, and weighed by the density of rays."""
    scan, edges, _ = _geometries(handle)
    kernel = KERNELS.get(handle, "default")
    low = _window(astra.projector3d.volume_geometry(handle))[0]
    index = np.stack(np.meshgrid(*map(np.arange, volume.shape), indexing="ij"), -1)
    voxels = (low + (index + 0.5) * edges)[..., ::-1]
    total = np.zeros(volume.shape)
    for view, vector in enumerate(scan["Vectors"]):
        first, centre, u, v = vector[:12].reshape(4, 3)
        area = np.linalg.norm(np.cross(u, v))
        if scan["type"] == "parallel3d_vec":
            found = (voxels - centre) @ np.linalg.inv(np.stack([u, v, first]))
            column, row, weight = found[..., 0], found[..., 1], 1 / area
        elif scan["type"] == "cone_vec":
            normal = np.cross(u, v)
            near = ((centre - first) @ normal) / ((voxels - first) @ normal)
            found = (first + near[..., None] * (voxels - first) - centre) @ np.linalg.inv(np.stack([u, v, normal]))
            column, row, weight = found[..., 0], found[..., 1], near**2 / area
            if kernel == "2d_weighting":
                weight = near / (np.linalg.norm(u) * edges[0])
        else:
            radius = vector[12]
            outward = np.cross(v, u) / area
            assert np.allclose(centre - radius * outward, first - v * ((first - centre) @ v) / (v @ v))
            sight = voxels - first
            sideways, forwards = sight @ u / np.linalg.norm(u), sight @ outward
            near = radius / np.hypot(sideways, forwards)
            column = np.arctan2(sideways, forwards) * radius / np.linalg.norm(u)
            row, weight = (first + near[..., None] * sight - centre) @ v / (v @ v), near**2 / area
        shape = projections[:, view].shape
        at = [row + (shape[0] - 1) / 2, column + (shape[1] - 1) / 2]
        total += weight * map_coordinates(projections[:, view].numpy(), at, order=1, mode="grid-constant")
    volume[:] = volume.new_tensor(total * edges.prod())


KERNELS: dict[int, str] = {}
"""ASTRA does not tell which kernel a projector was asked for."""


def create(config: dict[str, Any], make: Any = astra.projector3d.create) -> int:
    """Let ASTRA make a projector, and remember its kernel."""
    handle: int = make(config)
    KERNELS[handle] = config["ProjectionKernel"]
    return handle


def _window(volume: dict[str, Any]) -> tuple[Array, Array]:
    option = volume.get("option") or volume["options"]  # as it is given, and as ASTRA gives it back
    low, high = (np.array([option[f"Window{end}{axis}"] for axis in "ZYX"]) for end in ("Min", "Max"))
    return low, (high - low) / [volume[f"Grid{name}Count"] for name in ("Slice", "Row", "Col")]


def _geometries(handle: int) -> tuple[dict[str, Any], Array, Any]:
    low, edges = _window(astra.projector3d.volume_geometry(handle))
    scan = astra.projector3d.projection_geometry(handle)
    return scan, edges, lambda points: (points[..., ::-1] - low) / edges - 0.5


def _pixels(scan: dict[str, Any], vector: Array) -> tuple[Array, Array]:
    """Centres of the pixels, (R, C, 3), and the source or direction."""
    first, centre, u, v = vector[:12].reshape(4, 3)
    row = (np.arange(scan["DetectorRowCount"]) - (scan["DetectorRowCount"] - 1) / 2)[:, None, None]
    column = (np.arange(scan["DetectorColCount"]) - (scan["DetectorColCount"] - 1) / 2)[:, None]
    if scan["type"] != "cyl_cone_vec":
        return centre + row * v + column * u, first
    radius, size = vector[12], np.linalg.norm(u)
    outward = radius * np.cross(v, u) / np.linalg.norm(np.cross(u, v))
    angle = column * size / radius
    return centre - outward + np.cos(angle) * outward + np.sin(angle) * radius * u / size + row * v, first
