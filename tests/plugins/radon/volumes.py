"""Phantoms of volumes with exact projections, and Joseph's model in plain NumPy, for tests of projectors in space."""

from __future__ import annotations

import math

import numpy as np
import torch

from recon.testing.ellipsoids import Ellipsoid, chords, values_at
from recon_plugins.radon import Grid
from recon_plugins.radon.cone_geometry import ConeBeam, SpatialGeometry
from recon_plugins.radon.volume_transform import VolumeTransform


def randn(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(torch.linalg.vector_norm(a.double() - b) / torch.linalg.vector_norm(b))


def gap(operator: VolumeTransform, dtype: torch.dtype, batch: int = 2) -> float:
    """The dot test, relative to |Ax| |y|."""
    x = randn(batch, 1, *operator.size, dtype=dtype)
    y = randn(batch, 1, *operator.sinogram_size, dtype=dtype, seed=1)
    ax, aty = operator(x).double(), operator.adjoint(y).double()
    return float(abs((ax * y).sum() - (x * aty).sum()) / (ax.norm() * y.double().norm()))


def source_and_bin(geometry: SpatialGeometry, view: int, row: int, column: int) -> tuple[np.ndarray, np.ndarray]:
    """Two points of a ray, straight from the words of the documentation, sharing nothing with the code under test."""
    theta = geometry.angles[view]
    (rows, columns), (dv, du) = geometry.bins, geometry.bin_size
    u = (column - (columns - 1) / 2) * du + geometry.offset[1]
    v = (row - (rows - 1) / 2) * dv + geometry.offset[0]
    yaw, pitch, roll = geometry.tilt
    # The detector's point for theta = 0, where the central ray runs along y; then turned by theta about z.
    u, v = u * math.cos(roll) - v * math.sin(roll), u * math.sin(roll) + v * math.cos(roll)
    point = np.array([u, v * math.sin(pitch), v * math.cos(pitch)])
    point = np.array(
        [
            point[0] * math.cos(yaw) - point[1] * math.sin(yaw),
            point[0] * math.sin(yaw) + point[1] * math.cos(yaw),
            point[2],
        ]
    )
    turn = np.array([[math.cos(theta), -math.sin(theta), 0], [math.sin(theta), math.cos(theta), 0], [0, 0, 1]])
    if not isinstance(geometry, ConeBeam):
        return turn @ point, turn @ (point + np.array([0, 1, 0]))
    height = geometry.pitch * theta / (2 * math.pi) if geometry.heights is None else geometry.heights[view]
    far = geometry.source_distance + geometry.detector_distance
    source = np.array([0, -geometry.source_distance, 0])
    if geometry.detector == "curved":
        point = source + np.array([far * math.sin(u / far), far * math.cos(u / far), v])
    else:
        point = point + np.array([0, geometry.detector_distance, 0])
    lift = np.array([0, 0, height])
    return turn @ source + lift, turn @ point + lift


def joseph(geometry: SpatialGeometry, grid: Grid) -> np.ndarray:
    """Joseph's model ray by ray and plane by plane, as a dense matrix."""
    size, edges, centre = np.array(grid.size), np.array(grid.pixel), np.array(grid.centre)
    rows, columns = geometry.bins
    matrix = np.zeros((len(geometry.angles), rows, columns, *grid.size))
    for view, row, column in np.ndindex(matrix.shape[:3]):
        ends = []
        for x, y, z in source_and_bin(geometry, view, row, column):
            x, y, z = np.array([x, y, z]) - centre
            ends.append(np.array([z / edges[0], -y / edges[1], x / edges[2]]) + (size - 1) / 2)
        direction = ends[1] - ends[0]
        major = max((1, 2, 0), key=lambda axis: round(abs(direction[axis]), 12))  # y, then x, where two are equal
        others = [axis for axis in range(3) if axis != major]
        length = math.sqrt(((direction * edges) ** 2).sum()) / abs(direction[major])
        for plane in range(size[major]):
            hit = ends[0] + (plane - ends[0][major]) / direction[major] * direction
            for near in np.ndindex(2, 2):
                index = np.empty(3, int)
                index[major] = plane
                index[others] = np.floor(hit[others]).astype(int) + near
                if (index >= 0).all() and (index < size).all():
                    share = np.prod(1 - abs(hit[others] - index[others]))
                    matrix[(view, row, column, *index)] += share * length
    return matrix.reshape(-1, size.prod())


def sampled(shapes: list[Ellipsoid], grid: Grid, oversample: int = 3) -> torch.Tensor:
    """The mean of a phantom over every voxel, (1, 1, D, H, W)."""
    inner = (np.arange(oversample) + 0.5) / oversample - 0.5
    x, y, z = (axis.numpy() for axis in grid.coordinates())
    dz, dy, dx = grid.pixel
    total = np.zeros(grid.size)
    for a, b, c in np.ndindex((oversample,) * 3):
        points = np.meshgrid(z + inner[a] * dz, y + inner[b] * dy, x + inner[c] * dx, indexing="ij")
        total += values_at(shapes, np.stack(points[::-1], -1))
    return torch.from_numpy(total / oversample**3)[None, None]


def projected(shapes: list[Ellipsoid], geometry: SpatialGeometry, per_bin: int = 3) -> torch.Tensor:
    """Its line integrals, averaged over every bin, (1, 1, A, R, C); the rays are the geometry's, which are tested."""
    origin, towards = geometry.finer(per_bin, per_bin).ray_fans().rays()
    unit = towards / towards.norm(dim=-1, keepdim=True)
    fine = np.stack([chords(shapes, o.numpy(), d.numpy()) for o, d in zip(origin, unit, strict=True)])
    rows, columns = geometry.bins
    return torch.from_numpy(fine).reshape(1, 1, -1, rows, per_bin, columns, per_bin).mean((4, 6))


def head(radius: float, scale: float = 1.0) -> list[Ellipsoid]:
    """A head of ellipsoids with a shell and low-contrast insides, in the manner of Shepp and Logan."""
    parts = [
        (1.0, (0.0, 0.0, 0.0), (0.69, 0.88, 0.80), 0.0),
        (-0.7, (0.0, -0.015, 0.0), (0.63, 0.82, 0.74), 0.0),
        (-0.1, (0.22, 0.0, 0.0), (0.14, 0.30, 0.25), -0.3),
        (-0.1, (-0.22, 0.0, 0.05), (0.18, 0.40, 0.30), 0.3),
        (0.1, (0.0, 0.33, -0.15), (0.20, 0.22, 0.30), 0.0),
        (0.1, (0.05, -0.50, 0.20), (0.15, 0.10, 0.12), 0.0),
    ]
    return [
        Ellipsoid(scale * value, tuple(radius * c for c in centre), tuple(radius * a for a in axes), turn)
        for value, centre, axes, turn in parts
    ]


def psnr(x: torch.Tensor, reference: torch.Tensor) -> float:
    return float(10 * torch.log10(reference.max() ** 2 / (x - reference).square().mean()))
