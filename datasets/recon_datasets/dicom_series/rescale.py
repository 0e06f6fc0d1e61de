"""Slope and intercept of stored values."""

from __future__ import annotations

from recon_datasets.dicom_series.errors import DicomError
from recon_datasets.dicom_series.header import Fields
from recon_datasets.dicom_series.source import Source

__all__ = ["rescale"]


def rescale(fields: Fields, source: Source) -> tuple[float, float, bool]:
    """Return slope and intercept, and whether the file states both.

    Raises
    ------
    DicomError
        If one of them is no number or stands alone, or the slope is 0.
    """
    slopes, intercepts = fields.numbers(0x00281053), fields.numbers(0x00281052)
    stated = bool(fields.words(0x00281053)), bool(fields.words(0x00281052))
    if (stated[0] and not slopes) or (stated[1] and not intercepts) or (slopes and slopes[0] == 0):
        raise DicomError(
            "RECON-DICOM-RESCALE", f"{source.label} has a slope or intercept that is no usable number; correct it"
        )
    if stated[0] != stated[1]:
        which, other = ("slope", "intercept") if stated[0] else ("intercept", "slope")
        raise DicomError("RECON-DICOM-RESCALE", f"{source.label} has a rescale {which} but no {other}; correct it")
    return (slopes or [1.0])[0], (intercepts or [0.0])[0], bool(slopes and intercepts)
