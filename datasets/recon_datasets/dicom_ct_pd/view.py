"""One DICOM-CT-PD file: the geometry of a view by its private tags, and its line integrals."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.errors import InvalidDicomError
from pydicom.tag import BaseTag, Tag

from recon_datasets.dicom_ct_pd.errors import ProjectionError

__all__ = ["TAGS", "View", "is_projection", "read_view"]

TAGS: dict[str, tuple[int, str]] = {
    "rows": (0x70291010, "US"),
    "columns": (0x70291011, "US"),
    "column_spacing": (0x70291002, "FL"),
    "row_spacing": (0x70291006, "FL"),
    "shape": (0x7029100B, "CS"),
    "angle": (0x70311001, "FL"),
    "z": (0x70311002, "FL"),
    "source_distance": (0x70311003, "FL"),
    "detector_length": (0x70311031, "FL"),
    "central_element": (0x70311033, "FL"),
    "angle_shift": (0x7033100B, "FL"),
    "z_shift": (0x7033100C, "FL"),
    "distance_shift": (0x7033100D, "FL"),
    "spectra": (0x70331061, "US"),
    "log": (0x70391009, "CS"),
    "water": (0x70411001, "DS"),
}
"""The private tags that are read, with their value representations, under the names used here."""

_FORMATS = {"US": ("<H", 2), "FL": ("<f", 4)}
_OPTIONAL = {"angle_shift": 0.0, "z_shift": 0.0, "distance_shift": 0.0, "spectra": 1, "log": "YES", "water": None}


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """What the file of one view says; lengths in mm, angles in radians, names as in the format's manual.

    Parameters
    ----------
    instance
        Number of the view in the scan.
    angle, z, source_distance
        Cylindrical coordinates of the detector's focal centre: phi_0, z_0, rho_0.
    angle_shift, z_shift, distance_shift
        What the focal spot adds to them: delta phi, delta z, delta rho.
    detector_length
        Distance d_0 from the focal centre to the detector.
    central_element
        Column and row, counted from 1, that the line from focal centre to isocentre meets.
    shape
        CYLINDRICAL or FLAT.
    spacing
        Width of a column and height of a row on the detector.
    water
        Attenuation of water in 1/mm, if stated.
    field
        Diameter of the scanned field, if stated.
    kvp
        Tube voltage, if stated.
    values
        Line integrals (row, column), row 1 and column 1 first.
    """

    instance: int
    angle: float
    z: float
    source_distance: float
    angle_shift: float
    z_shift: float
    distance_shift: float
    detector_length: float
    central_element: tuple[float, float]
    shape: str
    spacing: tuple[float, float]
    water: float | None
    field: float | None
    kvp: float | None
    values: NDArray[np.float32]

    @property
    def lengths(self) -> tuple[float, ...]:
        """What must be the same for all views of a scan, in mm and detector elements."""
        return (*self.spacing, *self.central_element, self.source_distance, self.detector_length)


def is_projection(path: Path) -> bool:
    """Whether the file is DICOM and has the format's detector tags."""
    try:
        with path.open("rb") as file:
            if file.read(132)[128:] != b"DICM":
                return False
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=[Tag(TAGS["rows"][0])])
        return Tag(TAGS["rows"][0]) in header
    except Exception:  # noqa: BLE001 - on damage, pydicom raises almost anything
        return False


def read_view(path: Path) -> View:
    """Read one view.

    Raises
    ------
    ProjectionError
        If the file is damaged or not of the format, lacks a tag, or holds what is not supported: several spectra, a
        spherical detector, data without logarithm, several frames, compressed pixels.
    """
    try:
        data = pydicom.dcmread(path)
        syntax = data.file_meta.TransferSyntaxUID
    except InvalidDicomError:
        raise ProjectionError("RECON-CTPD-NOT-DICOM", f"{path} is not a DICOM file; remove it from the scan") from None
    except Exception:  # noqa: BLE001 - on damage, pydicom raises almost anything, quoting the file's bytes
        raise ProjectionError("RECON-CTPD-DAMAGED", f"{path} is damaged or cut off; copy it again") from None
    if Tag(TAGS["rows"][0]) not in data:
        raise ProjectionError(
            "RECON-CTPD-KIND", f"{path} has no detector tag (7029,1010): no projection; remove it from the scan"
        )
    if not syntax.is_little_endian or syntax.is_compressed or int(data.get("NumberOfFrames") or 1) > 1:
        raise ProjectionError(
            "RECON-CTPD-KIND", f"{path} is compressed, big-endian or multi-frame; convert it to plain single views"
        )
    tags = {name: _value(data, name, path) for name in TAGS}
    shape = str(tags["shape"]).upper()
    if shape not in ("CYLINDRICAL", "FLAT"):
        raise ProjectionError(
            "RECON-CTPD-DETECTOR", f"{path}: detector shape (7029,100B) is neither CYLINDRICAL nor FLAT; not supported"
        )
    if str(tags["log"]).upper() != "YES":
        raise ProjectionError(
            "RECON-CTPD-LOG", f"{path}: LogFlag (7039,1009) says that no logarithm was taken; normalise by air first"
        )
    if tags["spectra"] > 1:
        raise ProjectionError(
            "RECON-CTPD-SPECTRA", f"{path} is of a scan with {tags['spectra']} spectra; give each a folder of its own"
        )
    for name in ("column_spacing", "row_spacing", "source_distance", "detector_length"):
        if not tags[name] > 0:
            raise ProjectionError("RECON-CTPD-TAG", f"{path}: {_label(name)} is {tags[name]:g}; it must be positive")
    if tags["detector_length"] < tags["source_distance"]:
        raise ProjectionError(
            "RECON-CTPD-TAG", f"{path}: the detector (7031,1031) is nearer to the source than the isocentre (7031,1003)"
        )
    return View(
        instance=int(data.get("InstanceNumber") or 0),
        **{name: tags[name] for name in ("angle", "z", "source_distance", "angle_shift", "z_shift", "distance_shift")},
        detector_length=tags["detector_length"],
        central_element=tags["central_element"],
        shape=shape,
        spacing=(tags["column_spacing"], tags["row_spacing"]),
        water=None if tags["water"] is None else _number(tags["water"]),
        field=_number(data.get("DataCollectionDiameter")),
        kvp=_number(data.get("KVP")),
        values=_pixels(data, tags["rows"], tags["columns"], path),
    )


