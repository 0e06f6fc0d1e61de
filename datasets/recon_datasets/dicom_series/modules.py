"""What the CT and MR image classes ask of a derived image: attributes of their own, and stored integers."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydicom.uid import CTImageStorage, MRImageStorage
from pydicom.valuerep import DSfloat

from recon.errors import CodedUsageError
from recon.io import Image
from recon_datasets.dicom_series.likeness import Likeness

__all__ = ["AXES", "attributes", "complete", "decimal", "modality_of", "stored_integers", "volume_attributes"]

AXES = (("y", "x"), ("z", "y", "x"), ("t", "y", "x"), ("t", "z", "y", "x"))
"""What a series of slices holds."""

_LARGEST = 2**15 - 1
_FINEST = 2.0**-4
"""Smallest slope: HU are rounded to 1/32 at best, far below any noise."""
_COMPONENTS = {
    "magnitude": ("OTHER", "M"),
    "phase": ("PHASE MAP", "P"),
    "real": ("OTHER", "R"),
    "imaginary": ("OTHER", "I"),
}
"""Third and fourth value of ImageType: the component, so that nobody takes one for another."""
_UNPAIRED = {
    "ABDOMEN", "ABDOMENPELVIS", "AORTA", "BACK", "BLADDER", "BRAIN", "CEREBELLUM", "CERVIX", "CHEST", "CHESTABDOMEN",
    "CHESTABDPELVIS", "CIRCLEOFWILLIS", "COCCYX", "COLON", "CORONARYARTERY", "CSPINE", "CTSPINE", "DUODENUM",
    "ESOPHAGUS", "FACE", "GALLBLADDER", "HEAD", "HEADNECK", "HEART", "ILEUM", "ILIUM", "JAW", "JEJUNUM", "LARYNX",
    "LIVER", "LSPINE", "LSSPINE", "MAXILLA", "MEDIASTINUM", "MOUTH", "NECK", "NECKCHEST", "NECKCHESTABDOMEN",
    "NECKCHESTABDPELV", "NOSE", "PANCREAS", "PELVIS", "PENIS", "PHARYNX", "PROSTATE", "RECTUM", "SCALP", "SKULL",
    "SPINE", "SPLEEN", "SSPINE", "STERNUM", "STOMACH", "THYMUS", "THYROID", "TLSPINE", "TONGUE", "TRACHEA", "TSPINE",
    "UTERUS", "VAGINA", "WHOLEBODY",
}  # fmt: skip
"""Parts of the body that come once; of all others DICOM wants the side named, if empty (PS3.3 C.7.3.1)."""


def modality_of(image: Image, source: Likeness | None) -> str:
    """Return CT or MR, whichever the image is.

    Raises
    ------
    CodedUsageError
        If it is neither, or the source is of another modality.
    """
    stated = image.metadata.get("modality")
    if source is not None and stated is not None and stated != source.modality:
        raise CodedUsageError(
            "RECON-DICOM-WRITE-SOURCE",
            f"the image is of modality {stated}, the series of `like` {source.modality}: name its source",
        )
    if stated is None and source is not None:
        stated = source.modality
    if image.unit == "HU" and stated in ("CT", None):
        return "CT"
    if image.unit == "arbitrary" and stated == "MR":
        return "MR"
    if stated == "CT" and image.unit == "arbitrary":
        fix = (
            "the image does not tell its unit, and DICOM holds CT in HU: if it is in HU, say so with --unit HU (unit= "
            "of the writer)"
        )
    elif stated is None and image.unit == "arbitrary":
        fix = (
            "the image does not tell whether it is of CT or MR: name its source with --like (like= of the writer), or "
            "write .nii.gz"
        )
    elif stated == "CT" and image.unit == "1/mm":
        fix = "DICOM holds CT in HU, and this image is in 1/mm: tell the attenuation of water, with --water"
    else:
        fix = (
            "a DICOM file is written of CT images in HU and of MR images; this one is of modality "
            f"{stated or 'unknown'} in {image.unit!r} units: write .nii.gz, or .hdf5, which keeps the unit"
        )
    raise CodedUsageError("RECON-DICOM-WRITE-KIND", fix)


def stored_integers(image: Image, modality: str) -> tuple[np.ndarray, float]:
    """Return the integers to store, (t, z, y, x), and their slope, a power of two.

    Raises
    ------
    CodedUsageError
        For other axes, and for values that are complex, not finite, or beyond 16 bits.
    """
    if image.dims not in AXES or image.data.is_complex():
        what = "complex values" if image.data.is_complex() else f"the axes {', '.join(image.dims)}"
        raise CodedUsageError(
            "RECON-DICOM-WRITE-AXES",
            f"DICOM slices hold real ([t,] z, y, x), not {what}: write parts of it, or .nii.gz",
        )
    planes = image.data.detach().cpu().reshape(-1, *image.space[-2:])
    largest, whole = 0.0, True
    for plane in planes:  # one by one: in double precision, all would take four times the image's memory
        values = plane.double().numpy()
        if not np.isfinite(values).all():
            raise CodedUsageError(
                "RECON-DICOM-WRITE-VALUES",
                "the image holds values that are not finite, which DICOM cannot: mask them first",
            )
        largest = max(largest, float(np.abs(values).max(initial=0)))
        whole = whole and bool((values == np.rint(values)).all())
    hounsfield = modality == "CT"
    if hounsfield and largest > _LARGEST:
        raise CodedUsageError(
            "RECON-DICOM-WRITE-VALUES", f"values up to {largest:g} HU do not fit 16 bits: clip them first"
        )
    slope = 1.0 if whole and largest <= _LARGEST else float(2.0 ** np.ceil(np.log2(largest / _LARGEST)))
    if hounsfield:
        slope = max(_FINEST, slope)
    stored = np.empty(tuple(planes.shape), "<i2")
    for pixels, plane in zip(stored, planes, strict=True):
        pixels[...] = np.rint(plane.double().numpy() / slope)
    volumes = image.shape[0] if image.dims[0] == "t" else 1
    return stored.reshape(volumes, -1, *stored.shape[1:]), slope


def attributes(image: Image, modality: str, tilt_deg: float) -> dict[str, Any]:
    """Return what images of a modality have of their own; None, an empty field, where the image does not tell.

    Parameters
    ----------
    image
        The image.
    modality
        CT or MR.
    tilt_deg
        Angle by which slices are sheared.
    """
    return _ct(image, tilt_deg) if modality == "CT" else _mr(image)


def volume_attributes(image: Image, volumes: int, number: int) -> dict[str, Any]:
    """Return what the slices of one of several volumes in time have, `number` counted from 0; nothing for a single one.

    A position in time by the standard, and an acquisition, by which readers that do not look at the former tell
    volumes apart.
    """
    if volumes == 1:
        return {}
    found: dict[str, Any] = {
        "TemporalPositionIdentifier": number + 1,
        "NumberOfTemporalPositions": volumes,
        "AcquisitionNumber": number + 1,
    }
    steps = np.diff(_per_volume(image, "times_s", volumes))
    if len(steps) and steps[0] > 0 and np.allclose(steps, steps[0], rtol=1e-3):
        found["TemporalResolution"] = decimal(1000 * steps[0])
    weightings = _per_volume(image, "b_values_s_mm2", volumes)
    if weightings:
        found["DiffusionBValue"] = weightings[number]
    gradients = [_per_volume(image, f"gradient_{axis}", volumes) for axis in "xyz"]
    if all(gradients) and any(along[number] for along in gradients):
        right, front, head = (along[number] for along in gradients)
        found["DiffusionGradientOrientation"] = [-right, -front, head]  # to DICOM's left, back and head
    return found


def complete(common: dict[str, Any], modality: str) -> None:
    """Fill in, or leave out, what modules ask for on a condition, once all that is told is there."""
    if not common["Laterality"] and common.get("BodyPartExamined") in _UNPAIRED:
        del common["Laterality"]
    if modality != "MR":
        return
    if not common.get("ScanningSequence"):
        # Research mode, as files tell the sequence in too many ways; an inversion time needs inversion recovery.
        common["ScanningSequence"] = "RM" if common["InversionTime"] is None else ["RM", "IR"]
    if "IR" not in common["ScanningSequence"] and common["InversionTime"] is None:
        del common["InversionTime"]
    common["SequenceVariant"] = common.get("SequenceVariant") or "NONE"
    if any(gated in (common["ScanOptions"] or "") for gated in ("CG", "PPG")):
        common.setdefault("TriggerTime", None)


def decimal(value: float) -> DSfloat:
    """Return a decimal string of at most 16 characters."""
    return DSfloat(float(value), auto_format=True)


def _ct(image: Image, tilt_deg: float) -> dict[str, Any]:
    found = {
        "SOPClassUID": CTImageStorage,
        "Modality": "CT",
        "ImageType": ["DERIVED", "SECONDARY", "AXIAL"],
        "RescaleType": "HU",
        "KVP": _fact(image, "kvp"),
    }
    if tilt_deg:
        found["GantryDetectorTilt"] = decimal(round(tilt_deg, 4))
    return found


def _mr(image: Image) -> dict[str, Any]:
    return {
        "SOPClassUID": MRImageStorage,
        "Modality": "MR",
        "ImageType": ["DERIVED", "SECONDARY", *_COMPONENTS.get(str(image.quantity), ("OTHER",))],
        "RescaleType": "US",  # unspecified
        "InversionTime": _fact(image, "inversion_time_ms"),
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
    return decimal(value) if isinstance(value, (int, float)) else None


def _per_volume(image: Image, name: str, volumes: int) -> list[float]:
    """Return a list of the metadata with one number a volume; nothing if there is none."""
    values = image.metadata.get(name)
    if not isinstance(values, tuple) or len(values) != volumes:
        return []
    return [float(value) for value in values]
