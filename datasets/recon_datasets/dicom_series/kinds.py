"""Which DICOM objects are read, and as what; the names of all others."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

from pydicom import config
from pydicom.uid import UID

from recon_datasets.dicom_series.errors import DicomError
from recon_datasets.dicom_series.header import Fields, Header
from recon_datasets.dicom_series.source import Source

__all__ = [
    "DIRECTORY",
    "OBJECTS",
    "PROJECTION",
    "RECORDS",
    "UNKNOWN",
    "Object",
    "check_kind",
    "is_segmentation",
    "name_of",
]

DIRECTORY = "1.2.840.10008.1.3.10"
"""Storage class of a DICOMDIR, an index of other files, which most of them state in the meta information only."""
UNKNOWN = "object of an unknown kind"
"""What a storage class is called that the standard does not know."""
RECORDS = 0x00041220
"""Tag for the sequence of records of a DICOMDIR."""
PROJECTION = 0x70291010
"""Tag for the number of detector rows, which every DICOM-CT-PD projection has and no image."""
_STORAGE = "1.2.840.10008.5.1.4.1.1."
Form = Literal["slice", "enhanced", "nuclear", "dose", "radiograph"]


class Object(NamedTuple):
    """How the objects of a storage class are read.

    Parameters
    ----------
    modality
        As DICOM calls it.
    form
        "slice": one slice with a place in the patient, or a mosaic of them. "enhanced": many frames, each described by
        functional groups. "nuclear", "dose": many frames, placed by vectors of their own. "radiograph": one projection
        of the patient, or many in time; without a place.
    """

    modality: str
    form: Form


_ENDS: Mapping[Form, Mapping[str, str]] = {
    "slice": {"2": "CT", "4": "MR", "128": "PT"},
    "enhanced": {
        "2.1": "CT", "2.2": "CT", "4.1": "MR", "4.4": "MR", "128.1": "PT", "130": "PT",
        "13.1.1": "XA", "13.1.2": "DX", "13.1.3": "MG",
    },
    "nuclear": {"20": "NM"},
    "dose": {"481.2": "RTDOSE"},
    "radiograph": {
        "1": "CR", "1.1": "DX", "1.1.1": "DX", "1.2": "MG", "1.2.1": "MG", "1.3": "IO", "1.3.1": "IO",
        "12.1": "XA", "12.2": "RF", "481.1": "RTIMAGE",
    },
}  # fmt: skip
OBJECTS: Mapping[str, Object] = MappingProxyType(
    {_STORAGE + end: Object(name, form) for form, ends in _ENDS.items() for end, name in ends.items()}
)
"""Storage classes that are read."""


def name_of(storage: str) -> str:
    """Return what a storage class is called; words of the standard, never of the file."""
    name = UID(storage, config.IGNORE).name if storage else ""  # pydicom would quote what is no identifier
    known = name and name != storage
    return name.removesuffix(" Storage").split(" - ")[0] if known else UNKNOWN


def is_segmentation(storage: str) -> bool:
    """Whether objects of a storage class hold segments, whose pixels are no picture."""
    return "Segmentation" in name_of(storage)


def check_kind(fields: Fields, header: Header, source: Source, storage: str) -> None:
    """Refuse what is no image of a kind that is read.

    Raises
    ------
    DicomError
        Which says what it is.
    """
    if PROJECTION in fields:
        raise DicomError(
            "RECON-DICOM-PROJECTION",
            f"{source.label} is a projection, one view of a CT scan; give the folder of all its views",
        )
    if storage not in OBJECTS:
        name = name_of(storage)
        picture = header.pixels and not is_segmentation(storage)
        raise DicomError(
            "RECON-DICOM-KIND",
            f"{source.label} is no scan ({name}); remove it from the series"
            + (", or read it with kind=picture" if picture else ""),
        )
    if not header.pixels:
        raise DicomError("RECON-DICOM-KIND", f"{source.label} holds no pixels; remove it from the series")
    photometric = fields.word(0x00280004)
    if not photometric:
        raise DicomError("RECON-DICOM-DAMAGED", f"{source.label} does not describe its pixels; it may be cut off")
    if fields.integer(0x00280002, 1) != 1 or photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise DicomError(
            "RECON-DICOM-KIND",
            f"{source.label} holds colours, not a scan; remove it from the series, or read it with kind=picture",
        )
