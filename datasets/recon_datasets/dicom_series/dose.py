"""Dose of radiotherapy plans: a grid of planes in one file."""

from __future__ import annotations

import numpy as np

from recon_datasets.dicom_series.errors import DicomError
from recon_datasets.dicom_series.frame import Frame, Kind, Pixels, Plane, Times
from recon_datasets.dicom_series.header import Fields
from recon_datasets.dicom_series.plane import no_geometry, plane_of
from recon_datasets.dicom_series.source import Source

__all__ = ["read_dose"]

_OFFSETS, _SCALING = 0x3004000C, 0x3004000E
_UNIT, _TYPE, _SUM = 0x30040002, 0x30040004, 0x3004000A
_SAME = 0.01
"""Largest difference in mm between the first offset and the position that it repeats."""
_AXIAL = 1e-4


def read_dose(fields: Fields, pixels: Pixels, source: Source) -> tuple[list[Frame], DicomError | None, list[str]]:
    """Return the planes of a dose, why they have no place, and notes.

    GridFrameOffsetVector counts from the first plane along row x column if it begins with 0, and otherwise tells each
    plane's own z in the patient (axial planes only). DoseGridScaling makes dose of stored values.

    Raises
    ------
    DicomError
        If offsets do not fit the planes, or the scaling is missing.

    References
    ----------
    PS3.3, C.8.8.3
    """
    scaling = fields.number(_SCALING)
    if scaling is None or scaling <= 0:
        raise DicomError("RECON-DICOM-RESCALE", f"{source.label} has no DoseGridScaling, so its dose is unknown")
    offsets = fields.numbers(_OFFSETS)
    if len(offsets) != pixels.frames and (offsets or pixels.frames > 1):
        raise DicomError(
            "RECON-DICOM-MULTIFRAME",
            f"{source.label} places {len(offsets)} of its {pixels.frames} planes; export it again",
        )
    first, placeless = plane_of(
        fields.numbers(0x00200037), fields.numbers(0x00200032), fields.numbers(0x00280030), source
    )
    planes: list[Plane | None] = [None] * pixels.frames
    if first is not None:
        heights = _heights(first, np.array(offsets or [0.0]))
        if heights is None:
            placeless = no_geometry(source, "GridFrameOffsetVector counts neither from the first plane nor along z")
        else:
            planes = [
                Plane(first.position + height * first.normal, first.row, first.column, first.spacing)
                for height in heights
            ]
    unit, what, total = (fields.word(tag) for tag in (_UNIT, _TYPE, _SUM))
    kind = Kind(
        modality="RTDOSE",
        component="",
        echo_ms=0.0,
        words=(what, total),
        unit="Gy" if unit == "GY" else "arbitrary",
        localizer=False,
        instance=fields.word(0x00080018) if pixels.frames > 1 else "",
    )
    notes = {"RELATIVE": ["dose relative to a value that the file does not tell"]}.get(unit, [])
    notes += {"EFFECTIVE": ["dose weighted by biological effect"], "ERROR": ["difference of doses"]}.get(what, [])
    frames = [
        Frame(
            pixels=pixels,
            index=index,
            corner=(0, 0),
            shape=(pixels.rows, pixels.columns),
            plane=plane,
            kind=kind,
            times=Times(),
            order=(fields.number(0x00200013) or 0.0, index),
            slope=scaling,
            intercept=0.0,
            thickness=fields.number(0x00180050) or 0.0,
        )
        for index, plane in enumerate(planes)
    ]
    return frames, placeless, notes


def _heights(first: Plane, offsets: np.ndarray) -> np.ndarray | None:
    """Return the distances of planes from the first along its normal, or None if the offsets cannot be understood."""
    if offsets[0] == 0:
        return offsets
    z = first.normal[2]
    if abs(abs(z) - 1) > _AXIAL or abs(offsets[0] - first.position[2]) > _SAME:
        return None
    return (offsets - offsets[0]) * np.sign(z)
