"""One DICOM file as a slice: its header checked, its pixels turned into values."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.errors import InvalidDicomError

from recon.errors import FileFormatError
from recon_datasets.dicom_series.errors import DicomError

__all__ = ["Slice", "is_dicom", "is_projection", "pixel_values", "read_slice"]

CLASSES = {"1.2.840.10008.5.1.4.1.1.2": "CT", "1.2.840.10008.5.1.4.1.1.4": "MR"}
DIRECTORY = "1.2.840.10008.1.3.10"
PROJECTION = 0x70291010
"""Tag for the number of detector rows, which every DICOM-CT-PD projection has and no image."""
_MULTIFRAME = {
    "1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2",
    "1.2.840.10008.5.1.4.1.1.4.1", "1.2.840.10008.5.1.4.1.1.4.4",
}  # fmt: skip

_TECHNICAL = {
    "KVP": "kvp",
    "XRayTubeCurrent": "tube_current_mA",
    "RepetitionTime": "repetition_time_ms",
    "EchoTime": "echo_time_ms",
    "InversionTime": "inversion_time_ms",
    "FlipAngle": "flip_angle_deg",
    "MagneticFieldStrength": "field_strength_T",
    "SliceThickness": "slice_thickness_mm",
    "GantryDetectorTilt": "gantry_tilt_deg",
}
# Pixel data beyond this size must not shrink by more than this factor in the file.
_FREE_BYTES, _MAX_RATIO = 2**26, 1000


@dataclass(frozen=True, slots=True, eq=False)
class Slice:
    """What the header of one slice says about its place, its values and its series.

    Parameters
    ----------
    path
        The file.
    series
        What must be equal for slices to be of one series.
    position
        Centre of the first pixel, in mm, towards the patient's left, back and head (LPS).
    row, column
        Unit vectors along increasing column index (along a row) and increasing row index (down a column), LPS.
    spacing
        Distance in mm between columns (x) and between rows (y).
    shape
        (rows, columns).
    kind
        Echo time and kind of image (magnitude, phase ...): equal within one volume.
    unit
        HU for CT with rescaling; arbitrary otherwise.
    technical
        Facts for `Image.metadata`.
    notes
        Oddities.
    """

    path: Path
    series: str
    modality: str
    position: np.ndarray
    row: np.ndarray
    column: np.ndarray
    spacing: tuple[float, float]
    shape: tuple[int, int]
    kind: tuple[str, ...]
    unit: str
    technical: dict[str, Any]
    notes: tuple[str, ...]

    @property
    def normal(self) -> np.ndarray:
        """Unit vector along which slices are sorted: row x column."""
        return np.cross(self.row, self.column)


def is_dicom(path: Path) -> bool:
    """Whether the file carries DICOM's mark."""
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def is_projection(path: Path) -> bool:
    """Whether a DICOM file is a projection in the DICOM-CT-PD format."""
    try:
        return PROJECTION in pydicom.dcmread(path, stop_before_pixels=True, specific_tags=[PROJECTION])
    except Exception:  # noqa: BLE001 - on damage, pydicom raises almost anything; `read_slice` says what is wrong
        return False


def read_slice(path: Path) -> Slice | None:
    """Read and check the header of a file; None for a DICOMDIR, which is an index of other files.

    Raises
    ------
    DicomError
        If it is not a single-frame CT or MR slice with a complete geometry.
    """
    with _opened(path, pixels=False) as header:
        storage = str(header.get("SOPClassUID", ""))
        if storage == DIRECTORY or str(header.file_meta.get("MediaStorageSOPClassUID", "")) == DIRECTORY:
            return None
        _check_kind(header, path, storage)
        x, y = _direction(header, path)
        rows_apart, columns_apart = _numbers(header, "PixelSpacing", 2, path)
        if min(rows_apart, columns_apart) <= 0:
            raise _no_geometry(path, "PixelSpacing is not positive")
        modality = CLASSES[storage]
        notes = []
        if header.get("PhotometricInterpretation") == "MONOCHROME1":
            notes.append("stored for inverted display (MONOCHROME1); values are as stored")
        image_type = [str(word) for word in _listed(header.get("ImageType"))]
        scaled = "RescaleSlope" in header and "RescaleIntercept" in header
        declared = str(header.get("RescaleType", "HU")).strip() or "HU"
        return Slice(
            path=path,
            series=str(header.get("SeriesInstanceUID", "")),
            modality=modality,
            position=np.array(_numbers(header, "ImagePositionPatient", 3, path)),
            row=x,
            column=y,
            spacing=(columns_apart, rows_apart),
            shape=(int(header.Rows), int(header.Columns)),
            kind=(str(header.get("EchoTime", "")), *image_type[2:3]),
            unit="HU" if modality == "CT" and scaled and declared in ("HU", "US") else "arbitrary",
            technical={"modality": modality} | _technical(header),
            notes=tuple(notes),
        )


