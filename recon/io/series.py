"""What a folder of scans holds, told from headers alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["SeriesInfo", "StackInfo"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StackInfo:
    """Frames of a series that form one image, in numbers and words of our own.

    Parameters
    ----------
    number
        Counted from 1; what ``stack=`` of the reader takes.
    kind
        What it is: "CT axial", "MR magnitude sagittal, echo 4.92 ms", "CT localizer coronal" ...
    shape
        (t, z, y, x), with t = 1 for a single volume; (frames, y, x) where the frames form no volume.
    voxel_size
        (x, y, z) in mm, (x, y) of planes without a place, such as radiographs; None where it is not known.
    localizer
        Whether it is a localizer, which is left out where there is anything else.
    problem
        Code of the refusal that reading this stack would end in, or None.
    message
        Its sentence, or nothing.
    """

    number: int
    kind: str
    shape: tuple[int, ...]
    voxel_size: tuple[float, ...] | None
    localizer: bool = False
    problem: str | None = None
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesInfo:
    """A series found by a scan. Nothing in it comes from a text field of a patient, but for `text` on request.

    Parameters
    ----------
    number
        Counted from 1 within the scan; what ``series=`` of the reader takes.
    study
        Number of its study within the scan, counted from 1.
    series_number
        Number that the scanner gave it, if any.
    modality
        CT, MR, PT ..., or the kind of object where it is no image that is read.
    files
        Number of files.
    size
        Bytes that the files take.
    stacks
        The images in it.
    problem
        Code of the refusal that reading it would end in, or None; several stacks are such a refusal, too.
    message
        Its sentence, or nothing.
    text
        Descriptions and identifiers by DICOM keyword, filled only on request: they may name the patient.
    paths
        Its files, for readers, where they do not lie in an archive; never shown, as they may name the patient.
    """

    number: int
    study: int
    series_number: int | None
    modality: str
    files: int
    size: int
    stacks: tuple[StackInfo, ...] = ()
    problem: str | None = None
    message: str = ""
    text: Mapping[str, str] = field(default_factory=dict, repr=False)
    paths: tuple[Path, ...] = field(default=(), repr=False)
