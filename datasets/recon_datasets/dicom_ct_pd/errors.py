"""Why a scan is not read."""

from __future__ import annotations

from recon.errors import CodedFileError

__all__ = ["ProjectionError"]


class ProjectionError(CodedFileError):
    """A scan in DICOM-CT-PD that is not read; codes ``RECON-CTPD-...``."""