def _value(data: pydicom.Dataset, name: str, path: Path) -> Any:
    """Return a private tag's value, which comes as bytes from files of implicit value representation."""
    number, kind = TAGS[name]
    tag: BaseTag = Tag(number)
    found = data[tag].value if tag in data else None
    if isinstance(found, bytes):
        found = _decoded(found, kind)
    if found is None or found == "":
        if name in _OPTIONAL:
            return _OPTIONAL[name]
        raise ProjectionError("RECON-CTPD-TAG", f"{path} lacks {_label(name)}; the geometry is incomplete")
    try:
        if kind == "CS":
            return str(found).strip().strip("\0")
        if name == "central_element":
            column, row = (float(part) for part in found)
            numbers: tuple[float, ...] = (column, row)
        else:
            numbers = (float(found),)
    except (TypeError, ValueError):
        raise ProjectionError("RECON-CTPD-TAG", f"{path}: {_label(name)} is not of type {kind}") from None
    if not all(map(math.isfinite, numbers)):
        raise ProjectionError("RECON-CTPD-TAG", f"{path}: {_label(name)} is not finite")
    if name == "central_element":
        return numbers
    return int(numbers[0]) if kind == "US" else numbers[0]


def _decoded(value: bytes, kind: str) -> Any:
    if kind not in _FORMATS:
        return value.decode("ascii", errors="replace").strip(" \0")
    form, size = _FORMATS[kind]
    if not value or len(value) % size:
        return None
    parts = [part[0] for part in struct.iter_unpack(form, value)]
    return parts[0] if len(parts) == 1 else parts


def _pixels(data: pydicom.Dataset, rows: int, columns: int, path: Path) -> NDArray[np.float32]:
    """Return rescaled pixels (row, column); the detector's rows lie along the image's rows or along its columns."""
    if "PixelData" not in data or rows * columns == 0:
        raise ProjectionError("RECON-CTPD-DAMAGED", f"{path} holds no pixels; it may be cut off")
    stored = (int(data.get("Rows") or 0), int(data.get("Columns") or 0))
    if stored not in ((rows, columns), (columns, rows)):
        raise ProjectionError(
            "RECON-CTPD-GRID", f"{path}: an image of {stored} does not hold {rows} rows and {columns} columns"
        )
    if int(data.get("BitsAllocated") or 0) != 16 or int(data.get("PixelRepresentation") or 0) != 0:
        raise ProjectionError("RECON-CTPD-GRID", f"{path}: pixels must be unsigned, of 16 bits")
    needed = 2 * rows * columns
    if len(data.PixelData) < needed:
        raise ProjectionError(
            "RECON-CTPD-DAMAGED", f"{path} has {len(data.PixelData)} of {needed} bytes of pixels; copy it again"
        )
    slope, intercept = _number(data.get("RescaleSlope")), _number(data.get("RescaleIntercept"))
    if slope is None or intercept is None:
        raise ProjectionError("RECON-CTPD-TAG", f"{path} lacks RescaleSlope and RescaleIntercept; they are needed")
    raw = np.frombuffer(data.PixelData, dtype="<u2", count=rows * columns).reshape(stored)
    raw = raw if stored == (rows, columns) else raw.T
    return raw.astype(np.float32) * np.float32(slope) + np.float32(intercept)


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _label(name: str) -> str:
    number = TAGS[name][0]
    return f"{name.replace('_', ' ')} ({number >> 16:04X},{number & 0xFFFF:04X})"
