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
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid
from pydicom.valuerep import DSfloat

import recon
from recon.errors import FileFormatError, UsageError
from recon.io import Image, Measurement
from recon.io.confidentiality import Pseudonyms, confidential
from recon_datasets.dicom_series.likeness import Likeness, code

__all__ = ["DicomWriter"]

_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_LARGEST = 2**15 - 1
_FINEST = 2.0**-4
"""Smallest slope: HU are rounded to 1/32 at best, far below any noise."""
_MAKER = "recon-toolkit"
_PAIRED = {"ANKLE", "ARM", "BREAST", "ELBOW", "EYE", "FEMUR", "FOOT", "HAND", "HIP", "KNEE", "LEG", "SHOULDER", "WRIST"}
"""Parts of the body of which DICOM wants the side named, if empty; of others it must not be there."""
_DISCLAIMER = "Not for diagnosis"


class DicomWriter:
    r"""Writes a CT image in Hounsfield units, or an MR image: a slice as a file, a volume as a folder of slices.

    Each is a valid CT or MR Image Storage object with ImageType DERIVED\SECONDARY, new identifiers, and the image's
    place in the patient (RAS turned to DICOM's LPS). Values become 16-bit integers with one slope, a power of two: 1
    where all are whole numbers, else the smallest that holds their range, of CT at least 1/16 HU; the rounding error
    is told in the description of the derivation. Every description says that the image is not for diagnosis.

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
        """Write (y, x) to a file, (z, y, x) into the folder `path`, or to a file if it has one slice.

        Raises
        ------
        UsageError
            For what is neither a CT image in HU nor an MR image, not real and finite, beyond 16 bits, or has no, or a
            sheared, affine; for a volume where `path` is a file; and if the image is of another modality than the
            series of `like`, or lies elsewhere.
        FileFormatError
            If that series, or the key, cannot be read.
        """
        if not isinstance(image, Image):
            raise UsageError("a DICOM file holds an image, not a measurement: reconstruct it first, or write .h5")
        source = None if self.like is None else Likeness.of(Path(self.like))
        if self.unit is not None and image.unit == "arbitrary":
            image = replace(image, unit=self.unit, quantity=None)
        modality = _modality(image, source)
        values, slope = _stored(image, modality)
        if not path.is_dir() and len(values) > 1:
            raise UsageError(f"a DICOM file holds one slice, this volume has {len(values)}: give the name of a folder")
        slices = self._slices(image, modality, values, slope, source)
        if not path.is_dir():
            _save(slices[0], path)
            return
        for number, dataset in enumerate(slices, start=1):
            _save(dataset, path / f"slice_{number:04d}.dcm")

    def _slices(
        self, image: Image, modality: str, values: np.ndarray, slope: float, source: Likeness | None
    ) -> list[Dataset]:
        if image.affine is None:
            raise UsageError("the image has no place in a patient (affine), which DICOM needs: write .nii.gz")
        affine = _RAS_TO_LPS @ image.affine
        spacing = np.linalg.norm(affine[:3, :3], axis=0)
        axes = affine[:3, :3] / spacing
        if not np.allclose(axes.T @ axes, np.eye(3), atol=1e-3):
            raise UsageError("the image's axes are not at right angles, which DICOM slices are: resample it first")
        common = _common() | ({} if source is None else source.common())
        # What the image itself tells goes before what its source does.
        technical = _ct(image) if modality == "CT" else _mr(image)
        common |= {name: value for name, value in technical.items() if value is not None or name not in common}
        if modality == "MR":
            _complete_sequence(common)
        if not common["Laterality"] and common.get("BodyPartExamined") and common["BodyPartExamined"] not in _PAIRED:
            del common["Laterality"]
        common |= {
            "SeriesInstanceUID": generate_uid(),
            "ImageOrientationPatient": [_decimal(v) for v in axes[:, :2].T.ravel()],
            "PixelSpacing": [_decimal(spacing[1]), _decimal(spacing[0])],
            "SliceThickness": _decimal(spacing[2]),
            "RescaleSlope": _decimal(slope),
            **self._window(modality, values, slope),
            **_contribution(source),
        }
        for name in ("StudyInstanceUID", "FrameOfReferenceUID"):
            common[name] = common.get(name) or generate_uid()
        references = None if source is None else source.references(affine, values.shape)
        pseudonyms = Pseudonyms(self._key()) if self.anonymous else None
        found = []
        for number, pixels in enumerate(values):
            dataset = Dataset()
            for name, value in common.items():
                setattr(dataset, name, value)
            dataset.SOPInstanceUID = generate_uid()
            dataset.InstanceNumber = number + 1
            dataset.ImagePositionPatient = [_decimal(v) for v in affine[:3, 3] + number * affine[:3, 2]]
            dataset.Rows, dataset.Columns = pixels.shape
            if references is not None and references[number]:
                dataset.SourceImageSequence = references[number]
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
        return {"WindowCenter": _decimal(center), "WindowWidth": _decimal(width)}

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


def _modality(image: Image, source: Likeness | None) -> str:
    """Return CT or MR, whichever the image is."""
    stated = image.metadata.get("modality")
    if source is not None and stated is not None and stated != source.modality:
        raise UsageError(f"the image is of modality {stated}, the series of `like` {source.modality}: name its source")
    if stated is None and source is not None:
        stated = source.modality
    if image.unit == "HU" and stated in ("CT", None):
        return "CT"
    if image.unit == "arbitrary" and stated == "MR":
        return "MR"
    if stated == "CT" and image.unit == "arbitrary":
        raise UsageError(
            "the image does not tell its unit, and DICOM holds CT in HU: if it is in HU, give the writer unit=HU "
            "(--writer '{use: dicom_series, unit: HU}')"
        )
    raise UsageError(
        "a DICOM file is written of CT images in HU and of MR images; this one is of modality "
        f"{stated or 'unknown'} in {image.unit!r} units: write .nii.gz"
    )


def _stored(image: Image, modality: str) -> tuple[np.ndarray, float]:
    """Return the stored integers (z, y, x) and their slope."""
    if image.dims not in (("y", "x"), ("z", "y", "x")) or image.data.is_complex():
        raise UsageError(f"DICOM slices hold real (z, y, x), not {image.dims}: write .nii.gz")
    values = image.data.detach().cpu().double().numpy().reshape(-1, *image.space[-2:])
    if not np.isfinite(values).all():
        raise UsageError("the image holds values that are not finite, which DICOM cannot: mask them first")
    largest = float(np.abs(values).max(initial=0))
    hounsfield = modality == "CT"
    if hounsfield and largest > _LARGEST:
        raise UsageError(f"values up to {largest:g} HU do not fit 16 bits: clip them first")
    whole = largest <= _LARGEST and bool((values == np.rint(values)).all())
    slope = 1.0 if whole else float(2.0 ** np.ceil(np.log2(largest / _LARGEST)))
    if hounsfield:
        slope = max(_FINEST, slope)
    return np.rint(values / slope).astype("<i2"), slope


def _ct(image: Image) -> dict[str, Any]:
    """Return what CT images have of their own."""
    return {
        "SOPClassUID": CTImageStorage,
        "Modality": "CT",
        "ImageType": ["DERIVED", "SECONDARY", "AXIAL"],
        "RescaleType": "HU",
        "KVP": _fact(image, "kvp"),
    }


def _mr(image: Image) -> dict[str, Any]:
    """Return what MR images have of their own."""
    inversion = _fact(image, "inversion_time_ms")
    return {
        "SOPClassUID": MRImageStorage,
        "Modality": "MR",
        "ImageType": ["DERIVED", "SECONDARY", "OTHER"],
        "RescaleType": "US",  # unspecified
        "InversionTime": inversion,
        "ScanOptions": None,
        "MRAcquisitionType": None,
        "EchoTrainLength": None,
        "EchoTime": _fact(image, "echo_time_ms"),
        "RepetitionTime": _fact(image, "repetition_time_ms"),
        "FlipAngle": _fact(image, "flip_angle_deg"),
        "MagneticFieldStrength": _fact(image, "field_strength_T"),
    }


def _complete_sequence(common: dict[str, Any]) -> None:
    """Fill in what the MR module asks for, where neither image nor source tells."""
    if not common.get("ScanningSequence"):
        # Research mode, as files tell the sequence in too many ways; an inversion time needs inversion recovery.
        common["ScanningSequence"] = "RM" if common["InversionTime"] is None else ["RM", "IR"]
    if "IR" not in common["ScanningSequence"] and common["InversionTime"] is None:
        del common["InversionTime"]
    common["SequenceVariant"] = common.get("SequenceVariant") or "NONE"
    if any(gated in (common["ScanOptions"] or "") for gated in ("CG", "PPG")):
        common.setdefault("TriggerTime", None)


def _fact(image: Image, name: str) -> DSfloat | None:
    """Return a number of the metadata; None, an empty field, where it is not told."""
    value = image.metadata.get(name)
    return _decimal(value) if isinstance(value, (int, float)) else None


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


def _decimal(value: float) -> DSfloat:
    """Return a decimal string of at most 16 characters."""
    return DSfloat(float(value), auto_format=True)


def _save(dataset: Dataset, path: Path) -> None:
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.save_as(path, enforce_file_format=True)
