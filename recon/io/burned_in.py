"""Which DICOM images are likely to show text, or a face, in their pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["burned_in", "may_show_face"]

_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
"""Secondary Capture Image Storage; its multi-frame kin begin likewise."""
_LETTERED = {
    "US": "ultrasound", "IVUS": "intravascular ultrasound", "ES": "endoscopy", "GM": "microscopy",
    "SM": "slide microscopy", "XC": "a photograph", "OP": "an ophthalmic photograph", "ECG": "an electrocardiogram",
    "EPS": "electrophysiology", "DOC": "a document", "OT": "of no known kind", "SC": "a capture",
    "RG": "a scanned film", "HC": "a hard copy", "BMD": "densitometry", "SR": "a report", "AU": "audio",
    "KO": "a selection",
}  # fmt: skip
"""Modalities whose machines draw text into the image, as words."""
_PLATES = {"CR", "DX", "IO", "MG", "PX", "RF", "XA", "RTIMAGE"}
"""Modalities that often, not always, carry letters; they must deny it."""
_CAPTURE_WORDS = ("SCREEN", "CAPTURE", "SAVE", "DOSE", "REPORT", "PROTOCOL", "SCANOGRAM")
_HEADLESS = {
    "ABDOMEN", "ABDOMENPELVIS", "ANKLE", "ARM", "BREAST", "CHEST", "CHESTABDOMEN", "CHESTABDPELVIS", "ELBOW", "FOOT",
    "HAND", "HEART", "HIP", "KIDNEY", "KNEE", "LEG", "LIVER", "LSPINE", "LUNG", "PELVIS", "PROSTATE", "SHOULDER",
    "TSPINE", "WRIST",
}  # fmt: skip


def burned_in(dataset: Dataset) -> str:
    """Return why the pixels are likely to show text, as the start of a sentence; nothing if they are not."""
    stated = str(dataset.get("BurnedInAnnotation", ""))
    modality = str(dataset.get("Modality", ""))
    words = [str(word).upper() for word in _listed(dataset.get("ImageType"))]
    if stated == "YES":
        return "the file says that text is burned in"
    if str(dataset.get("SOPClassUID", "")).startswith(_CAPTURE) or "ConversionType" in dataset:
        return "it is a secondary capture"
    if any(mark in word for word in words[2:] for mark in _CAPTURE_WORDS):
        return "its type says that it is a picture of a screen"
    if modality in _LETTERED:
        return f"it is {_LETTERED[modality]}"
    if dataset.get("SamplesPerPixel", 1) != 1 or str(dataset.get("PhotometricInterpretation")) == "PALETTE COLOR":
        return "it is in colour, as no scan is"
    if modality in _PLATES and stated != "NO":
        return "it is a radiograph that does not say that no text is burned in"
    if not modality:
        return "it does not say of which kind it is"
    return ""


def may_show_face(dataset: Dataset) -> bool:
    """Whether a volume may hold a head: cross-sections of one, or of a part of the body that is not told."""
    part = str(dataset.get("BodyPartExamined", "")).replace(" ", "").upper()
    return str(dataset.get("Modality", "")) in ("CT", "MR", "PT") and part not in _HEADLESS


def _listed(value: object) -> list[object]:
    if value is None or value == "":
        return []
    return [value] if isinstance(value, str) else list(value)  # type: ignore[call-overload]
