"""Affines: where voxels are, and how that moves when arrays are cut, turned and resampled.

Free of torch. An affine is 4x4, voxel index (x, y, z, 1) to RAS+ mm. Every change of a grid is an *index map*: 4x4,
index in the new grid to index in the old one, so that ``new affine = old affine @ index map`` whatever was done.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recon.errors import UsageError

__all__ = [
    "Affine",
    "axes_map",
    "between",
    "check_affine",
    "check_code",
    "corners",
    "farthest",
    "is_sheared",
    "orientation",
    "ras_lps",
    "regridding",
    "scaling_map",
    "spacing",
    "turning",
]

Affine = NDArray[np.float64]

LETTERS = (("R", "L"), ("A", "P"), ("S", "I"))
"""What the world's axes grow to, and what they come from."""


FARTHEST = 1e12
"""Largest number in an affine, in mm: what lies farther is damage, and overflows in what is computed of it."""


def check_affine(affine: ArrayLike) -> Affine:
    """Return a read-only float64 copy of an affine.

    Raises
    ------
    UsageError
        If it is not a finite, invertible 4x4 matrix with last row 0 0 0 1, or if it reaches beyond `FARTHEST`.
    """
    matrix = np.array(affine, dtype=np.float64)
    if matrix.shape != (4, 4) or not np.all(np.abs(matrix) <= FARTHEST) or matrix[3].tolist() != [0, 0, 0, 1]:
        raise UsageError(
            f"an affine is a 4x4 matrix of numbers up to {FARTHEST:g} mm with last row 0 0 0 1, got {matrix.tolist()}"
        )
    sizes = np.linalg.norm(matrix[:3, :3], axis=0)
    if not np.all(sizes > 0) or abs(np.linalg.det(matrix[:3, :3] / sizes)) < 1e-6:
        raise UsageError(
            f"the affine {matrix.tolist()} is singular: two of its axes are parallel, or one has no length"
        )
    matrix.setflags(write=False)
    return matrix


def ras_lps(affine: ArrayLike) -> Affine:
    """Turn an affine to RAS+ mm into one to LPS+ mm (DICOM, ITK, ISMRMRD), or the other way round."""
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ np.asarray(affine, dtype=np.float64)


def spacing(affine: Affine) -> tuple[float, float, float]:
    """Return the distance in mm between neighbours along x, y and z."""
    x, y, z = np.linalg.norm(affine[:3, :3], axis=0).tolist()
    return x, y, z


def is_sheared(affine: Affine, tolerance: float = 1e-4) -> bool:
    """Whether two axes are off a right angle by more than `tolerance`, the cosine between them."""
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return bool(np.abs(axes.T @ axes - np.eye(3)).max() > tolerance)


def corners(affine: Affine, size: Sequence[int]) -> Affine:
    """Return the places in mm, (8, 3), of the centres of the corner voxels of a grid; x changes fastest, then y."""
    x, y, z = (np.array([0.0, count - 1.0]) for count in size)
    index = np.stack(np.meshgrid(z, y, x, indexing="ij")[::-1], axis=-1).reshape(-1, 3)
    places: Affine = index @ affine[:3, :3].T + affine[:3, 3]
    return places


def farthest(one: Affine, other: Affine, size: Sequence[int]) -> float:
    """Return the largest distance in mm between the places that two affines give a voxel of a grid.

    The difference of two affine maps is affine, and so largest in a corner.
    """
    return float(np.linalg.norm(corners(one, size) - corners(other, size), axis=1).max())


def orientation(affine: Affine) -> str:
    """Return what x, y and z grow to, as letters of R L A P S I: "LPS" for an upright axial DICOM volume.

    The axes are those of the nearest rotation, each taken for the world's axis that it is closest to, the closest
    first: the rule of nibabel, so that both agree on oblique images.
    """
    return "".join(LETTERS[world][0 if sign > 0 else 1] for world, sign in _closest(affine))


def turning(affine: Affine, code: str) -> tuple[tuple[int, ...], tuple[bool, ...]]:
    """Return how a grid must be turned for its axes to grow to the letters of `code`.

    Returns
    -------
        The old axis that becomes x, y and z, and whether each is reversed.

    Raises
    ------
    UsageError
        If `code` does not name each of the three directions once.
    """
    wanted = check_code(code)
    found = _closest(affine)
    worlds = [world for world, _ in found]
    axes = tuple(worlds.index(world) for world, _ in wanted)
    return axes, tuple(found[axis][1] != sign for axis, (_, sign) in zip(axes, wanted, strict=True))


def check_code(code: str) -> list[tuple[int, int]]:
    """Return the world's axis and the sign of each letter of an orientation code.

    Raises
    ------
    UsageError
        If it does not name three different directions.
    """
    found = [
        (world, 1 if letter == pair[0] else -1)
        for letter in code.upper()
        for world, pair in enumerate(LETTERS)
        if letter in pair
    ]
    if len(code) != 3 or {world for world, _ in found} != {0, 1, 2}:
        raise UsageError(
            f"orientation {code!r} must be three letters, one of R L, of A P and of S I, such as RAS or LPS"
        )
    return found


def axes_map(axes: Sequence[int]) -> Affine:
    """Return the index map of a permutation: new x, y and z are the old `axes` (0 is x, 2 is z)."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.eye(3)[:, list(axes)]
    return matrix


def scaling_map(steps: Sequence[float], starts: Sequence[float]) -> Affine:
    """Return the index map old = starts + steps * new, with values for x, y and z."""
    matrix = np.diag([*steps, 1.0]).astype(np.float64)
    matrix[:3, 3] = starts
    return matrix


def between(old: Affine, new: Affine) -> Affine:
    """Return the index map of a change from one affine to another: index in the new grid to index in the old."""
    moved: Affine = np.linalg.inv(old).astype(np.float64) @ new
    return moved


def regridding(
    size: Sequence[int], voxel_size: Sequence[float] | None, wanted: float | Sequence[float] | None
) -> tuple[Affine, tuple[int, int, int]]:
    """Return index map and size (x, y, z) of a grid of the voxel size `wanted` about the same centre, covering the old.

    Raises
    ------
    UsageError
        If the old voxel size is not known, or the new one is not positive.
    """
    if voxel_size is None:
        raise UsageError("resample: the image's own voxel size is not known, so no other one means anything")
    sizes = np.asarray(wanted, dtype=np.float64)
    if sizes.shape not in ((), (len(voxel_size),)) or not np.all(np.isfinite(sizes) & (sizes > 0)):
        raise UsageError(f"resample: spacing {wanted} must be one positive length in mm, or {len(voxel_size)}")
    steps = [*(np.broadcast_to(sizes, (len(voxel_size),)) / voxel_size).tolist(), 1.0][:3]
    x, y, z = (max(1, int(np.ceil(count / step - 1e-6))) for count, step in zip(size, steps, strict=True))
    starts = [(n - 1) / 2 - step * (m - 1) / 2 for n, m, step in zip(size, (x, y, z), steps, strict=True)]
    return scaling_map(steps, starts), (x, y, z)


def _closest(affine: Affine) -> list[tuple[int, int]]:
    """Return for x, y and z the world's axis that it runs along, and its sign."""
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    left, _, right = np.linalg.svd(axes)
    rotation = left @ right
    found = [(0, 0)] * 3
    for axis in np.argsort(-np.abs(rotation).max(axis=0), kind="stable"):
        column = rotation[:, axis]
        world = int(np.argmax(np.abs(column)))
        found[axis] = (world, 1 if column[world] > 0 else -1)
        rotation[world] = 0  # this direction of the world is taken
    return found
