"""Planes of slices from what headers say."""

from __future__ import annotations

import math

import numpy as np

from recon_datasets.dicom_series.errors import DicomError
from recon_datasets.dicom_series.frame import Plane
from recon_datasets.dicom_series.source import Source

__all__ = ["no_geometry", "plane_of"]


def plane_of(
    orientation: list[float], position: list[float], spacing: list[float], source: Source
) -> tuple[Plane | None, DicomError | None]:
    """Return a plane, or why there is none.

    Parameters
    ----------
    orientation, position, spacing
        ImageOrientationPatient, ImagePositionPatient and PixelSpacing.
    source
        Where they stand.
    """
    for name, values, count in (
        ("ImageOrientationPatient", orientation, 6),
        ("ImagePositionPatient", position, 3),
        ("PixelSpacing", spacing, 2),
    ):
        if len(values) != count:
            return None, no_geometry(source, f"{name} is missing or is not {count} numbers")
    if min(spacing) <= 0:
        return None, no_geometry(source, "PixelSpacing is not positive")
    x, y = np.array(orientation[:3]), np.array(orientation[3:])
    along_x, along_y = math.sqrt(x @ x), math.sqrt(y @ y)
    if max(abs(along_x - 1), abs(along_y - 1), abs(float(x @ y))) > 1e-2:
        return None, no_geometry(source, "ImageOrientationPatient does not hold two orthogonal unit vectors")
    x = x / along_x  # some scanners round to three decimals
    y = y - (x @ y) * x
    y = y / math.sqrt(y @ y)
    return Plane(np.array(position), x, y, (spacing[1], spacing[0])), None


def no_geometry(source: Source, reason: str) -> DicomError:
    """Return the refusal of a file that does not say where it lies."""
    return DicomError(
        "RECON-DICOM-GEOMETRY", f"{source.label}: {reason}; its place is unknown, export it again with geometry"
    )
