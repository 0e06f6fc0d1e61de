"""CT and MR images as DICOM."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid
from pydicom.valuerep import DSfloat

import recon
from recon.errors import UsageError
from recon.io import Image, Measurement

__all__ = ["DicomWriter"]

_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_LARGEST = 2**15 - 1
_FINEST = 2.0**-4
"""Smallest slope: HU are rounded to 1/32 at best, far below any noise."""
_DISCLAIMER = "Not for diagnosis"


class DicomWriter:
    r"""Writes a CT image in Hounsfield units, or an MR image: a slice as a file, a volume as a folder of slices.

    Each is a valid CT or MR Image Storage object with ImageType DERIVED\SECONDARY, new identifiers, and the image's
    place in the patient (RAS turned to DICOM's LPS). Values become 16-bit integers with one slope, a power of two: 1
    where all are whole numbers, else the smallest that holds their range, of CT at least 1/16 HU. Of the source, only
    voxels, geometry and technical facts (tube voltage; field, echo, repetition and inversion time, flip angle) go into
    the file; the patient's name and number are left empty, and the description says that the image is not for
    diagnosis.
    """

    def write(self, image: Image | Measurement, path: Path) -> None:
        """Write (y, x) to a file, (z, y, x) into the folder `path`, or to a file if it has one slice.

        Raises
        ------
        UsageError
            For what is neither a CT image in HU nor an MR image, not real and finite, beyond 16 bits, or has no, or a
            sheared, affine; and for a volume where `path` is a file.
        """
        if not isinstance(image, Image):
            raise UsageError("a DICOM file holds an image, not a measurement: reconstruct it first, or write .h5")
        values, slope = _stored(image)
        if not path.is_dir():
            if len(values) > 1:
                raise UsageError(
                    f"a DICOM file holds one slice, this volume has {len(values)}: give the name of a folder"
                )
            _save(_slices(image, values, slope)[0], path)
            return
        for number, dataset in enumerate(_slices(image, values, slope), start=1):
            _save(dataset, path / f"slice_{number:04d}.dcm")


def _stored(image: Image) -> tuple[np.ndarray, float]:
    """Return the stored integers (z, y, x) and their slope."""
    if _modality(image) is None:
        raise UsageError(
            "a DICOM file is written of CT images in HU and of MR images; this one is of modality "
            f"{image.metadata.get('modality', 'unknown')} in {image.unit!r} units: write .nii.gz"
        )
    if image.dims not in (("y", "x"), ("z", "y", "x")) or image.data.is_complex():
        raise UsageError(f"DICOM slices hold real (z, y, x), not {image.dims}: write .nii.gz")
    values = image.data.detach().cpu().double().numpy().reshape(-1, *image.space[-2:])
    if not np.isfinite(values).all():
        raise UsageError("the image holds values that are not finite, which DICOM cannot: mask them first")
    largest = float(np.abs(values).max(initial=0))
    hounsfield = _modality(image) == "CT"
    if hounsfield and largest > _LARGEST:
        raise UsageError(f"values up to {largest:g} HU do not fit 16 bits: clip them first")
    whole = largest <= _LARGEST and bool((values == np.rint(values)).all())
    slope = 1.0 if whole else float(2.0 ** np.ceil(np.log2(largest / _LARGEST)))
    if hounsfield:
        slope = max(_FINEST, slope)
    return np.rint(values / slope).astype("<i2"), slope


def _modality(image: Image) -> str | None:
    """Return CT or MR, whichever the image is; None for anything else."""
    stated = image.metadata.get("modality")
    if image.unit == "HU":
        return "CT" if stated in ("CT", None) else None
    return "MR" if stated == "MR" and image.unit == "arbitrary" else None


def _slices(image: Image, values: np.ndarray, slope: float) -> list[Dataset]:
    if image.affine is None:
        raise UsageError("the image has no place in a patient (affine), which DICOM needs: write .nii.gz")
    affine = _RAS_TO_LPS @ image.affine
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    axes = affine[:3, :3] / spacing
    if not np.allclose(axes.T @ axes, np.eye(3), atol=1e-3):
        raise UsageError("the image's axes are not at right angles, which DICOM slices are: resample it first")
    study, series, frame = generate_uid(), generate_uid(), generate_uid()
    shared = {
        "StudyInstanceUID": study,
        "SeriesInstanceUID": series,
        "FrameOfReferenceUID": frame,
        "ImageOrientationPatient": [_decimal(v) for v in axes[:, :2].T.ravel()],
        "PixelSpacing": [_decimal(spacing[1]), _decimal(spacing[0])],
        "SliceThickness": _decimal(spacing[2]),
        "RescaleSlope": _decimal(slope),
        **(_ct(image) if _modality(image) == "CT" else _mr(image)),
    }
    found = []
    for number, pixels in enumerate(values):
        dataset = _common()
        for name, value in shared.items():
            setattr(dataset, name, value)
        dataset.SOPInstanceUID = generate_uid()
        dataset.InstanceNumber = number + 1
        dataset.ImagePositionPatient = [_decimal(v) for v in affine[:3, 3] + number * affine[:3, 2]]
        dataset.Rows, dataset.Columns = pixels.shape
        dataset.PixelData = np.ascontiguousarray(pixels).tobytes()
        found.append(dataset)
    return found


def _ct(image: Image) -> dict[str, Any]:
    """Return what CT images have of their own."""
    return {
        "SOPClassUID": CTImageStorage,
        "Modality": "CT",
        "ImageType": ["DERIVED", "SECONDARY", "AXIAL"],
        "RescaleType": "HU",
        "WindowCenter": 40,  # soft tissue, where CT consoles start
        "WindowWidth": 400,
        "KVP": _fact(image, "kvp"),
    }


def _mr(image: Image) -> dict[str, Any]:
    """Return what MR images have of their own; viewers find a window for values of no unit by themselves."""
    inversion = _fact(image, "inversion_time_ms")
    return {
        "SOPClassUID": MRImageStorage,
        "Modality": "MR",
        "ImageType": ["DERIVED", "SECONDARY", "OTHER"],
        "RescaleType": "US",  # unspecified
        # Research mode, as files tell the sequence in too many ways; an inversion time needs inversion recovery.
        "ScanningSequence": ["RM", "IR"] if inversion is not None else "RM",
        **({"InversionTime": inversion} if inversion is not None else {}),
        "SequenceVariant": "NONE",
        "ScanOptions": None,
        "MRAcquisitionType": None,
        "EchoTrainLength": None,
        "EchoTime": _fact(image, "echo_time_ms"),
        "RepetitionTime": _fact(image, "repetition_time_ms"),
        "FlipAngle": _fact(image, "flip_angle_deg"),
        "MagneticFieldStrength": _fact(image, "field_strength_T"),
    }


def _fact(image: Image, name: str) -> DSfloat | None:
    """Return a number of the metadata; None, an empty field, where it is not told."""
    value = image.metadata.get(name)
    return _decimal(value) if isinstance(value, (int, float)) else None


def _common() -> Dataset:
    """Return what every slice has: constants, and the empty fields that the standard wants to be there."""
    dataset = Dataset()
    dataset.Manufacturer = "recon-toolkit"
    dataset.ManufacturerModelName = "recon"
    dataset.SoftwareVersions = recon.__version__
    dataset.SeriesDescription = _DISCLAIMER
    dataset.DerivationDescription = f"Computed by recon {recon.__version__}. {_DISCLAIMER}"
    dataset.ImageComments = _DISCLAIMER
    for empty in (
        "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID",
        "AccessionNumber", "ReferringPhysicianName", "SeriesNumber", "AcquisitionNumber", "PatientPosition",
        "PositionReferenceIndicator", "Laterality",
    ):  # fmt: skip
        setattr(dataset, empty, None)
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    dataset.PixelRepresentation = 1
    dataset.RescaleIntercept = 0
    dataset.BurnedInAnnotation = "NO"
    dataset.LossyImageCompression = "00"
    return dataset


def _decimal(value: float) -> DSfloat:
    """Return a decimal string of at most 16 characters."""
    return DSfloat(float(value), auto_format=True)


def _save(dataset: Dataset, path: Path) -> None:
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.save_as(path, enforce_file_format=True)