def pixel_values(path: Path) -> np.ndarray:
    """Decode the pixels of a slice and apply its own slope and intercept; float32 (rows, columns).

    Raises
    ------
    DicomError
        If they are cut off or over-long, or no installed decoder knows their compression.
    """
    with _opened(path, pixels=True) as dataset:
        if "PixelData" not in dataset:
            raise DicomError("RECON-DICOM-KIND", f"{path} holds no pixels; remove it from the series")
        _check_length(dataset, path)
        syntax = dataset.file_meta.get("TransferSyntaxUID")
        try:
            stored = dataset.pixel_array
        except (RuntimeError, NotImplementedError, ImportError, AttributeError) as error:
            # pydicom's text may hold values of the file, so it is not passed on.
            name = getattr(syntax, "name", "unknown")
            raise DicomError(
                "RECON-DICOM-CODEC",
                f"{path} is compressed as {name}, which the installed decoders cannot read: pip install "
                "pylibjpeg-openjpeg pyjpegls python-gdcm",
            ) from error
        except (ValueError, OSError, IndexError, KeyError):
            raise DicomError("RECON-DICOM-TRUNCATED", f"{path} has damaged or cut-off pixels; copy it again") from None
        if stored.shape != (dataset.Rows, dataset.Columns):
            raise DicomError(
                "RECON-DICOM-PIXELS", f"{path} decodes to {stored.shape}, not {dataset.Rows} x {dataset.Columns}"
            )
        values = _used_bits(stored, dataset).astype(np.float64)
        slope, intercept = float(dataset.get("RescaleSlope", 1)), float(dataset.get("RescaleIntercept", 0))
        if not (math.isfinite(slope) and math.isfinite(intercept) and slope != 0):
            raise DicomError(
                "RECON-DICOM-RESCALE", f"{path} has a slope or intercept that is no usable number; correct it"
            )
        return (values * slope + intercept).astype(np.float32)


@contextmanager
def _opened(path: Path, *, pixels: bool) -> Iterator[pydicom.Dataset]:
    """Read a file with pydicom, whose warnings and errors quote values and so may name the patient."""
    logger = logging.getLogger("pydicom")
    level = logger.level
    try:
        logger.setLevel(logging.CRITICAL)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield pydicom.dcmread(path, stop_before_pixels=not pixels)
    except FileFormatError:
        raise
    except FileNotFoundError:
        raise FileFormatError(f"{path} does not exist") from None
    except InvalidDicomError:
        raise DicomError(
            "RECON-DICOM-NOT-DICOM", f"{path} is not a DICOM file (no DICM mark after 128 bytes)"
        ) from None
    except Exception:  # noqa: BLE001 - on damage, pydicom raises almost anything, quoting the file's bytes
        raise DicomError("RECON-DICOM-DAMAGED", f"{path} is damaged or cut off; copy it again") from None
    finally:
        logger.setLevel(level)


