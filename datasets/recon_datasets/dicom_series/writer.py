"""CT and MR images as DICOM."""

from __future__ import annotations

import secrets
from copy import deepcopy
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import MaxLen
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from pydicom.valuerep import DSfloat

import recon
from recon.errors import CodedUsageError, FileFormatError, UsageError
from recon.io import Image, Measurement
from recon.io.confidentiality import Pseudonyms, confidential
from recon_datasets.dicom_series.likeness import Likeness, code
from recon_datasets.dicom_series.modules import (
    attributes,
    complete,
    decimal,
    modality_of,
    stored_integers,
    volume_attributes,
)

__all__ = ["DicomWriter"]

_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_RIGHT = 1e-3
"""Cosine up to which an angle is taken for a right one."""
_MAKER = "recon-toolkit"
_DISCLAIMER = "Not for diagnosis"


class DicomWriter:
    r"""Writes a CT image in Hounsfield units, or an MR image: a slice as a file, volumes as a folder of slices.

    Each is a valid CT or MR Image Storage object with ImageType DERIVED\SECONDARY, new identifiers, and the image's
    place in the patient (RAS turned to DICOM's LPS). Values become 16-bit integers with one slope, a power of two: 1
    where all are whole numbers, else the smallest that holds their range, of CT at least 1/16 HU; the rounding error
    is told in the description of the derivation. Every description says that the image is not for diagnosis.

    Volumes in time are one series with positions in time. Slices that are sheared against each other, as those of a
    tilted gantry are, keep their own positions. Other kinds (PET, maps with a unit), other axes, and pixels that are
    no rectangles are refused with a code.

    With `like`, the image joins the study of the series that it was computed of: patient, study, frame of reference
    and acquisition are taken over by a list of what may be (nothing else is read), each slice refers to the slices
    that it lies in, the scanner is named as contributing equipment, and lossy compression stays on record. Without it,
    the patient's name and number are left empty, and only technical facts that the image carries go into the file.

    Parameters
    ----------
    like
        Folder or file of the source series.
    description
        Description of the series, before "Not for diagnosis"; ASCII, of at most 40 characters.
    window
        (center, width) for viewers. By default 40, 400 HU for CT, and the range of the middle 98 % of an MR image.
    unit
        "HU" says that the values of a CT image whose file tells no unit, as NIfTI does not, are in HU.
    anonymous
        Replace all identifiers by keyed hashes, remove what PS3.15's basic profile removes, and say so.
    key_file
        File with the secret behind these hashes, of at least 16 bytes: the same as that of ``recon deidentify --key``
        keeps the image beside the de-identified source. A new secret, which is not kept, by default.
    """

    def __init__(
        self,
        *,
        like: str | None = None,
        description: Annotated[str, MaxLen(40)] = "",
        window: tuple[float, float] | None = None,
        unit: Literal["HU"] | None = None,
        anonymous: bool = False,
        key_file: str | None = None,
    ) -> None:
        if not (description.isascii() and description.isprintable()) or "\\" in description:
            raise UsageError("description: DICOM takes printable ASCII without a backslash here")
        if window is not None and not window[1] >= 1:
            raise UsageError(f"window: the width {window[1]:g} must be at least 1")
        if key_file is not None and not anonymous:
            raise UsageError("key_file is the secret of an anonymous image: add anonymous=True, or leave it out")
        self.like = like
        self.description = description
        self.window = window
        self.unit = unit
        self.anonymous = anonymous
        self.key_file = key_file

    def write(self, image: Image | Measurement, path: Path) -> None:
        """Write (y, x) to a file, ([t,] z, y, x) into the folder `path`, or to a file if it has one slice.

        Raises
        ------
        CodedUsageError
            RECON-DICOM-WRITE-KIND, -AXES, -PLACE or -VALUES for what DICOM does not hold; RECON-DICOM-WRITE-SOURCE if
            the image is of another modality than the series of `like`, or lies elsewhere.
        UsageError
            For several slices where `path` is a file, and a key that can be guessed.
        FileFormatError
            If that series, or the key, cannot be read.
        """
        if not isinstance(image, Image):
            raise UsageError("a DICOM file holds an image, not a measurement: reconstruct it first, or write .h5")
        source = None if self.like is None else Likeness.of(Path(self.like))
        if self.unit is not None and image.unit == "arbitrary":
            image = replace(image, unit=self.unit, quantity=None)
        modality = modality_of(image, source)
        values, slope = stored_integers(image, modality)
        count = values.shape[0] * values.shape[1]
        if not path.is_dir() and count > 1:
            raise UsageError(f"a DICOM file holds one slice, this image has {count}: give the name of a folder")
        slices = self._slices(image, modality, values, slope, source)
        if not path.is_dir():
            _save(slices[0], path)
            return
        for number, dataset in enumerate(slices, start=1):
            _save(dataset, path / f"slice_{number:04d}.dcm")

    def _slices(
        self, image: Image, modality: str, values: np.ndarray, slope: float, source: Likeness | None
    ) -> list[Dataset]:
        affine, tilt = _place(image)
        spacing = np.linalg.norm(affine[:3, :3], axis=0)
        axes = affine[:3, :2] / spacing[:2]
        common = _common() | ({} if source is None else source.common())
        # What the image itself tells goes before what its source does.
        technical = attributes(image, modality, tilt)
        common |= {name: value for name, value in technical.items() if value is not None or name not in common}
        complete(common, modality)
        common |= {
            "SeriesInstanceUID": generate_uid(),
            "ImageOrientationPatient": [decimal(v) for v in axes.T.ravel()],
            "PixelSpacing": [decimal(spacing[1]), decimal(spacing[0])],
            "SliceThickness": decimal(abs(np.cross(*axes.T) @ affine[:3, 2])),
            "RescaleSlope": decimal(slope),
            **self._window(modality, values, slope),
            **_contribution(source),
        }
        for name in ("StudyInstanceUID", "FrameOfReferenceUID"):
            common[name] = common.get(name) or generate_uid()
        references = None if source is None else source.references(affine, values.shape)
        pseudonyms = Pseudonyms(self._key()) if self.anonymous else None
        found: list[Dataset] = []
        for (volume, number), pixels in zip(
            np.ndindex(values.shape[:2]), values.reshape(-1, *values.shape[2:]), strict=True
        ):
            dataset = Dataset()
            for name, value in (common | volume_attributes(image, len(values), volume)).items():
                setattr(dataset, name, value)
            dataset.SOPInstanceUID = generate_uid()
            dataset.InstanceNumber = len(found) + 1
            dataset.ImagePositionPatient = [decimal(v) for v in affine[:3, 3] + number * affine[:3, 2]]
            dataset.Rows, dataset.Columns = pixels.shape
            if references is not None and references[volume][number]:
                dataset.SourceImageSequence = references[volume][number]
            if pseudonyms is not None:
                # Items are shared by slices, and are changed in place.
                dataset = deepcopy(dataset)
                confidential(dataset, pseudonyms)
            self._describe(dataset, slope)
            dataset.PixelData = np.ascontiguousarray(pixels).tobytes()
            found.append(dataset)
        return found

    def _describe(self, dataset: Dataset, slope: float) -> None:
        rounding = "" if slope == 1 else f" Values are rounded by at most {slope / 2:.3g}."
        dataset.SeriesDescription = f"{self.description} - {_DISCLAIMER}" if self.description else _DISCLAIMER
        dataset.DerivationDescription = f"Computed by recon {recon.__version__}.{rounding} {_DISCLAIMER}."
        dataset.ImageComments = _DISCLAIMER

    def _window(self, modality: str, values: np.ndarray, slope: float) -> dict[str, DSfloat]:
        if self.window is not None:
            center, width = self.window
        elif modality == "CT":
            center, width = 40.0, 400.0  # soft tissue, where CT consoles start
        else:
            low, high = (float(v) * slope for v in np.percentile(values, (1, 99)))
            center, width = (low + high) / 2, max(high - low, slope)
            if width < 1:
                return {}  # DICOM wants at least 1, and viewers find a window by themselves
        return {"WindowCenter": decimal(center), "WindowWidth": decimal(width)}

    def _key(self) -> bytes:
        if self.key_file is None:
            return secrets.token_bytes(32)
        try:
            key = Path(self.key_file).read_bytes()
        except OSError as error:
            raise FileFormatError(f"{self.key_file} (key_file) cannot be read: {error.strerror}") from error
        if len(key) < 16:
            raise UsageError(f"a key of {len(key)} bytes can be guessed: give a file with at least 16 bytes of chance")
        return key


