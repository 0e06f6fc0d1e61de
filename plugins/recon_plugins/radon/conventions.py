"""Scans described as other packages describe them: ASTRA, torch-radon, ODL, scikit-image and deepinv.

All of them agree with `ParallelBeam` and `FanBeam` in how angles turn and which way the detector points (x to the
right, y up, row 0 on top: the ray of view theta and position t is x cos(theta) + y sin(theta) = t); they differ in
units, in where the centre of rotation lies, and in the order of axes, which each function tells.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recon.errors import UsageError
from recon_plugins.radon.geometry import Detector, FanBeam, Geometry, ParallelBeam
from recon_plugins.radon.grid import Grid
from recon_plugins.radon.ray_transform import RayTransform

__all__ = ["from_astra", "from_deepinv", "from_odl", "from_skimage", "from_torch_radon", "odl_image", "to_astra"]

TOLERANCE = 1e-6
"""Relative difference between views that counts as rounding: files hold vectors in single precision."""


def from_astra(projections: Mapping[str, Any], volume: Mapping[str, Any]) -> RayTransform:
    """Return the operator of a scan given as ASTRA's dictionaries of a projection and a volume geometry (2-D).

    Lengths keep ASTRA's unit, which should be mm. A sinogram of ASTRA, (angle, bin), is ours without the axes of batch
    and channel, an image likewise.

    Parameters
    ----------
    projections
        Of type parallel, fanflat, parallel_vec or fanflat_vec. Vectors may describe a detector that is shifted or
        tilted, the same way in every view.
    volume
        Grid rows and columns, and their window.

    Raises
    ------
    UsageError
        If the type is another, or vectors describe a source or a detector that moves relative to the centre.
    """
    option = volume.get("option", {})
    size = (int(volume["GridRowCount"]), int(volume["GridColCount"]))
    window = [option.get(f"Window{bound}", default) for bound, default in _window(size).items()]
    (left, right), (bottom, top) = window[:2], window[2:]
    pixel = ((top - bottom) / size[0], (right - left) / size[1])
    return RayTransform(
        geometry=_astra_geometry(projections), size=size, pixel=pixel, centre=((left + right) / 2, (bottom + top) / 2)
    )


def to_astra(geometry: Geometry, grid: Grid) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a scan as ASTRA's dictionaries: of the projection geometry, and of the volume geometry.

    A shifted or tilted detector becomes vectors (parallel_vec, fanflat_vec).

    Raises
    ------
    UsageError
        If the detector is curved, which ASTRA has in three dimensions only.
    """
    if isinstance(geometry, FanBeam) and geometry.detector == "curved":
        raise UsageError("ASTRA has no curved detector in two dimensions")
    (height, width), (dy, dx), (x, y) = grid.size, grid.pixel, grid.centre
    bounds = dict(zip(_window((height, width)), _edges(x, width * dx) + _edges(y, height * dy), strict=True))
    volume = {"GridRowCount": height, "GridColCount": width, "option": {f"Window{k}": v for k, v in bounds.items()}}
    angles = np.asarray(geometry.angles)
    fan = isinstance(geometry, FanBeam)
    plain = geometry.offset == 0 and not (isinstance(geometry, FanBeam) and geometry.tilt)
    projections: dict[str, Any] = {"type": ("fanflat" if fan else "parallel") + ("" if plain else "_vec")}
    projections["DetectorCount"] = geometry.bins
    if plain:
        projections |= {"DetectorWidth": geometry.bin_size, "ProjectionAngles": angles}
        if isinstance(geometry, FanBeam):
            projections["DistanceOriginSource"] = geometry.source_distance
            projections["DistanceOriginDetector"] = geometry.detector_distance
        return projections, volume
    across, along = np.stack([np.cos(angles), np.sin(angles)], 1), np.stack([-np.sin(angles), np.cos(angles)], 1)
    if isinstance(geometry, FanBeam):
        axis = math.cos(geometry.tilt) * across + math.sin(geometry.tilt) * along
        origin, detector = -geometry.source_distance * along, geometry.detector_distance * along
    else:
        axis, origin, detector = across, along, np.zeros_like(along)
    projections["Vectors"] = np.hstack([origin, detector + geometry.offset * axis, geometry.bin_size * axis])
    return projections, volume


