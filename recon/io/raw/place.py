"""Where the image of a scan lies in the patient."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recon.io.image import Affine, Value
from recon.io.mrd_header import Encoding
from recon.io.raw.readouts import Readouts

__all__ = ["crop_of", "facts_of", "place_of", "scan_affine"]

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])
_SKEW = 1e-2
"""Largest deviation of direction vectors from an orthonormal frame; they are stored in single precision."""
_UNEVEN = 1e-2
"""Largest deviation of slices from even distances, in mm and relative to their distance."""

_MOVED = 1e-2
"""Change of a slice's position, in mm, that is told."""

Triple = tuple[int, int, int]


def crop_of(encoding: Encoding, matrix: Triple) -> Triple:
    """Return the size (x, y, z) of what the scanner would show, in voxels of the encoded `matrix` (x, y, z).

    Fields of view decide, as the reconstructed matrix may be an interpolated one.
    """
    wide, narrow = encoding.encoded.fov, encoding.recon.fov
    shown = matrix
    if wide is not None and narrow is not None:
        x, y, z = (round(n * b / a) for n, a, b in zip(matrix, wide, narrow, strict=True))
        shown = (x, y, z)
    elif encoding.recon.matrix is not None:
        shown = encoding.recon.matrix
    x, y, z = (min(max(1, kept), full) for kept, full in zip(shown, matrix, strict=True))
    return x, y, z


def facts_of(encoding: Encoding, dimensions: int) -> dict[str, Value]:
    """Return matrices, fields of view and the thickness of slices, as far as they are stated."""
    named: dict[str, Value | None] = {
        "encoded_matrix": encoding.encoded.matrix,
        "recon_matrix": encoding.recon.matrix,
        "encoded_fov_mm": encoding.encoded.fov,
        "recon_fov_mm": encoding.recon.fov,
        "slice_thickness_mm": encoding.recon.fov[2] if encoding.recon.fov is not None and dimensions == 2 else None,
    }
    return {name: value for name, value in named.items() if value is not None}


def place_of(
    imaging: Readouts, slices: tuple[int, ...], encoding: Encoding, matrix: Triple, crop: Triple, dimensions: int
) -> tuple[Affine | None, tuple[float, float, float] | None, str]:
    """Return the affine and the voxel size (x, y, z) of the image after its crop, and what there is to note.

    Parameters
    ----------
    imaging
        Readouts of the image.
    slices
        Counters of the slices, or slabs, in the order of the image.
    encoding
        Tells the fields of view.
    matrix, crop
        Size (x, y, z) of the whole image, and of what is kept about its centre; z is 1 for slices.
    dimensions
        2 for slices, 3 for volumes.
    """
    fov = encoding.encoded.fov
    if fov is None:
        return None, None, "the header states no field of view: no voxel size"
    thickness = fov[2] / matrix[2] if dimensions == 3 else (encoding.recon.fov or fov)[2]
    voxel = (fov[0] / matrix[0], fov[1] / matrix[1], thickness)
    if dimensions == 3 and len(slices) > 1:
        return None, voxel, "several slabs have no common place in the patient: select one"
    head = imaging.head[imaging.first("slice", slices)]
    directions = np.stack([head[name] for name in ("read_dir", "phase_dir", "slice_dir")], axis=1)
    if not np.allclose(directions, directions[0], atol=1e-3):
        return None, voxel, "slices of different orientations have no common place in the patient: select one"
    x, y, z = (n // 2 - (n - kept) // 2 for n, kept in zip(matrix, crop, strict=True))
    affine, note = scan_affine(head["position"], directions[0], voxel, (x, y, z if dimensions == 3 else 0))
    if affine is None:
        return None, voxel, note
    counter = imaging.counter("slice")
    moved = [
        np.abs(imaging.head["position"][counter == s] - at).max()
        for s, at in zip(slices, head["position"], strict=True)
    ]
    note = "positions change during the scan: the first ones are taken" if max(moved) > _MOVED else ""
    return affine, (voxel[0], voxel[1], float(np.linalg.norm(affine[:3, 2]))), note


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