def _place(image: Image) -> tuple[np.ndarray, float]:
    """Return the affine to LPS, and the angle in degrees by which slices are sheared, positive towards +y.

    Raises
    ------
    CodedUsageError
        If it is not known, or rows and columns are not at right angles.
    """
    if image.affine is None:
        raise CodedUsageError(
            "RECON-DICOM-WRITE-PLACE",
            "the image has no place in a patient (affine), which DICOM needs: write .nii.gz or .hdf5",
        )
    affine = _RAS_TO_LPS @ image.affine
    row, column, step = (affine[:3, i] / np.linalg.norm(affine[:3, i]) for i in range(3))
    if abs(row @ column) > _RIGHT:
        raise CodedUsageError(
            "RECON-DICOM-WRITE-PLACE",
            "the rows and columns of the image are not at right angles, which those of DICOM slices are: resample it "
            "first",
        )
    along, aside = abs(np.cross(row, column) @ step), np.array([row @ step, column @ step])
    if np.abs(aside).max() <= _RIGHT:
        return affine, 0.0
    return affine, float(np.copysign(np.degrees(np.arctan2(np.linalg.norm(aside), along)), aside[1]))


def _common() -> dict[str, Any]:
    """Return what every slice has: constants, and the empty fields that the standard wants to be there."""
    empty = (
        "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID",
        "AccessionNumber", "ReferringPhysicianName", "SeriesNumber", "AcquisitionNumber", "PatientPosition",
        "PositionReferenceIndicator", "Laterality",
    )  # fmt: skip
    return dict.fromkeys(empty) | {
        "Manufacturer": _MAKER,
        "ManufacturerModelName": "recon",
        "SoftwareVersions": recon.__version__,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 1,
        "RescaleIntercept": 0,
    }


def _contribution(source: Likeness | None) -> dict[str, Any]:
    """Return which machines made the image, and when it joined its study."""
    own = Dataset()
    own.Manufacturer, own.ManufacturerModelName, own.SoftwareVersions = _MAKER, "recon", recon.__version__
    own.PurposeOfReferenceCodeSequence = [code("109103", "Modifying Equipment")]
    if source is None:
        return {"ContributingEquipmentSequence": [own]}
    now = datetime.now().astimezone()
    date, time = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
    own.ContributionDateTime = now.strftime("%Y%m%d%H%M%S%z")
    found = {
        f"{what}{kind}": value
        for what in ("InstanceCreation", "Series", "Content")
        for kind, value in (("Date", date), ("Time", time))
    }
    return {
        "ContributingEquipmentSequence": [source.equipment(), own],
        "SeriesNumber": source.series_number(),
        **found,
    }


def _save(dataset: Dataset, path: Path) -> None:
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.save_as(path, enforce_file_format=True)
