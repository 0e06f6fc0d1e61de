"""Errors of readers and writers in the words of the command line: they name parameters, users give options."""

from __future__ import annotations

import re

__all__ = ["as_options"]

_READERS = {"RECON-DICOM-": "dicom_series", "RECON-NIFTI-": "nifti", "RECON-HDF5-": "hdf5_image"}
_OPTIONS = (
    (r"\b(choose with) (series|stack)=", r"\1 --\2 N"),
    (r"\b(fill|resample them) with gaps=resample", r"\1 with --allow-gaps"),
    (r"\b(say which with) (reader|writer)=", r"\1 --\2"),
    (r"`like`", "--like"),
    (r"\b(read it) with (\w+)='?([\w-]+)'?", r"\1 with --reader '{use: READER, \2: \3}'"),
    (r"\b(leave those out) with drop_partial", r"\1 with --reader '{use: READER, drop_partial: true}'"),
    (r"\b(raise) limit_gb of the reader", r"\1 it with --reader '{use: READER, limit_gb: 64}'"),
    (r"\b(name one) with dataset= of the reader", r"\1 with --reader '{use: READER, dataset: NAME}'"),
)


def as_options(text: str) -> str:
    """Return a message with parameters that have options replaced by these."""
    for pattern, option in _OPTIONS:
        text = re.sub(pattern, option, text)
    reader = next((name for prefix, name in _READERS.items() if prefix in text), "NAME")
    return text.replace("use: READER", f"use: {reader}")
