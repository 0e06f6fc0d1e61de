"""What a NIfTI header says, checked before anything is allocated."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import nibabel as nib
import numpy as np

from recon.errors import CodedFileError
from recon.io.listing import check_is_file
from recon.io.stored_array import LIMIT, StoredArray

__all__ = ["Form", "Header", "is_nifti", "read_header"]

Form = Literal["standard", "sform", "qform"]

FORM_TOLERANCE = 0.1
"""Distance in mm by which sform and qform may differ over the volume without a note."""

MOST_TIMES = 2**17
"""Volumes whose times are listed: a small file can declare billions of volumes."""

_SPACES = {1: "scanner", 2: "aligned", 3: "talairach", 4: "mni"}
_TO_MM = {0: ("unknown", 1.0), 1: ("meter", 1000.0), 2: ("mm", 1.0), 3: ("micron", 0.001)}
_LONGEST = 540  # bytes of a NIfTI-2 header; one of NIfTI-1 has 348
_TO_S = {8: 1.0, 16: 1e3, 24: 1e6}
"""Codes of units of time, and how many of it are a second."""
_GZIP = b"\x1f\x8b"
_MARKS = (
    (344, b"n+1\0", nib.nifti1.Nifti1Header),
    (344, b"ni1\0", nib.nifti1.Nifti1PairHeader),
    (4, b"n+2\0", nib.nifti2.Nifti2Header),
    (4, b"ni2\0", nib.nifti2.Nifti2PairHeader),
)
"""Where each kind of file has its mark: n+ has header and voxels in one file, ni in a pair."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a file holds.

    Parameters
    ----------
    shape
        Shape of the file's array: (x, y[, z[, t[, v]]]).
    voxels
        Where the numbers lie; those of colours one after the other, with as many `colours` a voxel.
    colours
        0 for scalars, 3 for RGB, 4 for RGBA.
    affine
        4x4 to RAS+ mm, or None where both form codes are 0.
    voxel_size
        (x, y, z) in mm.
    space
        What the affine refers to.
    time_step
        Step between volumes in s, 0 where it is not known.
    notes
        What is odd.
    """

    shape: tuple[int, ...]
    voxels: StoredArray
    colours: int
    affine: np.ndarray | None
    voxel_size: tuple[float, ...]
    space: str | None
    time_step: float
    notes: tuple[str, ...]

    def times(self, volumes: int) -> tuple[float, ...]:
        """Return the times of volumes in s after the first; nothing for one volume, and where they are not known."""
        if not self.time_step or not 1 < volumes <= MOST_TIMES:
            return ()
        return tuple(round(number * self.time_step, 9) for number in range(volumes))


def is_nifti(path: Path) -> bool:
    """Whether the file, or what it holds gzipped, carries the mark of a NIfTI file."""
    return _kind(_head(path)) is not None


def read_header(path: Path, *, form: Form = "standard", limit: int = LIMIT) -> Header:
    """Read and check a header.

    Parameters
    ----------
    path
        The file, gzipped or not, whatever its suffix.
    form
        "standard" takes the sform if its code is not 0, else the qform if its is not; "sform" and "qform" take that
        one if its code is not 0.
    limit
        Largest size in bytes of the voxels.

    Raises
    ------
    FileFormatError
        If there is no such file or it is not NIfTI.
    CodedFileError
        RECON-NIFTI-HEADER, RECON-NIFTI-AFFINE, or what `StoredArray.check` raises.
    """
    check_is_file(path)
    head = _head(path)
    kind = _kind(head)
    if kind is None:
        raise CodedFileError(
            "RECON-NIFTI-HEADER",
            f"{path} is not a NIfTI image (no mark such as 'n+1'), or is cut off",
        )
    # nibabel finds the byte order; what it would put right by guessing is refused here instead.
    header = kind(head[: kind.template_dtype.itemsize], check=False)
    shape, dtype, offset = _layout(header, path)
    names = dtype.names
    slope, inter = (1.0, 0.0) if names else _scaling(header, path)
    colours = len(names) if names else 0
    source = path if kind.is_single else _beside(path)
    voxels = StoredArray(
        path=source,
        dtype=np.dtype("u1") if names else dtype,
        size=math.prod(shape) * (colours or 1),
        packing="gzip" if _is_zipped(source) else "raw",
        skip=offset,
        slope=slope,
        inter=inter,
    )
    voxels.check(limit)
    affine, space, sizes, notes = _place(header, shape, form, path)
    return Header(shape, voxels, colours, affine, sizes, space, _time_step(header), notes)


def _time_step(header: Any) -> float:
    """Return the step between volumes in s, or 0."""
    parts = _TO_S.get(int(header["xyzt_units"]) & 0x38)
    step = float(str(header["pixdim"][4]))  # of single precision, 0.72 is meant, not 0.7200000286
    return step / parts if parts and math.isfinite(step) and step > 0 else 0.0


def _beside(path: Path) -> Path:
    """Return the file of voxels of a pair."""
    name = path.name.removesuffix(".gz")
    for suffix in (".img", ".img.gz"):
        beside = path.with_name(name.removesuffix(".hdr") + suffix)
        if name.endswith(".hdr") and beside.is_file():
            return beside
    raise CodedFileError(
        "RECON-IMAGE-TRUNCATED", f"{path} is the header of a pair of files: its voxels, .img, are not beside it"
    )


def _is_zipped(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == _GZIP


def _head(path: Path) -> bytes:
    """Return the first bytes of the file, unpacked; none where they cannot be."""
    with path.open("rb") as file:
        if not _is_zipped(path):
            return file.read(_LONGEST)
        try:
            return zlib.decompressobj(31).decompress(file.read(2**16), _LONGEST)
        except zlib.error:
            return b""


def _kind(head: bytes) -> Any:
    """Return nibabel's class for the header, by its mark."""
    return next(
        (kind for at, mark, kind in _MARKS if head[at : at + 4] == mark and len(head) >= kind.template_dtype.itemsize),
        None,
    )


