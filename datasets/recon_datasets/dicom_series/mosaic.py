"""Siemens mosaics: many slices as tiles of one image."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from recon_datasets.dicom_series.csa import CSA_IMAGE, csa_numbers
from recon_datasets.dicom_series.errors import DicomError
from recon_datasets.dicom_series.frame import Frame, Plane, Vector
from recon_datasets.dicom_series.header import Fields
from recon_datasets.dicom_series.source import Source

__all__ = ["tiles"]

_IMAGES = 0x0019100A
_BETWEEN_SLICES = 0x00180088


class _Layout(NamedTuple):
    images: int
    normal: Vector


def tiles(whole: Frame, fields: Fields, source: Source) -> list[Frame]:
    """Cut a mosaic into its slices.

    The header places the first pixel of the mosaic as if one large slice shared the centre of the tiles; the first
    tile's own first pixel lies half the difference in size further in. Slices follow one another along the normal that
    the private header (CSA) states, which may run against row x column.

    Raises
    ------
    DicomError
        If the private header or the distance of slices is missing.
    """
    layout = _layout(fields)
    apart = fields.number(_BETWEEN_SLICES)
    if layout is None or whole.plane is None or apart is None or apart <= 0:
        raise DicomError(
            "RECON-DICOM-MOSAIC",
            f"{source.label} is a mosaic of slices without the scanner's private header, which places them; export the "
            "original, or single slices",
        )
    per_side = math.ceil(math.sqrt(layout.images))
    rows, columns = whole.shape
    if rows % per_side or columns % per_side:
        raise DicomError("RECON-DICOM-MOSAIC", f"{source.label} is a mosaic whose tiles do not fit it; export it again")
    shape = rows // per_side, columns // per_side
    plane = whole.plane
    first = (
        plane.position
        + plane.row * plane.spacing[0] * (columns - shape[1]) / 2
        + plane.column * plane.spacing[1] * (rows - shape[0]) / 2
    )
    step = plane.normal * apart * (1 if plane.normal @ layout.normal > 0 else -1)
    return [
        replace(
            whole,
            corner=((i // per_side) * shape[0], (i % per_side) * shape[1]),
            shape=shape,
            plane=Plane(first + i * step, plane.row, plane.column, plane.spacing),
        )
        for i in range(layout.images)
    ]


def _layout(fields: Fields) -> _Layout | None:
    found = csa_numbers(fields.raw(CSA_IMAGE), ("NumberOfImagesInMosaic", "SliceNormalVector"))
    counts = found.get("NumberOfImagesInMosaic") or [fields.number(_IMAGES) or 0.0]
    normal = np.array(found.get("SliceNormalVector", []))
    count = int(counts[0])
    if count < 1 or count > 10_000 or normal.shape != (3,) or abs(float(np.linalg.norm(normal)) - 1) > 1e-2:
        return None
    return _Layout(count, normal)
