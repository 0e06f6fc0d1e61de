"""Projections of the patient: radiographs, mammograms, fluoroscopy and angiography. They have no place in space."""

from __future__ import annotations

from itertools import accumulate
from typing import NamedTuple

from recon_datasets.dicom_series.errors import DicomError
from recon_datasets.dicom_series.facts import image_words, kind_of
from recon_datasets.dicom_series.frame import Frame, Pixels, Times
from recon_datasets.dicom_series.header import Fields
from recon_datasets.dicom_series.rescale import rescale
from recon_datasets.dicom_series.source import Source

__all__ = ["Radiograph", "display_window", "frame_times", "read_radiograph"]

_SPACING, _AT_DETECTOR, _OF_FILM = 0x00280030, 0x00181164, 0x00182010
_MAGNIFICATION = 0x00181114
_FRAME_TIME, _FRAME_TIMES = 0x00181063, 0x00181065


class Radiograph(NamedTuple):
    """The frames of a file.

    Parameters
    ----------
    frames
        In time.
    times_s
        Their times after the first, where there are several.
    notes
        What the pixel spacing means.
    """

    frames: list[Frame]
    times_s: tuple[float, ...]
    notes: list[str]


def read_radiograph(fields: Fields, pixels: Pixels, source: Source, modality: str) -> Radiograph:
    """Return the frames of a radiograph, or of a film of them.

    Raises
    ------
    DicomError
        If there are several frames that are no film.
    """
    times = frame_times(fields, pixels.frames)
    if times is None:
        raise DicomError(
            "RECON-DICOM-MULTIFRAME",
            f"{source.label} holds {pixels.frames} frames and does not say that they follow one another in time; "
            "export single images",
        )
    slope, intercept, scaled = rescale(fields, source)
    kind = kind_of(fields, modality, image_words(fields.words(0x00080008)), 0.0, scaled=scaled, rescale=fields)
    kind = kind._replace(form="film" if pixels.frames > 1 else "radiograph", instance=fields.word(0x00080018))
    spacing, note = pixel_spacing(fields)
    frames = [
        Frame(
            pixels=pixels,
            index=index,
            corner=(0, 0),
            shape=(pixels.rows, pixels.columns),
            plane=None,
            kind=kind,
            times=Times(),
            order=(fields.number(0x00200013) or 0.0, index),
            slope=slope,
            intercept=intercept,
            thickness=0.0,
            spacing=spacing,
        )
        for index in range(pixels.frames)
    ]
    return Radiograph(frames, times, [note] if note else [])


def display_window(fields: Fields) -> dict[str, tuple[float, float]]:
    """Return the first window of the file, in its values after the rescale, as `Image.metadata`; nothing without one.

    References
    ----------
    PS3.3, C.11.2.1.2 (the centre of 1 lies between two whole numbers, hence the halves)
    """
    centre, width = fields.numbers(0x00281050)[:1], fields.numbers(0x00281051)[:1]
    if not centre or not width or not width[0] > 1:
        return {}
    exact = fields.word(0x00281056) in ("LINEAR_EXACT", "SIGMOID")
    return {"window": (centre[0], width[0]) if exact else (centre[0] - 0.5, width[0] - 1)}


def pixel_spacing(fields: Fields) -> tuple[tuple[float, float] | None, str]:
    """Return the distance in mm of columns (x) and of rows (y), or None, and a note on where it holds.

    PixelSpacing wins: in a radiograph it is there because somebody calibrated it, or it repeats the spacing at the
    detector. Without any, a square pixel is not assumed.

    References
    ----------
    PS3.3, 10.7.1.3 (pixel spacing of projection radiographs)
    """
    at_detector, stated = _pair(fields, _AT_DETECTOR), _pair(fields, _SPACING)
    if stated is not None and stated != at_detector:
        return stated, "pixel spacing as calibrated by the scanner or its user; it holds in one depth of the patient"
    found = stated or at_detector
    if found is not None:
        factor = fields.number(_MAGNIFICATION)
        stretched = "" if factor is None or factor < 1 else f", by about {factor:.3g} as the file estimates"
        return found, f"pixel spacing is that of the detector: what lies before it is magnified{stretched}"
    film = _pair(fields, _OF_FILM)
    return film, "pixel spacing is that of the scanned film" if film is not None else ""


def _pair(fields: Fields, tag: int) -> tuple[float, float] | None:
    values = fields.numbers(tag)
    return (values[1], values[0]) if len(values) == 2 and min(values) > 0 else None


def frame_times(fields: Fields, count: int) -> tuple[float, ...] | None:
    """Return the times in s of frames that follow one another, nothing for one frame, None where the file is silent."""
    if count == 1:
        return ()
    steps = fields.numbers(_FRAME_TIMES)
    if len(steps) == count:  # the first is 0
        return tuple(accumulate((0.0, *steps[1:]), lambda total, step: total + step / 1000))
    step = fields.number(_FRAME_TIME)
    if step is not None and step > 0 and not steps:
        return tuple(index * step / 1000 for index in range(count))
    return None