def from_torch_radon(
    *,
    size: int | tuple[int, int],
    angles: Sequence[float] | Tensor | tuple[float, float, int],
    det_count: int | None = None,
    det_spacing: float | None = None,
    src_dist: float | None = None,
    det_dist: float | None = None,
    voxel_size: tuple[float, float] = (1.0, 1.0),
    center: tuple[float, float] = (0.0, 0.0),
) -> RayTransform:
    """Return the operator of a scan given in torch-radon's arguments: a fan beam if it has a source, else parallel.

    Version 1 (`Radon`, `RadonFanbeam`, with a resolution) and version 2 (`ParallelBeam`, `FanBeam`, with a volume) mean
    the same by them. Lengths are in pixels unless `voxel_size` gives them a unit. torch-radon's adjoint is another one:
    it weights by 1 / det_spacing, or by the magnification.

    Parameters
    ----------
    size
        Pixels of the image (H, W); one number for both.
    angles
        Radians; or (start, end, count), the end excluded.
    det_count
        Number of bins; by default as many as columns.
    det_spacing
        Width of a bin; by default 1, in a fan beam the magnification.
    src_dist, det_dist
        Distance of source and detector from the centre of rotation; the detector's is by default the source's.
    voxel_size, center
        Edges of a pixel and the image's centre, (y, x), as in `Volume2D`.

    Raises
    ------
    UsageError
        If the geometry cannot be.
    """
    height, width = (size, size) if isinstance(size, int) else size
    if isinstance(angles, tuple) and len(angles) == 3 and isinstance(angles[2], int):
        start, end, count = float(angles[0]), float(angles[1]), angles[2]
        views = [start + (end - start) * k / count for k in range(count)]
    else:
        views = torch.as_tensor(angles, dtype=torch.float64).tolist()
    bins = width if det_count is None else det_count
    geometry: Geometry
    if src_dist is None:
        geometry = ParallelBeam(tuple(views), bins, 1.0 if det_spacing is None else det_spacing)
    else:
        distance = src_dist if det_dist is None else det_dist
        spacing = (src_dist + distance) / src_dist if det_spacing is None else det_spacing
        geometry = FanBeam(tuple(views), bins, spacing, src_dist, distance)
    return RayTransform(geometry=geometry, size=(height, width), pixel=voxel_size, centre=(center[1], center[0]))


def from_odl(
    *,
    min_pt: tuple[float, float],
    max_pt: tuple[float, float],
    shape: tuple[int, int],
    angles: Sequence[float] | Tensor,
    det_min: float,
    det_max: float,
    det_count: int,
    src_radius: float | None = None,
    det_radius: float = 0.0,
    detector: Detector = "flat",
) -> RayTransform:
    """Return the operator of a scan between ODL's spaces: a fan beam if it has a source radius, else parallel.

    ODL's image f[i, j] is the value at (x_i, y_j): bring it into rows and columns by `odl_image`. The sinogram (angle,
    bin) is ours as it is.

    Parameters
    ----------
    min_pt, max_pt, shape
        Of the reconstruction space, (x, y).
    angles
        Points of the partition of angles in radians, the centres of its cells.
    det_min, det_max, det_count
        Bounds and cells of the partition of the detector.
    src_radius, det_radius
        Distance of source and detector from the centre of rotation.
    detector
        Flat, or curved about the source (ODL's curvature radius being the distance of source and detector).

    Raises
    ------
    UsageError
        If the geometry cannot be.
    """
    views = tuple(torch.as_tensor(angles, dtype=torch.float64).tolist())
    spacing, offset = (det_max - det_min) / det_count, (det_min + det_max) / 2
    geometry: Geometry = ParallelBeam(views, det_count, spacing, offset)
    if src_radius is not None:
        geometry = FanBeam(views, det_count, spacing, src_radius, det_radius, offset, detector)
    (x0, y0), (x1, y1), (columns, rows) = min_pt, max_pt, shape
    return RayTransform(
        geometry=geometry,
        size=(rows, columns),
        pixel=((y1 - y0) / rows, (x1 - x0) / columns),
        centre=((x0 + x1) / 2, (y0 + y1) / 2),
    )


def odl_image(x: Tensor) -> Tensor:
    """Bring an image from ODL's order, (..., x, y), into rows from the top and columns.

    Shapes: (..., W, H) -> (..., H, W).
    """
    return x.transpose(-1, -2).flip(-2)


