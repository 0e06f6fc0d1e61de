"""What an NRRD header says, parsed by pynrrd and checked before anything is allocated."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nrrd
import numpy as np

from recon.errors import CodedFileError
from recon.io.listing import check_is_file
from recon.io.stored_array import Packing, StoredArray

__all__ = ["Header", "read_header"]

_LONGEST = 2**20
_TYPES = {
    ("signed char", "int8", "int8_t"): "i1",
    ("uchar", "unsigned char", "uint8", "uint8_t"): "u1",
    ("short", "short int", "signed short", "signed short int", "int16", "int16_t"): "i2",
    ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"): "u2",
    ("int", "signed int", "int32", "int32_t"): "i4",
    ("uint", "unsigned int", "uint32", "uint32_t"): "u4",
    ("longlong", "long long", "long long int", "signed long long", "signed long long int", "int64", "int64_t"): "i8",
    ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"): "u8",
    ("float",): "f4",
    ("double",): "f8",
}
_PACKINGS: dict[str, Packing] = {"raw": "raw", "gz": "gzip", "gzip": "gzip", "bz2": "bzip2", "bzip2": "bzip2"}
# Signs that turn a space into RAS.
_SPACES = {
    "right-anterior-superior": (1, 1, 1), "ras": (1, 1, 1), "left-anterior-superior": (-1, 1, 1), "las": (-1, 1, 1),
    "left-posterior-superior": (-1, -1, 1), "lps": (-1, -1, 1),
}  # fmt: skip
_TO_MM = {"mm": 1.0, "millimeter": 1.0, "cm": 10.0, "m": 1000.0, "meter": 1000.0, "um": 0.001, "µm": 0.001}
_TO_MM |= {"micron": 0.001, "microns": 0.001}


@dataclass(frozen=True, slots=True)
class Header:
    """What a file holds.

    Parameters
    ----------
    shape
        Lengths of the axes, the one that changes fastest first.
    names
        Their names: "x", "y", "z" for those of space in the file's order, "t", "channel", or "complex".
    voxels
        Where the numbers lie.
    affine
        4x4 to RAS+ mm, or None.
    voxel_size
        (x, y[, z]) in mm, or None.
    notes
        What is odd.
    """

    shape: tuple[int, ...]
    names: tuple[str, ...]
    voxels: StoredArray
    affine: np.ndarray | None
    voxel_size: tuple[float, ...] | None
    notes: tuple[str, ...]


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
    try:
        return _checked(fields, end, path, limit)
    except (KeyError, TypeError, ValueError, OverflowError):  # a field of another kind than its name says
        raise _refuse(path, "a field is missing or is not as the format asks") from None


def _checked(fields: dict[str, Any], end: int, path: Path, limit: int) -> Header:
    shape = tuple(int(size) for size in fields["sizes"])
    rank = int(fields["dimension"])
    kinds = [str(kind).lower() for kind in fields.get("kinds", [])]
    if rank != len(shape) or min(shape) < 1 or (kinds and len(kinds) != rank):
        raise _refuse(path, "dimension, sizes and kinds do not fit one another")
    directions = _directions(fields, rank, path)
    names = _names(shape, kinds, directions, path)
    voxels = _voxels(fields, path, math.prod(shape), end)
    voxels.check(limit)
    affine, sizes, notes = _place(fields, names, directions, path)
    return Header(shape, names, voxels, affine, sizes, notes)


def _refuse(path: Path, problem: str) -> CodedFileError:
    return CodedFileError("RECON-IMAGE-HEADER", f"{path} has an NRRD header that is damaged or not read: {problem}")


def _fields(path: Path) -> tuple[dict[str, Any], int]:
    """Return the fields, with names in lower case, and where the header ends: behind the first empty line."""
    with path.open("rb") as file:
        head = file.read(_LONGEST)
    lines: list[str] = []
    end = 0
    while True:
        stop = head.find(b"\n", end)
        if stop < 0:  # a header of its own may end with its file
            if len(head) == _LONGEST:
                raise _refuse(path, "it does not end")
            lines.append(head[end:].decode("latin-1"))
            end = len(head)
            break
        line = head[end:stop].decode("latin-1").rstrip()
        end = stop + 1
        if not line:
            break
        lines.append(line)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = nrrd.read_header([line for line in lines if line])
    except Exception:  # noqa: BLE001 - whatever pynrrd meets in a damaged header; its text quotes fields
        raise _refuse(path, "a field is not as the format asks") from None
    return {str(name).lower(): value for name, value in found.items()}, end


def _names(shape: tuple[int, ...], kinds: list[str], directions: np.ndarray | None, path: Path) -> tuple[str, ...]:
    """Name the axes: space by direction or kind, time by kind, all others are channels."""
    if directions is not None:
        spatial = [bool(np.isfinite(row).all()) for row in directions]
    elif kinds:
        spatial = [kind in ("domain", "space") for kind in kinds]
    else:
        spatial = [True] * len(shape)
    if not 2 <= sum(spatial) <= 3:
        raise _refuse(path, f"{sum(spatial)} of its {len(shape)} axes are of space; 2 or 3 must be")
    left = iter("xyz")
    names = []
    for axis, space in enumerate(spatial):
        kind = kinds[axis] if kinds else ""
        if space:
            names.append(next(left))
        elif kind == "complex" and shape[axis] == 2:
            names.append("complex")
        else:
            names.append("t" if kind in ("time", "domain", "space") else "channel")
    if len(set(names)) != len(names) or ("complex" in names and names[0] != "complex"):
        raise _refuse(path, "it has several axes of time or of channels")
    return tuple(names)


def _voxels(fields: dict[str, Any], path: Path, size: int, end: int) -> StoredArray:
    stated = str(fields.get("type", "")).lower()
    kind = next((kind for names, kind in _TYPES.items() if stated in names), None)
    if kind is None:
        raise CodedFileError("RECON-IMAGE-CODEC", f"{path} stores elements of a type that is not read")
    packing = _PACKINGS.get(str(fields.get("encoding", "")).lower())
    if packing is None:
        raise CodedFileError("RECON-IMAGE-CODEC", f"{path} has an encoding that is not read: write it raw or gzip")
    order = str(fields.get("endian", "")).lower()
    if order not in ("little", "big") and kind[1] != "1":
        raise _refuse(path, "endian is neither little nor big")
    dtype = np.dtype(kind).newbyteorder(">" if order == "big" else "<")
    source, offset = _source(fields, path, end)
    lines = int(fields.get("line skip", fields.get("lineskip", 0)))
    skip = int(fields.get("byte skip", fields.get("byteskip", 0)))
    if skip == -1 and packing == "raw":  # the data end with the file
        offset, skip = max(0, source.stat().st_size - size * dtype.itemsize), 0
    if lines or skip < 0:
        raise CodedFileError("RECON-IMAGE-CODEC", f"{path} skips lines before its data, which is not read")
    return StoredArray(path=source, dtype=dtype, size=size, offset=offset, packing=packing, skip=skip)


def _source(fields: dict[str, Any], path: Path, end: int) -> tuple[Path, int]:
    """Return the file that holds the data, and where they begin: this one, or a named one in the same folder."""
    name = str(fields.get("data file", fields.get("datafile", "")))
    if not name:
        return path, end
    name = name.removeprefix("./")
    plain = (
        name not in ("", ".", "..") and not name.upper().startswith("LIST") and not any(c in name for c in "/\\:%\0")
    )
    beside = path.parent / name if plain else path
    if not plain or beside.is_symlink():
        raise CodedFileError(
            "RECON-IMAGE-OUTSIDE", f"{path} names data outside its folder, or in several files: write it as one .nrrd"
        )
    if not beside.is_file():
        raise CodedFileError("RECON-IMAGE-TRUNCATED", f"{path} names a data file that is not beside it")
    return beside, 0


def _directions(fields: dict[str, Any], rank: int, path: Path) -> np.ndarray | None:
    """Return one row for each axis, of NaN for those that are not of space; None where there are none."""
    if fields.get("space directions") is None:
        return None
    rows = fields["space directions"]
    try:
        width = max(len(row) for row in rows if row is not None)
        filled = [np.full(width, np.nan) if row is None else np.asarray(row, dtype=np.float64) for row in rows]
        found = np.stack(filled)
    except (TypeError, ValueError):
        raise _refuse(path, "space directions are no vectors") from None
    known = found[~np.isnan(found).all(axis=1)]
    if len(found) != rank or width not in (2, 3) or not np.isfinite(known).all() or not (np.abs(known) < 1e12).all():
        raise _refuse(
            path, "space directions must be one vector of 2 or 3 finite numbers for each axis of space, or none"
        )
    if not (np.linalg.norm(known, axis=1) > 0).all():
        raise CodedFileError("RECON-IMAGE-AFFINE", f"{path} has an axis of space without length")
    return found


def _place(
    fields: dict[str, Any], names: tuple[str, ...], directions: np.ndarray | None, path: Path
) -> tuple[np.ndarray | None, tuple[float, ...] | None, tuple[str, ...]]:
    """Return affine, voxel size and notes."""
    scale, notes = _scale(fields)
    spatial = [axis for axis, name in enumerate(names) if name in "xyz"]
    if directions is None:
        found = np.array(fields.get("spacings", [np.nan] * len(names)), dtype=np.float64)
        sizes = found[spatial] * scale if found.shape == (len(names),) else np.array([np.nan])
        told = bool(np.isfinite(sizes).all() and (sizes > 0).all())
        return None, tuple(map(float, sizes)) if told else None, (*notes, "no orientation in the file")
    vectors = directions[spatial] * scale
    voxel_size = tuple(float(size) for size in np.linalg.norm(vectors, axis=1))
    signs = _SPACES.get(str(fields.get("space", "")).lower())
    origin = fields.get("space origin")
    if signs is None or origin is None or len(vectors) != 3 or vectors.shape[1] != 3:
        missing = "position" if signs is not None and origin is None else "orientation in a patient"
        return None, voxel_size, (*notes, f"no {missing} in the file")
    place = np.asarray(origin, dtype=np.float64)
    if place.shape != (3,) or not (np.abs(place) < 1e12).all():
        raise CodedFileError("RECON-IMAGE-AFFINE", f"{path} has a space origin that is not three finite numbers")
    affine = np.eye(4)
    affine[:3, :3] = vectors.T
    affine[:3, 3] = place * scale
    if abs(np.linalg.det(affine[:3, :3] / voxel_size)) < 1e-6:
        raise CodedFileError("RECON-IMAGE-AFFINE", f"{path} has space directions that are singular: correct them")
    return np.diag([*signs, 1.0]) @ affine, voxel_size, notes


def _scale(fields: dict[str, Any]) -> tuple[float, tuple[str, ...]]:
    """Return the factor to mm of the unit of space, and a note where it is not 1."""
    stated = fields.get("space units")
    if stated is None:
        return 1.0, ()
    units = {str(unit).strip('"').lower() for unit in (stated if isinstance(stated, (list, tuple)) else [stated])}
    units -= {"", "none", "???"}
    factors = {_TO_MM.get(unit) for unit in units}
    if len(factors) == 1 and None not in factors:
        scale = factors.pop() or 1.0
        return scale, () if scale == 1 else (f"lengths multiplied by {scale:g} to mm",)
    return 1.0, () if not units else ("the unit of space is unknown: taken for mm",)