def _refuse(path: Path, problem: str) -> CodedFileError:
    return CodedFileError(
        "RECON-NIFTI-HEADER", f"{path} has a header that is damaged or against the standard: {problem}"
    )


def _layout(header: Any, path: Path) -> tuple[tuple[int, ...], np.dtype[Any], int]:
    """Return shape, type with byte order, and the place of the first voxel."""
    length = header.template_dtype.itemsize
    if int(header["sizeof_hdr"]) != length:
        raise _refuse(path, f"sizeof_hdr is {int(header['sizeof_hdr'])}, must be {length}")
    rank = int(header["dim"][0])
    if not 2 <= rank <= 7:
        raise _refuse(path, f"it declares the shape of an image of {rank} axes; 2 to 7 can be")
    shape = tuple(int(size) for size in header["dim"][1 : rank + 1])
    if min(shape) < 1:
        raise _refuse(path, f"it declares the shape {shape}; an axis has a length of at least 1")
    try:
        dtype = header.get_data_dtype()
    except (KeyError, nib.spatialimages.HeaderDataError):
        raise _refuse(path, f"datatype {int(header['datatype'])} does not exist") from None
    bits = int(header["bitpix"])
    if dtype.itemsize == 0 or dtype.kind not in "iufcV" or (dtype.kind == "V" and dtype.names is None):
        raise _refuse(path, f"datatype {int(header['datatype'])} is not one of numbers")
    if bits != dtype.itemsize * 8:
        raise _refuse(path, f"bitpix is {bits}, but datatype {int(header['datatype'])} has {dtype.itemsize * 8} bits")
    offset = float(header["vox_offset"])
    least = length + 4 if header.is_single else 0
    if not (math.isfinite(offset) and offset == int(offset) and least <= offset < 2**53):
        raise _refuse(path, f"vox_offset is {offset:g}, must be a whole number of at least {least}")
    return shape, dtype, int(offset)


