"""Why a DICOM series is not read."""

from __future__ import annotations

from recon.errors import CodedFileError

__all__ = ["DicomError"]


class DicomError(CodedFileError):
    """A DICOM series that is not read; codes ``RECON-DICOM-...``."""
