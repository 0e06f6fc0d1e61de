"""Compares images that lie on the same grid, whatever the order and direction of their axes."""

from __future__ import annotations

import numpy as np

__all__ = ["difference", "oracle_itk"]


def difference(image, values: np.ndarray, affine: np.ndarray, tolerance: float = 1e-2) -> float:
    """Largest difference of values at equal places; infinite where a voxel has no counterpart.

    Parameters
    ----------
    image
        What was read, (..., z, y, x); a single plane may be (y, x).
    values, affine
        Those of the oracle: (x, y, z, ...), and voxel index to RAS+ mm.
    tolerance
        Of the place in mm.
    """
    data = image.data.numpy().T
    data = data.reshape(*data.shape, *[1] * (3 - data.ndim))
    values = values.reshape(*values.shape, *[1] * (3 - values.ndim))
    there = np.linalg.solve(affine, image.affine)  # an index of ours to one of the oracle's
    whole = np.rint(there)
    ends = [(0, size - 1) for size in data.shape[:3]]
    corners = np.array([*np.meshgrid(*ends), np.ones((2, 2, 2))]).reshape(4, 8)
    if np.abs(affine @ (there - whole) @ corners).max() > tolerance:
        return np.inf
    turns = whole[:3, :3].copy()
    flat = np.array(data.shape[:3]) == 1  # where there is one plane, steps do not matter
    turns[:, flat] = np.sign(turns[:, flat])
    if not (np.abs(turns).sum(0) == 1).all() or not (np.abs(turns).sum(1) == 1).all():
        return np.inf
    order, ways = np.abs(turns).argmax(0), turns.sum(0).astype(int)
    turned = values.transpose(*order, *range(3, values.ndim))[tuple(slice(None, None, way) for way in ways)]
    first = np.where(ways > 0, 0, np.array(turned.shape[:3]) - 1)
    if turned.shape != data.shape or not np.array_equal(whole[:3, 3][order], first):
        return np.inf
    return float(np.abs(turned - data).max())


def oracle_itk(image) -> tuple[np.ndarray, np.ndarray]:
    """Values (x, y, z, ...) and affine of an image of SimpleITK's."""
    import SimpleITK

    size = image.GetDimension()
    values = SimpleITK.GetArrayFromImage(image).T.astype(np.float64)
    affine = np.eye(4)
    affine[:3, :3] = (np.array(image.GetDirection()).reshape(size, size) * image.GetSpacing())[:3, :3]
    affine[:3, 3] = image.GetOrigin()[:3]
    return values, np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