def from_skimage(*, shape: tuple[int, int], theta: Sequence[float] | None = None, circle: bool = True) -> RayTransform:
    """Return the operator of what `skimage.transform.radon` models, in pixels; its sinogram (bin, angle) is transposed.

    scikit-image turns the image about pixel (H // 2, W // 2), and that pixel is seen by bin D // 2: for even sizes half
    a pixel from the image's centre, and half a bin from the detector's.

    Parameters
    ----------
    shape
        Image size (H, W).
    theta
        Degrees; by default 0 to 179.
    circle
        Whether the detector has as many bins as the image's smaller side, as for images that are zero outside the
        circle; else it sees the whole image.
    """
    views = tuple(math.radians(angle) for angle in (range(180) if theta is None else theta))
    if circle:
        bins = min(shape)
        pivot = [math.ceil((n - bins) / 2) + bins // 2 for n in shape]
    else:
        bins = max(n + math.ceil(math.sqrt(2) * max(shape) - n) for n in shape)
        pivot = [n // 2 for n in shape]
    offset = (bins - 1) / 2 - bins // 2
    return RayTransform(geometry=ParallelBeam(views, bins, 1.0, offset), size=shape, centre=_about(shape, pivot))


def from_deepinv(*, img_width: int, angles: int | Sequence[float] | Tensor, circle: bool = False) -> RayTransform:
    """Return the operator that `deepinv.physics.Tomography` stands for, in pixels, without its normalisation.

    Its sinogram (batch, channel, bin, angle) has the last two axes the other way round. It turns a padded image about
    that image's centre, which lies half a pixel off ours for some sizes; with `circle` it blanks the corners first.

    Parameters
    ----------
    img_width
        Edge of the image in pixels.
    angles
        Degrees; or their number, equispaced over [0, 180).
    circle
        Whether the image is not padded.
    """
    degrees = [180 * k / angles for k in range(angles)] if isinstance(angles, int) else torch.as_tensor(angles).tolist()
    bins, before = img_width, 0
    if not circle:
        pad = math.ceil(math.sqrt(2) * img_width - img_width)
        bins, before = img_width + pad, (img_width + pad) // 2 - img_width // 2
    pivot = (bins - 1) / 2 - before
    shape = (img_width, img_width)
    geometry = ParallelBeam(tuple(math.radians(angle) for angle in degrees), bins, 1.0)
    return RayTransform(geometry=geometry, size=shape, centre=_about(shape, (pivot, pivot)))


def _about(shape: tuple[int, int], pivot: Sequence[float]) -> tuple[float, float]:
    """Return the image's centre (x, y) in pixels from the point (row, column) it turns about."""
    return (shape[1] - 1) / 2 - pivot[1], pivot[0] - (shape[0] - 1) / 2


def _edges(centre: float, length: float) -> tuple[float, float]:
    return centre - length / 2, centre + length / 2


def _window(size: tuple[int, int]) -> dict[str, float]:
    """ASTRA's bounds of the volume where none are given: pixels of edge 1 about the origin."""
    return {"MinX": -size[1] / 2, "MaxX": size[1] / 2, "MinY": -size[0] / 2, "MaxY": size[0] / 2}


def _astra_geometry(projections: Mapping[str, Any]) -> Geometry:
    kind, bins = projections["type"], int(projections["DetectorCount"])
    if kind in ("parallel", "fanflat"):
        angles = tuple(np.asarray(projections["ProjectionAngles"], dtype=float).tolist())
        width = float(projections["DetectorWidth"])
        if kind == "parallel":
            return ParallelBeam(angles, bins, width)
        source, distance = (float(projections[f"DistanceOrigin{end}"]) for end in ("Source", "Detector"))
        return FanBeam(angles, bins, width, source, distance)
    if kind not in ("parallel_vec", "fanflat_vec"):
        raise UsageError(
            f"ASTRA's projection geometry {kind!r} is not one of parallel, fanflat, parallel_vec, fanflat_vec"
        )
    first, detector, axis = np.split(np.asarray(projections["Vectors"], dtype=float), 3, axis=1)
    if kind == "parallel_vec":
        # Only the part of the detector across the rays counts.
        across = np.stack([first[:, 1], -first[:, 0]], 1) / np.linalg.norm(first, axis=1)[:, None]
        across *= np.sign((across * axis).sum(1))[:, None]
        width = _common((across * axis).sum(1), "width of a bin")
        offset = _common((across * detector).sum(1), "offset of the detector", width)
        return ParallelBeam(_angles(across), bins, width, offset)
    distance = _common(np.linalg.norm(first, axis=1), "distance of the source")
    along = -first / distance
    across = np.stack([along[:, 1], -along[:, 0]], 1)
    if ((across * axis).sum(1) <= 0).any():
        raise UsageError(
            "ASTRA's vectors point along the detector against the turn of the source: reverse the bins' order"
        )
    width = _common(np.linalg.norm(axis, axis=1), "width of a bin")
    axis = axis / width
    tilt = _common(np.arctan2((along * axis).sum(1), (across * axis).sum(1)), "tilt of the detector", 1.0)
    # From the central bin along the detector to the central ray, which runs through the centre of rotation.
    offset = _common((across * detector).sum(1) / (across * axis).sum(1), "offset of the detector", width)
    length = _common((along * (detector - offset * axis)).sum(1), "distance of the detector", distance)
    tilt = 0.0 if abs(tilt) < TOLERANCE else tilt
    return FanBeam(_angles(across), bins, width, distance, length, offset, "flat", tilt)


def _angles(across: np.ndarray[Any, Any]) -> tuple[float, ...]:
    return tuple(np.arctan2(across[:, 1], across[:, 0]).tolist())


def _common(values: np.ndarray[Any, Any], what: str, scale: float | None = None) -> float:
    """Return the value that all views share."""
    mean = float(values.mean())
    if np.abs(values - mean).max() > TOLERANCE * max(abs(mean), 0.0 if scale is None else abs(scale)):
        raise UsageError(
            f"the {what} differs between the views, from {values.min():g} to {values.max():g}: a scan keeps it"
        )
    return mean if scale is None or abs(mean) > TOLERANCE * scale else 0.0
