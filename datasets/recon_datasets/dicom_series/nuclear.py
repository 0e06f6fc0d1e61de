"""Nuclear medicine: frames of one file, told apart by vectors of slices, times, windows and detectors."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from recon_datasets.dicom_series.errors import DicomError
from recon_datasets.dicom_series.facts import image_words
from recon_datasets.dicom_series.frame import Frame, Kind, Pixels, Plane, Times
from recon_datasets.dicom_series.header import Fields
from recon_datasets.dicom_series.plane import no_geometry, plane_of
from recon_datasets.dicom_series.rescale import rescale
from recon_datasets.dicom_series.source import Source

__all__ = ["read_nuclear"]

_DETECTORS, _BETWEEN_SLICES, _UNITS = 0x00540022, 0x00180088, 0x00541001
_WINDOW, _DETECTOR, _SLICE = 0x00540010, 0x00540020, 0x00540080
_TIMES = (0x00540030, 0x00540060, 0x00540070, 0x00540100)
"""Vectors of the phase, the interval between heartbeats, the slot within it, and the slice in time."""
_RECONSTRUCTED, _PLANAR = ("RECON TOMO", "RECON GATED TOMO"), ("STATIC", "DYNAMIC", "GATED", "WHOLE BODY")
_UNIT_NAMES = {"CNTS": "counts", "BQML": "Bq/ml", "GML": "g/ml"}


class _Vectors(NamedTuple):
    """For each frame: numbers from 1 of its window, detector and slice, and its place in time."""

    windows: list[int]
    detectors: list[int]
    slices: list[int]
    times: list[tuple[float, ...]]


def read_nuclear(fields: Fields, pixels: Pixels, source: Source) -> tuple[list[Frame], DicomError | None]:
    """Return the frames of a scintigram or of reconstructed slices, and why they have no place.

    The first frame lies where its detector's item says; slice s is (s - first) x SpacingBetweenSlices from it along
    row x column, with the sign of that spacing.

    Raises
    ------
    DicomError
        If they are views of a tomography that was not reconstructed, or vectors are missing.

    References
    ----------
    PS3.3, C.8.4.8 (frames), C.8.4.11 (detectors), C.8.4.15 (reconstruction)
    """
    words = fields.words(0x00080008)
    what = words[2] if len(words) > 2 else ""
    if what in ("TOMO", "GATED TOMO"):
        raise DicomError(
            "RECON-DICOM-KIND", f"{source.label} holds views of a tomography before reconstruction, not slices"
        )
    if what not in (*_RECONSTRUCTED, *_PLANAR):
        raise DicomError("RECON-DICOM-KIND", f"{source.label} does not say which kind of NM image it is (ImageType)")
    vectors = _vectors(fields, pixels.frames, source)
    slope, intercept, _ = rescale(fields, source)
    volume = what in _RECONSTRUCTED
    planes, placeless = _planes(fields, vectors, source) if volume else ([None] * pixels.frames, None)
    several = len(set(vectors.windows)) > 1, not volume and len(set(vectors.detectors)) > 1
    spacing = fields.numbers(0x00280030)
    in_plane = (spacing[1], spacing[0]) if not volume and len(spacing) == 2 and min(spacing) > 0 else None
    moments = sorted(set(vectors.times))
    frames = []
    for index, plane in enumerate(planes):
        time = moments.index(vectors.times[index])
        form = [] if volume else ["planar"]
        form += [f"window {vectors.windows[index]}"] if several[0] else []
        form += [f"detector {vectors.detectors[index]}"] if several[1] else []
        kind = Kind(
            modality="NM",
            component="",
            echo_ms=0.0,
            words=image_words(words[:2] + words[3:]),
            unit=_UNIT_NAMES.get(fields.word(_UNITS), "arbitrary"),
            localizer=False,
            form=", ".join(form),
            instance=fields.word(0x00080018) if pixels.frames > 1 or not volume else "",
        )
        frames.append(
            Frame(
                pixels=pixels,
                index=index,
                corner=(0, 0),
                shape=(pixels.rows, pixels.columns),
                plane=plane,
                kind=kind,
                times=Times(temporal=float(time) if len(moments) > 1 else None),
                order=(time, vectors.slices[index] if volume else index),
                slope=slope,
                intercept=intercept,
                thickness=fields.number(0x00180050) or 0.0,
                spacing=in_plane,
            )
        )
    return frames, placeless


def _vectors(fields: Fields, count: int, source: Source) -> _Vectors:
    def vector(tag: int) -> list[int]:
        values = [int(value) for value in fields.numbers(tag)]
        if values and len(values) != count:
            raise DicomError(
                "RECON-DICOM-MULTIFRAME",
                f"{source.label} describes {len(values)} of its {count} frames; export it again",
            )
        return values or [1] * count

    times = [tuple(map(float, time)) for time in zip(*map(vector, _TIMES), strict=True)]
    found = _Vectors(vector(_WINDOW), vector(_DETECTOR), vector(_SLICE), times)
    if len(set(zip(*found, strict=True))) != count:
        raise DicomError(
            "RECON-DICOM-MULTIFRAME", f"{source.label} has frames that nothing tells apart; export it again"
        )
    return found


def _planes(fields: Fields, vectors: _Vectors, source: Source) -> tuple[list[Plane | None], DicomError | None]:
    nowhere: list[Plane | None] = [None] * len(vectors.slices)
    items = fields.items(_DETECTORS)
    number = vectors.detectors[0]
    # Some systems write the place where other modalities do.
    place = items[number - 1] if 1 <= number <= len(items) and 0x00200032 in items[number - 1] else fields
    first, lost = plane_of(place.numbers(0x00200037), place.numbers(0x00200032), fields.numbers(0x00280030), source)
    if first is None:
        return nowhere, lost
    apart = fields.number(_BETWEEN_SLICES)
    if len(set(vectors.slices)) == 1:
        apart = apart or 1.0
    if not apart:
        return nowhere, no_geometry(source, "SpacingBetweenSlices is missing")
    offsets = (np.array(vectors.slices) - vectors.slices[0]) * apart
    return [
        Plane(first.position + offset * first.normal, first.row, first.column, first.spacing) for offset in offsets
    ], None
