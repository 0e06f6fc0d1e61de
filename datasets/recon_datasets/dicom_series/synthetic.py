"""Synthetic DICOM slices for tests and examples: no patient's data need be passed on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

__all__ = ["write_slices"]

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def write_slices(
    folder: Path,
    values: np.ndarray,
    *,
    orientation: Sequence[float] = AXIAL,
    spacing: tuple[float, float] = (0.7, 0.9),
    step: float = 2.5,
    origin: Sequence[float] = (-10.0, 20.0, 30.0),
    slope: float = 1.0,
    intercept: float = -1024.0,
    modality: str = "CT",
    name: str = "series",
    change: Callable[[Dataset, int], None] | None = None,
) -> list[Path]:
    """Write one single-frame file per slice.

    Parameters
    ----------
    folder
        Where to; it is made.
    values
        Stored integers (z, y, x).
    orientation
        ImageOrientationPatient.
    spacing
        PixelSpacing: (between rows, between columns) in mm.
    step
        Distance of slices along row x column in mm.
    origin
        ImagePositionPatient of the first slice.
    slope, intercept
        Of the rescaling.
    modality
        "CT" or "MR".
    name
        Makes the series' identifier; slices of equal names are of one series.
    change
        Called with each dataset and its number before it is written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    normal = np.cross(row, column)
    paths = []
    for number, pixels in enumerate(values):
        dataset = Dataset()
        dataset.SOPClassUID = f"1.2.840.10008.5.1.4.1.1.{2 if modality == 'CT' else 4}"
        dataset.SOPInstanceUID = generate_uid(entropy_srcs=[name, str(number)])
        dataset.SeriesInstanceUID = generate_uid(entropy_srcs=[name])
        dataset.Modality = modality
        dataset.PatientName = "Nobody^Synthetic"
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        dataset.InstanceNumber = number + 1
        dataset.ImageOrientationPatient = [float(value) for value in orientation]
        dataset.ImagePositionPatient = [round(float(v), 6) for v in np.array(origin) + number * step * normal]
        dataset.PixelSpacing = list(spacing)
        dataset.SliceThickness = step
        dataset.Rows, dataset.Columns = pixels.shape
        dataset.SamplesPerPixel = 1
        dataset.PhotometricInterpretation = "MONOCHROME2"
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
        dataset.PixelRepresentation = 1
        dataset.RescaleSlope, dataset.RescaleIntercept = slope, intercept
        dataset.PixelData = np.ascontiguousarray(pixels, dtype="<i2").tobytes()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        if change is not None:
            change(dataset, number)
        path = folder / f"{name}_{number:03d}.dcm"
        dataset.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths
