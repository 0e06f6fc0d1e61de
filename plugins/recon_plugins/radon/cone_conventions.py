"""Scans in space described as other packages describe them: ASTRA and ODL.

Both agree with `Parallel3D` and `ConeBeam` in how angles turn, where the source stands and which way the detector's
columns (along x at first) and rows (along z) run. They differ in the order of the axes of volumes and projections,
which `astra_volume`, `astra_projections` and `odl_volume` bring into ours.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from recon.errors import UsageError
from recon_plugins.radon.cone_geometry import ConeBeam, Parallel3D, SpatialGeometry
from recon_plugins.radon.geometry import Detector
from recon_plugins.radon.volume_transform import VolumeTransform

__all__ = ["astra_projections", "astra_volume", "odl_volume", "volume_from_astra", "volume_from_odl"]

TOLERANCE = 1e-6
"""Relative difference between views that counts as rounding: files hold vectors in single precision."""


def volume_from_astra(projections: Mapping[str, Any], volume: Mapping[str, Any]) -> VolumeTransform:
    """Return the operator of a scan given as ASTRA's dictionaries of a projection and a volume geometry (3-D).

    Lengths keep ASTRA's unit, which should be mm. ASTRA's arrays have other axes: see `astra_volume` and
    `astra_projections`.

    Parameters
    ----------
    projections
        Of type parallel3d, cone, parallel3d_vec or cone_vec. Vectors may describe a source on a circle, a helix or at
        any height, and a detector that is shifted or tilted, the same way in every view.
    volume
        Grid rows, columns and slices, and their window.

    Raises
    ------
    UsageError
        If the type is another, or vectors describe a source or a detector that moves otherwise.
    """
    option = volume.get("option", {})
    size = tuple(int(volume[f"Grid{name}Count"]) for name in ("Slice", "Row", "Col"))
    bounds = []
    for name, count in zip("ZYX", size, strict=True):
        bounds.append((option.get(f"WindowMin{name}", -count / 2), option.get(f"WindowMax{name}", count / 2)))
    dz, dy, dx = ((high - low) / count for (low, high), count in zip(bounds, size, strict=True))
    z, y, x = ((low + high) / 2 for low, high in bounds)
    depth, height, width = size
    return VolumeTransform(
        geometry=_astra_geometry(projections), size=(depth, height, width), pixel=(dz, dy, dx), centre=(x, y, z)
    )


def astra_volume(x: Tensor) -> Tensor:
    """Bring a volume from ASTRA's order, whose rows grow with y, into ours, whose row 0 is on top; and back.

    Shapes: (..., D, H, W) -> (..., D, H, W).
    """
    return x.flip(-2)


def astra_projections(y: Tensor) -> Tensor:
    """Bring projections from ASTRA's order, (row, angle, column), into ours, (angle, row, column); and back.

    Shapes: (..., R, A, C) -> (..., A, R, C).
    """
    return y.transpose(-3, -2)


def volume_from_odl(
    *,
    min_pt: tuple[float, float, float],
    max_pt: tuple[float, float, float],
    shape: tuple[int, int, int],
    angles: Sequence[float] | Tensor,
    det_min: tuple[float, float],
    det_max: tuple[float, float],
    det_shape: tuple[int, int],
    src_radius: float | None = None,
    det_radius: float = 0.0,
    detector: Detector = "flat",
    pitch: float = 0.0,
    offset_along_axis: float = 0.0,
) -> VolumeTransform:
    """Return the operator of a scan between ODL's spaces, about the axis z: a cone beam if it has a source radius.

    ODL's volume f[i, j, k] is the value at (x_i, y_j, z_k): bring it into slices, rows and columns by `odl_volume`. Its
    projections, (angle, column, row), are ours with the last two axes exchanged.

    Parameters
    ----------
    min_pt, max_pt, shape
        Of the reconstruction space, (x, y, z).
    angles
        Points of the partition of angles in radians, the centres of its cells.
    det_min, det_max, det_shape
        Bounds and cells of the partition of the detector, (u, v).
    src_radius, det_radius
        Distance of source and detector from the axis.
    detector
        Flat, or a cylinder about the source (ODL's curvature radius being the distance of source and detector).
    pitch, offset_along_axis
        Travel of source and detector along z per turn, and their height at angle 0.

    Raises
    ------
    UsageError
        If the geometry cannot be.
    """
    views = tuple(torch.as_tensor(angles, dtype=torch.float64).tolist())
    (du, dv), (u, v) = _cells(det_min, det_max, det_shape)
    bins, bin_size, offset = (det_shape[1], det_shape[0]), (dv, du), (v, u)
    geometry: SpatialGeometry = Parallel3D(views, bins, bin_size, offset)
    if src_radius is not None:
        heights = tuple(offset_along_axis + pitch * angle / (2 * math.pi) for angle in views)
        geometry = ConeBeam(views, bins, bin_size, src_radius, det_radius, offset, detector, heights=heights)
    (dx, dy, dz), (x, y, z) = _cells(min_pt, max_pt, shape)
    return VolumeTransform(geometry=geometry, size=(shape[2], shape[1], shape[0]), pixel=(dz, dy, dx), centre=(x, y, z))


def odl_volume(x: Tensor) -> Tensor:
    """Bring a volume from ODL's order, (..., x, y, z), into slices, rows from the top and columns.

    Shapes: (..., W, H, D) -> (..., D, H, W).
    """
    return x.transpose(-1, -3).flip(-2)


def _cells(
    low: Sequence[float], high: Sequence[float], shape: Sequence[int]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the edges of a partition's cells, and its centre."""
    axes = list(zip(low, high, shape, strict=True))
    return tuple((b - a) / n for a, b, n in axes), tuple((a + b) / 2 for a, b, _ in axes)


def _astra_geometry(projections: Mapping[str, Any]) -> SpatialGeometry:
    kind = projections["type"]
    if kind not in ("parallel3d", "cone", "parallel3d_vec", "cone_vec"):
        raise UsageError(
            f"ASTRA's projection geometry {kind!r} is not served: give parallel3d, cone, parallel3d_vec or cone_vec"
        )
    bins = int(projections["DetectorRowCount"]), int(projections["DetectorColCount"])
    if kind.endswith("_vec"):
        vectors = torch.as_tensor(projections["Vectors"], dtype=torch.float64).reshape(-1, 4, 3)
        return _from_vectors(vectors, bins, cone=kind == "cone_vec")
    angles = tuple(float(angle) for angle in projections["ProjectionAngles"])
    bin_size = float(projections["DetectorSpacingY"]), float(projections["DetectorSpacingX"])
    if kind == "parallel3d":
        return Parallel3D(angles, bins, bin_size)
    source, detector = float(projections["DistanceOriginSource"]), float(projections["DistanceOriginDetector"])
    return ConeBeam(angles, bins, bin_size, source, detector)


def _from_vectors(vectors: Tensor, bins: tuple[int, int], *, cone: bool) -> SpatialGeometry:
    """Find the regular scan whose source (or minus the rays' direction), detector centre and bin steps these are."""
    source = vectors[:, 0]
    theta = torch.atan2(source[:, 0], -source[:, 1])
    across = torch.stack([theta.cos(), theta.sin(), torch.zeros_like(theta)], -1)
    along = torch.stack([-theta.sin(), theta.cos(), torch.zeros_like(theta)], -1)
    up = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64).expand_as(along)
    heights = source[:, 2] if cone else torch.zeros_like(theta)
    moved = vectors.clone()
    moved[:, 1, 2] -= heights
    # In the frame that turns with the source: (across, along, up).
    frame = torch.stack([across, along, up], 1)
    turned = torch.einsum("afi,avi->avf", frame, moved)
    distance = -turned[:, 0, 1]
    steady, scale = turned[:, 1:], turned[:, 1:].abs().amax()
    uneven = cone and bool((distance - distance[0]).abs().max() > TOLERANCE * distance[0].abs())
    if uneven or (steady - steady[0]).abs().max() > TOLERANCE * scale:
        raise UsageError(
            "ASTRA's vectors describe a source or a detector that does not turn about the z axis in one and the same "
            "way: such scans are not served"
        )
    if not cone and source[:, 2].abs().max() > TOLERANCE * source.norm(dim=-1).max():
        raise UsageError("ASTRA's vectors describe rays that are not level: such scans are not served")
    centre, u, v = steady.mean(0)
    if abs(float(u @ v)) > TOLERANCE * float(u.norm() * v.norm()):
        raise UsageError("ASTRA's vectors describe bins that are not rectangular: such scans are not served")
    tilt = _tilt(u, v)
    position = torch.linalg.solve(torch.stack([up.new_tensor([0, 1, 0]), u / u.norm(), v / v.norm()], 1), centre)
    bin_size, offset = (float(v.norm()), float(u.norm())), (float(position[2]), float(position[1]))
    angles = tuple(theta.tolist())
    if not cone:
        return Parallel3D(angles, bins, bin_size, offset, tilt)
    level = (heights - heights[0]).abs().max() <= TOLERANCE * scale and abs(float(heights[0])) <= TOLERANCE * scale
    return ConeBeam(
        angles, bins, bin_size, float(distance.mean()), float(position[0]), offset,
        heights=None if level else tuple(heights.tolist()), tilt=tilt,
    )  # fmt: skip


def _tilt(u: Tensor, v: Tensor) -> tuple[float, float, float]:
    """Return yaw, pitch and roll of a detector whose columns and rows run along u and v: (across, along, up)."""
    normal = -torch.linalg.cross(u, v)
    normal = normal / normal.norm()
    pitch, yaw = -math.asin(max(-1.0, min(1.0, float(normal[2])))), math.atan2(-float(normal[0]), float(normal[1]))
    turned = u.new_tensor([math.cos(yaw), math.sin(yaw), 0.0])
    raised = u.new_tensor([-math.sin(yaw) * math.sin(pitch), math.cos(yaw) * math.sin(pitch), math.cos(pitch)])
    roll = math.atan2(float(u @ raised), float(u @ turned))
    # Angles of rounding would keep the faster kernels from serving.
    yaw, pitch, roll = (0.0 if abs(angle) < TOLERANCE else angle for angle in (yaw, pitch, roll))
    return yaw, pitch, roll
