"""The text that stands at the head of a MetaImage, and what it says about place and storage."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recon.errors import CodedFileError
from recon.io.geometry import ras_lps
from recon.io.listing import check_is_file
from recon.io.stored_array import Packing, StoredArray

__all__ = ["Header", "is_metaimage", "read_header"]

_LONGEST = 2**16
_TYPES = {
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4", "MET_UINT": "u4",
    "MET_LONG": "i4", "MET_ULONG": "u4", "MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8", "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}  # fmt: skip
_TO_MM = {"": 1.0, "?": 1.0, "mm": 1.0, "cm": 10.0, "um": 0.001}


@dataclass(frozen=True, slots=True)
class Header:
    """Shape (x, y[, z[, t]]), channels, where the numbers lie, affine, voxel size and notes."""

    shape: tuple[int, ...]
    channels: int
    voxels: StoredArray
    affine: np.ndarray | None
    voxel_size: tuple[float, ...] | None
    notes: tuple[str, ...]


def is_metaimage(path: Path) -> bool:
    """Whether the file begins with the fields of a MetaImage."""
    with path.open("rb") as file:
        head = file.read(_LONGEST)
    return b"NDims" in head and b"ElementDataFile" in head and b"ElementType" in head


def read_header(path: Path, *, limit: int) -> Header:
    """Read and check a header.

    Raises
    ------
    CodedFileError
        RECON-IMAGE-HEADER, RECON-IMAGE-CODEC, RECON-IMAGE-OUTSIDE, RECON-IMAGE-AFFINE, or what `StoredArray.check`
        raises.
    """
    check_is_file(path)
    fields, end = _fields(path)
    rank = _integers(fields, "NDims", 1, path)[0]
    if not 2 <= rank <= 4:
        raise _refuse(path, f"NDims is {rank}; 2 to 4 are read")
    shape = _integers(fields, "DimSize", rank, path)
    channels = _integers(fields, "ElementNumberOfChannels", 1, path)[0] if "ElementNumberOfChannels" in fields else 1
    if min(shape) < 1 or channels < 1:
        raise _refuse(path, f"it declares the shape {shape} with {channels} channels; all must be at least 1")
    voxels = _voxels(fields, path, math.prod(shape) * channels, end)
    voxels.check(limit)
    affine, sizes, notes = _place(fields, rank, path)
    return Header(shape, channels, voxels, affine, sizes, notes)


def _refuse(path: Path, problem: str) -> CodedFileError:
    return CodedFileError("RECON-IMAGE-HEADER", f"{path} has a MetaImage header that is damaged: {problem}")


def _fields(path: Path) -> tuple[dict[str, str], int]:
    """Return the fields up to ElementDataFile, the last one, and where the header ends."""
    with path.open("rb") as file:
        head = file.read(_LONGEST)
    fields: dict[str, str] = {}
    end = 0
    while "ElementDataFile" not in fields:
        stop = head.find(b"\n", end)
        if stop < 0:
            raise _refuse(path, "it has no ElementDataFile")
        name, equals, value = head[end:stop].decode("latin-1").partition("=")
        end = stop + 1
        if equals:
            fields[name.strip()] = value.strip()
        elif name.strip():
            raise _refuse(path, "a line is not of the form NAME = VALUE")
    return fields, end


def _voxels(fields: dict[str, str], path: Path, size: int, end: int) -> StoredArray:
    kind = _TYPES.get(fields.get("ElementType", "").removesuffix("_ARRAY"))
    if kind is None:
        raise CodedFileError("RECON-IMAGE-CODEC", f"{path} stores elements of a type that is not read")
    if not _flag(fields, path, "BinaryData", default=True):
        raise CodedFileError("RECON-IMAGE-CODEC", f"{path} stores its values as text; write it in binary")
    slope, inter = (
        _numbers(fields, f"ElementToIntensityFunction{name}", 1, path)[0]
        if f"ElementToIntensityFunction{name}" in fields
        else default
        for name, default in (("Slope", 1.0), ("Offset", 0.0))
    )
    if (slope, inter) != (1.0, 0.0):
        raise CodedFileError(
            "RECON-IMAGE-CODEC", f"{path} has an intensity function, which some programs apply and others do not"
        )
    swapped = _flag(fields, path, "BinaryDataByteOrderMSB", "ElementByteOrderMSB", default=False)
    packing: Packing = "zlib" if _flag(fields, path, "CompressedData", default=False) else "raw"
    source, offset = _source(fields, path, end)
    dtype = np.dtype(kind).newbyteorder(">" if swapped else "<")
    skipped = _integers(fields, "HeaderSize", 1, path)[0] if "HeaderSize" in fields else 0
    if skipped == -1 and packing == "raw":  # the data end with the file
        offset = max(0, source.stat().st_size - size * dtype.itemsize)
    elif skipped > 0 and source != path:
        offset = skipped
    elif skipped:
        raise _refuse(path, f"HeaderSize is {skipped}")
    return StoredArray(path=source, dtype=dtype, size=size, offset=offset, packing=packing)


def _source(fields: dict[str, str], path: Path, end: int) -> tuple[Path, int]:
    """Return the file that holds the data, and where they begin: this one, or a named one in the same folder."""
    name = fields["ElementDataFile"]
    if name.upper() == "LOCAL":
        return path, end
    plain = (
        name not in ("", ".", "..", "LIST") and not name.startswith("LIST ") and not any(c in name for c in "/\\:%\0")
    )
    beside = path.parent / name if plain else path
    if not plain or beside.is_symlink():
        raise CodedFileError(
            "RECON-IMAGE-OUTSIDE", f"{path} names data outside its folder, or in several files: write it as one .mha"
        )
    if not beside.is_file():
        raise CodedFileError("RECON-IMAGE-TRUNCATED", f"{path} names a data file that is not beside it")
    return beside, 0


def _place(
    fields: dict[str, str], rank: int, path: Path
) -> tuple[np.ndarray | None, tuple[float, ...] | None, tuple[str, ...]]:
    """Return affine, voxel size and notes. ITK's world is LPS."""
    notes: tuple[str, ...] = ()
    unit = fields.get("DistanceUnits", "").lower()
    if unit not in _TO_MM:
        raise _refuse(path, "DistanceUnits is none of mm, cm, um")
    scale = _TO_MM[unit]
    if scale != 1:
        notes = (f"lengths converted from {unit} to mm",)
    name = next((name for name in ("ElementSpacing", "ElementSize") if name in fields), None)
    if name is None:
        return None, None, (*notes, "no voxel size in the file")
    spacing = np.array(_numbers(fields, name, rank, path))
    if not np.all(spacing > 0):
        raise _refuse(path, f"{name} must hold positive lengths")
    space = min(rank, 3)
    sizes = tuple(float(size) * scale for size in spacing[:space])
    turn = next((name for name in ("TransformMatrix", "Rotation", "Orientation") if name in fields), None)
    origin = next((name for name in ("Offset", "Position", "Origin") if name in fields), None)
    if rank == 2:
        return None, sizes, notes
    if turn is None or origin is None:
        return None, sizes, (*notes, f"no {'orientation' if turn is None else 'position'} in the file")
    # One row of the field is the direction of one axis.
    directions = np.array(_numbers(fields, turn, rank * rank, path)).reshape(rank, rank).T
    affine = np.eye(4)
    affine[:3, :3] = directions[:3, :3] * spacing[:3] * scale
    affine[:3, 3] = np.array(_numbers(fields, origin, rank, path))[:3] * scale
    straight = rank == 3 or not (directions[3, :3].any() or directions[:3, 3].any())
    if not straight or abs(np.linalg.det(directions[:3, :3])) < 1e-6:
        raise CodedFileError(
            "RECON-IMAGE-AFFINE", f"{path} has axes that are singular, or mix space and time: correct its {turn}"
        )
    return ras_lps(affine), sizes, notes


def _flag(fields: dict[str, str], path: Path, *names: str, default: bool) -> bool:
    for name in names:
        if name in fields:
            value = fields[name].lower()
            if value not in ("true", "false", "t", "f", "1", "0"):
                raise _refuse(path, f"{name} is neither True nor False")
            return value in ("true", "t", "1")
    return default


def _numbers(fields: dict[str, str], name: str, count: int, path: Path) -> tuple[float, ...]:
    try:
        values = tuple(float(word) for word in fields.get(name, "").split())
    except ValueError:
        values = ()
    if len(values) != count or not all(abs(value) < 1e12 for value in values):
        raise _refuse(path, f"{name} must hold {count} finite number(s)")
    return values


def _integers(fields: dict[str, str], name: str, count: int, path: Path) -> tuple[int, ...]:
    values = _numbers(fields, name, count, path)
    if any(value != int(value) for value in values):
        raise _refuse(path, f"{name} must hold whole numbers")
    return tuple(int(value) for value in values)
