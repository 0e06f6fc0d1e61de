"""Where the image of a scan lies in the patient."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recon.io.image import Affine

__all__ = ["scan_affine"]

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])
_SKEW = 1e-2
"""Largest deviation of direction vectors from an orthonormal frame; they are stored in single precision."""
_UNEVEN = 1e-2
"""Largest deviation of slices from even distances, in mm and relative to their distance."""

Vector = NDArray[np.float64]


def scan_affine(
    positions: NDArray[np.floating],
    directions: NDArray[np.floating],
    voxel: tuple[float, float, float],
    centre: tuple[int, int, int],
) -> tuple[Affine | None, str]:
    """Return the affine (voxel index x, y, z to RAS mm) of an image, or None and the reason why there is none.

    A scan states where the centre of its Fourier transform lies, in the patient (LPS, mm): image voxel `centre`, index
    n // 2 of n voxels before anything is cropped, is at `positions`. Voxels follow each other along the readout (x),
    phase (y) and slice (z) directions.

    Parameters
    ----------
    positions
        Of each slice (slice, 3), in the order of the image; one for a volume that is encoded in three dimensions.
    directions
        Readout, phase and slice direction (3, 3) as rows, in LPS.
    voxel
        Sizes (x, y, z) in mm; for several slices z is their distance, taken from the positions.
    centre
        Voxel (x, y, z) that lies at the position; z is 0 for slices.
    """
    positions, directions = np.asarray(positions, np.float64), np.asarray(directions, np.float64)
    lengths = np.linalg.norm(directions, axis=1)
    if not np.isfinite(directions).all() or not np.isfinite(positions).all():
        return None, "the file states positions or directions that are not finite: no place in the patient"
    if lengths.min() < _SKEW:
        return None, "the file states no directions (zero vectors): no place in the patient"
    axes = directions / lengths[:, None]
    if np.abs(axes @ axes.T - np.eye(3)).max() > _SKEW:
        return None, "the stated directions are not at right angles: no place in the patient"
    steps = axes * np.asarray(voxel)[:, None]
    if len(positions) > 1:
        step = (positions[-1] - positions[0]) / (len(positions) - 1)
        distance = float(np.linalg.norm(step))
        off = np.abs(positions - positions[0] - np.arange(len(positions))[:, None] * step).max()
        if distance < _UNEVEN or abs(step @ axes[2]) < 0.5 * distance or off > _UNEVEN * max(1.0, distance):
            return None, "the slices do not follow each other at one distance: no common place in the patient"
        steps[2] = step
    affine = np.eye(4)
    affine[:3, :3] = _LPS_TO_RAS @ steps.T
    affine[:3, 3] = _LPS_TO_RAS @ (positions[0] - np.asarray(centre) @ steps)
    return affine, ""
