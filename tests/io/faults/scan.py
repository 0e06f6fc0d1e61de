"""Synthetic DICOM scans without fault, and the truth about each. No patient's data.

The truth is told plane by plane, by the equation of PS3.3 C.7.6.2.1.1, without the geometry of any library.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

__all__ = ["Scan", "Truth", "make", "put_raw"]

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
OBLIQUE = tuple(np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0][:2].ravel())
ROWS_APART, COLUMNS_APART, STEP = 0.8, 0.7, 2.5
ORIGIN = (-13.25, 21.5, 40.0)
SLICES, ROWS, COLUMNS = 9, 20, 28
VALUES = np.random.default_rng(0).integers(0, 4096, (SLICES, ROWS, COLUMNS)).astype(np.int16)
CT, MR, PET, ENHANCED_CT = (f"1.2.840.10008.5.1.4.1.1.{end}" for end in ("2", "4", "128", "2.1"))


@dataclass
class Truth:
    """A plane: its values, and the centres of its four corner pixels in RAS+ mm, by rows: (0, 0), (0, last), ..."""

    values: np.ndarray
    corners: np.ndarray


@dataclass
class Scan:
    """Data sets on their way to files, and what they show; `planes` is (t, z) where there are several volumes."""

    slices: list[Dataset]
    planes: list[list[Truth]]
    names: list[str] = field(default_factory=list)
    cut: dict[int, int] = field(default_factory=dict)
    """Bytes to cut off the end of files, by their number."""
    extra: list[list[Truth]] = field(default_factory=list)
    """Planes of further images in the folder, which must never be mixed with the others."""

    def save(self, folder: Path) -> list[Path]:
        folder.mkdir(parents=True, exist_ok=True)
        names = self.names or [f"IM{number:04d}.dcm" for number in range(len(self.slices))]
        paths = [folder / name for name in names]
        for number, (dataset, path) in enumerate(zip(self.slices, paths, strict=True)):
            dataset.save_as(path, enforce_file_format=True)
            if number in self.cut:
                content = path.read_bytes()
                path.write_bytes(content[: len(content) - self.cut[number]])
        return paths


def make(
    values: np.ndarray = VALUES,
    *,
    orientation: Sequence[float] = AXIAL,
    heights: Sequence[float] | None = None,
    shear: Sequence[float] = (0.0, 0.0, 0.0),
    storage: str = CT,
    series: str = "series",
    first: int = 0,
) -> Scan:
    """A scan without fault: slices at `heights` along row x column, each moved by `shear` times its height."""
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    normal = np.cross(row, column)
    slices, truth = [], []
    for number, pixels in enumerate(values):
        height = number * STEP if heights is None else heights[number]
        position = np.array(ORIGIN) + height * (normal + np.array(shear))
        corners = [
            position + row * COLUMNS_APART * x + column * ROWS_APART * y
            for y in (0, pixels.shape[0] - 1)
            for x in (0, pixels.shape[1] - 1)
        ]
        truth.append(Truth(pixels.astype(np.float64) - 1024, np.array(corners) * [-1, -1, 1]))
        slices.append(_dataset(pixels, orientation, position, storage, series, first + number))
    return Scan(slices, [truth])


def _dataset(pixels, orientation, position, storage, series, number):
    dataset = Dataset()
    dataset.SOPClassUID = storage
    dataset.SOPInstanceUID = generate_uid(entropy_srcs=[series, str(number)])
    dataset.StudyInstanceUID = generate_uid(entropy_srcs=["study"])
    dataset.SeriesInstanceUID = generate_uid(entropy_srcs=[series])
    dataset.FrameOfReferenceUID = generate_uid(entropy_srcs=["frame"])
    dataset.Modality = {MR: "MR", PET: "PT"}.get(storage, "CT")
    dataset.PatientName, dataset.PatientID = "Nobody^Synthetic", "SYNTHETIC"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"] if storage != MR else ["ORIGINAL", "PRIMARY", "M"]
    dataset.SeriesNumber, dataset.InstanceNumber = 1, number + 1
    dataset.ImageOrientationPatient = [round(float(v), 12) for v in orientation]
    dataset.ImagePositionPatient = [round(float(v), 6) for v in position]
    dataset.PixelSpacing = [ROWS_APART, COLUMNS_APART]
    dataset.SliceThickness = STEP
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 1
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, -1024
    dataset.PixelData = np.ascontiguousarray(pixels, dtype="<i2").tobytes()
    dataset["PixelData"].VR = "OW"
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = storage, dataset.SOPInstanceUID
    dataset.file_meta = meta
    return dataset


def put_raw(dataset: Dataset, keyword: str, text: str) -> None:
    """Set an element to text that pydicom itself would refuse to write."""
    tag = Tag(keyword)
    value = text.encode("latin-1") + b" " * (len(text) % 2)
    dataset[tag] = RawDataElement(tag, dictionary_VR(tag), len(value), value, 0, False, True)