def _scaling(header: Any, path: Path) -> tuple[float, float]:
    """Return slope and intercept; a slope of 0 or that is not finite means none."""
    slope, inter = float(header["scl_slope"]), float(header["scl_inter"])
    if slope == 0 or not math.isfinite(slope):
        return 1.0, 0.0
    if not math.isfinite(inter):
        raise _refuse(path, f"scl_inter is {inter} beside scl_slope {slope:g}")
    return slope, inter


def _place(
    header: Any, shape: tuple[int, ...], form: Form, path: Path
) -> tuple[np.ndarray | None, str | None, tuple[float, ...], tuple[str, ...]]:
    """Return affine, space, voxel size and notes."""
    notes: list[str] = []
    unit, scale = _TO_MM.get(int(header["xyzt_units"]) & 7, ("of no known code", 1.0))
    if unit == "of no known code":
        notes.append("the code of the length unit is unknown: taken for mm")
    elif scale != 1:
        notes.append(f"lengths converted from {unit} to mm")
    codes = {"sform": int(header["sform_code"]), "qform": int(header["qform_code"])}
    for name, code in codes.items():
        if code not in (0, 1, 2, 3, 4, 5):  # 5: another template, in the standard since 2020
            raise _refuse(path, f"{name}_code is {code}, must be 0 to 5")
    sizes = tuple(float(size) * scale for size in header["pixdim"][1 : min(3, len(shape)) + 1])
    wanted = [name for name in ("sform", "qform") if form in ("standard", name) and codes[name]]
    if not wanted and any(codes.values()):
        raise CodedFileError("RECON-NIFTI-AFFINE", f"{path} has no {form}: its code is 0; read it with form='standard'")
    # Without forms, the sizes are all there is; with a sform, they say nothing that it does not.
    if not all(math.isfinite(size) and size > 0 for size in sizes) and wanted[:1] != ["sform"]:
        raise _refuse(path, "pixdim must hold positive lengths")
    if not wanted:
        return None, None, sizes, (*notes, "RECON-NIFTI-UNORIENTED: no orientation in the file, both form codes are 0")
    chosen = wanted[0]
    affine = _affine(header, chosen, scale)
    if affine is None:
        raise CodedFileError(
            "RECON-NIFTI-AFFINE",
            f"{path} has a {chosen} that is not finite or is singular; correct it, or set its code to 0",
        )
    other = _affine(header, "qform" if chosen == "sform" else "sform", scale) if all(codes.values()) else affine
    if other is None or _distance(affine, other, shape) > FORM_TOLERANCE:
        notes.append(f"RECON-NIFTI-FORMS: sform and qform disagree: the {chosen} is used")
    return affine, _SPACES.get(codes[chosen]), sizes, tuple(notes)


def _affine(header: Any, form: str, scale: float) -> np.ndarray | None:
    """Return one of the two affines in mm; None if it is not finite or singular."""
    try:
        affine = np.array(header.get_sform() if form == "sform" else header.get_qform(), dtype=np.float64)
    except (nib.spatialimages.HeaderDataError, ValueError):  # no rotation
        return None
    affine[:3] *= scale
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    # Lengths of axes beyond these would overflow, and are no image's.
    if not np.isfinite(affine).all() or not (lengths > 1e-12).all() or not (np.abs(affine) < 1e12).all():
        return None
    return affine if abs(np.linalg.det(affine[:3, :3] / lengths)) >= 1e-6 else None


def _distance(a: np.ndarray, b: np.ndarray, shape: tuple[int, ...]) -> float:
    corners = np.array(np.meshgrid(*([0, n - 1] for n in (*shape, 1, 1)[:3]), [1])).reshape(4, -1)
    return float(np.linalg.norm(((a - b) @ corners)[:3], axis=0).max())
