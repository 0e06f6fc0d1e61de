"""What a NIfTI header says, checked before anything is allocated."""

from __future__ import annotations

import gzip
import logging
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError

from recon.errors import FileFormatError

__all__ = ["Geometry", "geometry", "is_nifti", "is_zipped", "opened"]

# Deflate cannot shrink further than 1032:1.
MAX_RATIO = 1032
FORM_TOLERANCE = 0.1
"""Distance in mm by which sform and qform may differ over the volume without a note."""

_SPACES = {1: "scanner", 2: "aligned", 3: "talairach", 4: "mni"}
_TO_MM = {"mm": 1.0, "meter": 1000.0, "micron": 0.001, "unknown": 1.0}
# What nibabel and gzip raise on damaged files.
_DAMAGE = (
    ImageFileError, HeaderDataError, WrapStructError, OSError, EOFError, zlib.error, ValueError, OverflowError,
    MemoryError,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Geometry:
    """Affine, voxel size (x, y, z) in mm, the space that the affine refers to, and notes."""

    affine: np.ndarray | None
    voxel_size: tuple[float, ...]
    space: str | None
    notes: tuple[str, ...]


def is_zipped(path: Path) -> bool:
    """Whether the file is a gzip stream, whatever its suffix."""
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def is_nifti(path: Path) -> bool:
    """Whether the file, or what it holds gzipped, carries a NIfTI mark."""
    try:
        with gzip.open(path) if is_zipped(path) else path.open("rb") as file:
            head = file.read(352)
    except (OSError, EOFError, zlib.error):
        return False
    return head[344:348] == b"n+1\0" or head[4:8] == b"n+2\0"


@contextmanager
def opened(path: Path) -> Iterator[tuple[Any, IO[bytes]]]:
    """Open an image with nibabel, and its stream; the data are read through ``dataobj``, inside the block.

    Raises
    ------
    FileFormatError
        If there is no such file, or it is damaged, cut off, or not NIfTI.
    """
    if not path.is_file():
        raise FileFormatError(f"{path} does not exist" if not path.exists() else f"{path} is not a file")
    if not is_nifti(path):
        raise FileFormatError(f"{path} is not a single-file NIfTI image (no 'n+1' or 'n+2' mark), or is cut off")
    zipped = is_zipped(path)
    try:
        # Content decides, not the suffix: a gzip file may be called .nii and the other way round.
        with cast("IO[bytes]", gzip.open(path) if zipped else path.open("rb")) as stream:
            head = stream.read(4)
            stream.seek(0)
            second = 540 in (int.from_bytes(head, "little"), int.from_bytes(head, "big"))
            image = _load(nib.Nifti2Image if second else nib.Nifti1Image, stream, path)
            _check_size(image, path, path.stat().st_size * (MAX_RATIO if zipped else 1))
            yield image, stream
    except _DAMAGE as error:
        reason = " ".join(str(error).split())
        raise FileFormatError(f"{path} is not a readable NIfTI image (damaged or cut off?): {reason}") from error


def geometry(image: Any, path: Path) -> Geometry:
    """Apply the standard's rule: the sform if its code is not 0, else the qform if its is not, else unknown.

    Raises
    ------
    FileFormatError
        If the affine is not finite or is singular.
    """
    header = image.header
    notes: list[str] = []
    try:
        unit = header.get_xyzt_units()[0]
    except KeyError:
        unit = "unknown"
    scale = _TO_MM[unit]
    if scale != 1:
        notes.append(f"lengths converted from {unit} to mm")
    sizes = tuple(float(size) * scale for size in header.get_zooms()[:3])
    sform, sform_code = header.get_sform(coded=True)
    try:
        qform, qform_code = header.get_qform(coded=True)
    except (HeaderDataError, ValueError) as error:
        qform, qform_code = None, 0
        if not sform_code:
            raise FileFormatError(f"{path} has a damaged qform: {error}") from error
    affine, code = (sform, sform_code) if sform_code else (qform, qform_code)
    if not code:
        return Geometry(None, sizes, None, (*notes, "no orientation in the file: both form codes are 0"))
    affine = np.array(affine, dtype=np.float64)
    affine[:3] *= scale
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-12:
        form = "sform" if sform_code else "qform"
        raise FileFormatError(
            f"{path} has a {form} that is not finite or is singular; correct it, or set its code to 0"
        )
    if sform_code and qform_code and _distance(sform, qform, image.shape) * scale > FORM_TOLERANCE:
        notes.append("sform and qform disagree: the sform is used")
    return Geometry(affine, sizes, _SPACES.get(int(code)), tuple(notes))


class _Complaints(logging.Handler):
    """Collects what nibabel finds wrong with a header, and would print."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


def _load(kind: Any, stream: IO[bytes], path: Path) -> Any:
    """Load without memory mapping; refuse headers whose form codes nibabel would otherwise put right by guessing."""
    complaints = _Complaints()
    with nib.imageglobals.LoggingOutputSuppressor():
        nib.imageglobals.logger.addHandler(complaints)
        try:
            image = kind.from_file_map(kind.make_file_map({"image": stream}), mmap=False)
        finally:
            nib.imageglobals.logger.removeHandler(complaints)
    guessed = [text for text in complaints.messages if "form_code" in text or "sizeof_hdr" in text]
    if guessed:
        raise FileFormatError(f"{path} has a header against the standard, correct it: {guessed[0].partition(';')[0]}")
    return image


def _distance(a: np.ndarray, b: np.ndarray, shape: tuple[int, ...]) -> float:
    corners = np.array(np.meshgrid(*([0, n - 1] for n in (*shape, 1, 1)[:3]), [1])).reshape(4, -1)
    return float(np.linalg.norm(((a - b) @ corners)[:3], axis=0).max())


def _check_size(image: Any, path: Path, limit: int) -> None:
    if not 2 <= len(image.shape) <= 7 or min(image.shape) < 1:
        raise FileFormatError(f"{path} declares the shape {image.shape}: an image has 2 to 7 axes of at least 1")
    declared = math.prod(image.shape) * image.get_data_dtype().itemsize
    if declared > limit:
        raise FileFormatError(f"{path} declares {declared} bytes, more than it can hold: damaged or cut off")
