"""Density compensation by Voronoi cells."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recon.errors import MissingDependencyError, UsageError

__all__ = ["voronoi_density"]

Array = NDArray[np.float64]


def voronoi_density(trajectory: Tensor) -> Tensor:
    """Return the area (volume) of k-space that is nearer to a sample than to any other.

    Samples at one place, such as the centre of all spokes, share their cell. Cells end where the convex hull of the
    samples does, half the distance to the nearest sample further out: 1 on the full Cartesian grid, to its edge.

    Shapes: trajectory (*samples, dimensions) in cycles per field of view -> (*samples), its precision and device.

    Raises
    ------
    UsageError
        If the samples lie on a line or in a plane, so that cells have no area.
    MissingDependencyError
        If SciPy is not installed.

    References
    ----------
    Rasche et al., IEEE Trans. Med. Imaging 18:385, 1999, doi:10.1109/42.774166
    """
    try:
        from scipy.spatial import ConvexHull, QhullError, Voronoi, cKDTree
    except ImportError as error:
        raise MissingDependencyError("Voronoi cells need SciPy: pip install scipy") from error
    k = trajectory.detach().reshape(-1, trajectory.shape[-1]).cpu().double().numpy()
    # Rounding makes places out of one: the centre of a spoke is sin(pi) off another's.
    grid = max(np.abs(k).max(initial=0.0), 1.0) * 1e-9
    _, first, which, count = np.unique(
        np.round(k / grid), axis=0, return_index=True, return_inverse=True, return_counts=True
    )
    places = k[first]
    try:
        hull, cells = ConvexHull(places), Voronoi(np.vstack([places, _guards(places)]))
    except (QhullError, ValueError):
        raise UsageError(
            "Voronoi cells need samples that spread over the plane (or space); these lie on a line, or are too few"
        ) from None
    spacing = cKDTree(places).query(places, k=2)[0][:, 1]
    faces = _expanded(hull, spacing)
    volume = _volumes(cells)
    rim = _at_the_rim(cells, faces)
    rim = rim[rim < len(places)]
    for sample, neighbours in zip(rim, _neighbours(cells, rim), strict=True):
        volume[sample] = _clipped(places[sample], cells.points[neighbours], faces)
    density = (volume[: len(places)] / count)[which.reshape(-1)]
    return torch.from_numpy(density).to(trajectory).reshape(trajectory.shape[:-1])


def _guards(places: Array) -> Array:
    """Return far points all around, for which the cells of all samples are bounded."""
    directions = np.stack(np.meshgrid(*[[-1.0, 0.0, 1.0]] * places.shape[1], indexing="ij"), -1)
    directions = directions.reshape(-1, places.shape[1])
    centre = (places.max(0) + places.min(0)) / 2
    guards: Array = centre + 4 * np.abs(places - centre).max() * directions[np.abs(directions).any(1)]
    return guards


def _expanded(hull: Any, spacing: Array) -> Array:
    """Return the faces (normal, offset) of the hull, normal . k + offset <= 0 inside, half a spacing further out."""
    faces: Array = np.unique(np.round(hull.equations, 12), axis=0)
    ends = hull.points[hull.vertices]
    near = np.argmin(np.abs(faces[:, :-1] @ ends.T + faces[:, -1:]), axis=1)
    faces[:, -1] -= spacing[hull.vertices[near]] / 2
    return faces


def _volumes(cells: Any) -> Array:
    """Return the volume of each bounded cell: pyramids over its ridges, as high as half the way to the neighbour."""
    pairs, ridges, corners = cells.ridge_points, cells.ridge_vertices, cells.vertices
    dimensions = corners.shape[1]
    bounded = np.array([-1 not in ridge for ridge in ridges])
    if dimensions == 2:
        ends = corners[np.array([ridge for ridge, whole in zip(ridges, bounded, strict=True) if whole]).reshape(-1, 2)]
        area = np.linalg.norm(ends[:, 0] - ends[:, 1], axis=1)
    else:
        area = _areas([ridge for ridge, whole in zip(ridges, bounded, strict=True) if whole], corners)
    pairs = pairs[bounded]
    height = np.linalg.norm(np.diff(cells.points[pairs], axis=1)[:, 0], axis=1) / 2
    volume = np.zeros(len(cells.points))
    for side in (0, 1):
        volume += np.bincount(pairs[:, side], area * height / dimensions, minlength=len(volume))
    return volume


def _areas(polygons: list[list[int]], corners: Array) -> Array:
    """Return the areas of flat polygons in space, whose corners come in order: |sum v_i x v_(i+1)| / 2."""
    lengths = np.array([len(polygon) for polygon in polygons])
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    index = np.concatenate(polygons)
    following = np.arange(len(index)) + 1
    following[starts + lengths - 1] = starts
    origin = np.repeat(corners[index[starts]], lengths, axis=0)  # near the polygon, so that nothing cancels
    crosses = np.cross(corners[index] - origin, corners[index[following]] - origin)
    area: Array = np.linalg.norm(np.add.reduceat(crosses, starts), axis=1) / 2
    return area


def _at_the_rim(cells: Any, faces: Array) -> Array:
    """Return the samples whose cells are not bounded, or reach beyond the faces."""
    corners = cells.vertices
    outside = np.zeros(len(corners) + 1, dtype=bool)
    outside[-1] = True  # the corner at infinity, -1
    for part in range(0, len(corners), 2**16):
        block = slice(part, part + 2**16)
        outside[:-1][block] = (corners[block] @ faces[:, :-1].T + faces[:, -1] > 1e-9).any(1)
    lengths = [len(ridge) for ridge in cells.ridge_vertices]
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    index = np.concatenate(cells.ridge_vertices)
    crossing = np.logical_or.reduceat(outside[index], starts)
    samples: Array = np.unique(cells.ridge_points[crossing])
    return samples


def _neighbours(cells: Any, samples: Array) -> list[Array]:
    """Return for each of the samples those whose cells touch its own."""
    pairs = cells.ridge_points
    pairs = np.concatenate([pairs, pairs[:, ::-1]])
    pairs = pairs[np.isin(pairs[:, 0], samples)]
    pairs = pairs[np.argsort(pairs[:, 0], kind="stable")]
    return np.split(pairs[:, 1], np.searchsorted(pairs[:, 0], samples)[1:])


def _clipped(here: Array, others: Array, faces: Array) -> float:
    """Return the volume of one cell within the faces, as an intersection of half spaces about its sample."""
    from scipy.spatial import ConvexHull, HalfspaceIntersection

    normal = others - here
    offset = -((others + here) / 2 * normal).sum(1)
    between = np.column_stack([normal, offset]) / np.linalg.norm(normal, axis=1, keepdims=True)
    nearest = np.argsort(-(faces[:, :-1] @ here + faces[:, -1]))[:64]
    corners = HalfspaceIntersection(np.vstack([between, faces[nearest]]), here).intersections
    return float(ConvexHull(corners).volume)