def _check_kind(header: pydicom.Dataset, path: Path, storage: str) -> None:
    if PROJECTION in header:
        raise DicomError(
            "RECON-DICOM-PROJECTION", f"{path} is a projection, one view of a CT scan; give the folder of all its views"
        )
    frames = int(header.get("NumberOfFrames") or 1)
    if storage in _MULTIFRAME or (storage in CLASSES and frames > 1):
        raise DicomError(
            "RECON-DICOM-MULTIFRAME", f"{path} is an enhanced multi-frame image; convert it to single slices"
        )
    if "MOSAIC" in _listed(header.get("ImageType")):
        raise DicomError("RECON-DICOM-MOSAIC", f"{path} is a mosaic of slices; convert it to single slices or NIfTI")
    if storage not in CLASSES:
        name = getattr(header.get("SOPClassUID"), "name", "unknown")
        raise DicomError("RECON-DICOM-KIND", f"{path} is a {name}, not a CT or MR slice; remove it from the series")
    photometric = header.get("PhotometricInterpretation")
    if photometric is None:
        raise DicomError("RECON-DICOM-DAMAGED", f"{path} does not describe its pixels; it may be cut off")
    if header.get("SamplesPerPixel", 1) != 1 or photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise DicomError("RECON-DICOM-KIND", f"{path} holds colours, not a scan; remove it from the series")
    if "ModalityLUTSequence" in header:
        raise DicomError(
            "RECON-DICOM-RESCALE", f"{path} maps its values by a table, which is not read; convert it first"
        )
    if not (int(header.get("Rows") or 0) > 0 and int(header.get("Columns") or 0) > 0):
        raise DicomError("RECON-DICOM-DAMAGED", f"{path} does not say its size; copy it again")


def _direction(header: pydicom.Dataset, path: Path) -> tuple[np.ndarray, np.ndarray]:
    values = _numbers(header, "ImageOrientationPatient", 6, path)
    x, y = np.array(values[:3]), np.array(values[3:])
    if max(abs(float(np.linalg.norm(x)) - 1), abs(float(np.linalg.norm(y)) - 1), abs(float(x @ y))) > 1e-2:
        raise _no_geometry(path, "ImageOrientationPatient does not hold two orthogonal unit vectors")
    x = x / np.linalg.norm(x)  # some scanners round to three decimals
    y = y - (x @ y) * x
    return x, y / np.linalg.norm(y)


def _numbers(header: pydicom.Dataset, name: str, count: int, path: Path) -> list[float]:
    try:
        values = [float(value) for value in _listed(header.get(name))]
    except (TypeError, ValueError):
        values = []
    if len(values) != count or not all(map(math.isfinite, values)):
        raise _no_geometry(path, f"{name} is missing or is not {count} numbers")
    return values


def _no_geometry(path: Path, reason: str) -> DicomError:
    return DicomError(
        "RECON-DICOM-GEOMETRY",
        f"{path}: {reason}; its place is unknown, export it again with geometry",
    )


def _check_length(dataset: pydicom.Dataset, path: Path) -> None:
    declared = dataset.Rows * dataset.Columns * ((dataset.BitsAllocated + 7) // 8)
    stored = len(dataset.PixelData)
    compressed = dataset.file_meta.TransferSyntaxUID.is_encapsulated
    if compressed and declared > max(_FREE_BYTES, _MAX_RATIO * stored):
        raise DicomError(
            "RECON-DICOM-BOMB", f"{path} declares {declared} bytes of pixels but stores {stored}; it is damaged"
        )
    if not compressed and stored < declared:
        raise DicomError("RECON-DICOM-TRUNCATED", f"{path} has {stored} of {declared} bytes of pixels; copy it again")
    if not compressed and stored > declared + declared % 2:
        raise DicomError(
            "RECON-DICOM-PIXELS", f"{path} has {stored} bytes of pixels for {declared} declared; export it again"
        )


def _used_bits(stored: np.ndarray, dataset: pydicom.Dataset) -> np.ndarray:
    """Keep the BitsStored bits below HighBit: overlays may live in the others."""
    bits, used, high = int(dataset.BitsAllocated), int(dataset.BitsStored), int(dataset.HighBit)
    if not 0 < used <= bits or high != used - 1 or stored.dtype.kind not in "iu" or used == bits:
        return stored
    shift = stored.dtype.itemsize * 8 - used
    return (stored << shift) >> shift  # the sign, where there is one, comes back with the arithmetic shift


def _technical(header: pydicom.Dataset) -> dict[str, float]:
    found = {}
    for keyword, name in _TECHNICAL.items():
        value = header.get(keyword)
        if isinstance(value, (int, float)) and math.isfinite(value):
            found[name] = float(value)
    return found


def _listed(value: Any) -> list[Any]:
    if value is None or value == "":
        return []
    return [value] if isinstance(value, (str, int, float)) else list(value)
