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
    if data.size != values.size or data.shape[3:] != values.shape[3:]:
        return np.inf
    index = np.indices(data.shape[:3]).reshape(3, -1)
    place = image.affine[:3, :3] @ index + image.affine[:3, 3:]
    other = np.linalg.solve(affine[:3, :3], place - affine[:3, 3:])
    nearest = np.rint(other).astype(int)
    if np.abs(affine[:3, :3] @ (other - nearest)).max() > tolerance:
        return np.inf
    if (nearest < 0).any() or (nearest.max(axis=1) >= values.shape[:3]).any():
        return np.inf
    return float(np.abs(values[tuple(nearest)].ravel() - data[tuple(index)].ravel()).max())


def oracle_itk(image) -> tuple[np.ndarray, np.ndarray]:
    """Values (x, y, z, ...) and affine of an image of SimpleITK's."""
    import SimpleITK

    size = image.GetDimension()
    values = SimpleITK.GetArrayFromImage(image).T.astype(np.float64)
    affine = np.eye(4)
    affine[:3, :3] = (np.array(image.GetDirection()).reshape(size, size) * image.GetSpacing())[:3, :3]
    affine[:3, 3] = image.GetOrigin()[:3]
    return values, np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
