"""A DICOM file as frames: classic slices, Siemens mosaics and enhanced multi-frame images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from recon_datasets.dicom_series.diffusion import weighting
from recon_datasets.dicom_series.dose import read_dose
from recon_datasets.dicom_series.enhanced import Groups
from recon_datasets.dicom_series.errors import DicomError
from recon_datasets.dicom_series.facts import echo_ms, image_words, kind_of, technical
from recon_datasets.dicom_series.frame import DicomFile, Frame, Pixels, Times
from recon_datasets.dicom_series.header import Fields, Header, read_header
from recon_datasets.dicom_series.kinds import DIRECTORY, OBJECTS, PROJECTION, RECORDS, Object, check_kind, name_of
from recon_datasets.dicom_series.mosaic import tiles
from recon_datasets.dicom_series.nuclear import read_nuclear
from recon_datasets.dicom_series.pixels import check_size
from recon_datasets.dicom_series.plane import plane_of
from recon_datasets.dicom_series.radiograph import display_window, read_radiograph
from recon_datasets.dicom_series.rescale import rescale
from recon_datasets.dicom_series.source import Source
from recon_datasets.dicom_series.suv import uptake_facts
from recon_datasets.dicom_series.timing import time_slice

__all__ = ["is_projection", "pixels_in", "read_file"]

_SHARED_GROUPS, _FRAME_GROUPS = 0x52009229, 0x52009230
_TEXT = {
    "PatientName": 0x00100010, "PatientID": 0x00100020, "StudyDate": 0x00080020, "StudyDescription": 0x00081030,
    "SeriesDescription": 0x0008103E, "ProtocolName": 0x00181030, "AccessionNumber": 0x00080050,
}  # fmt: skip


class _Content(NamedTuple):
    """Frames of a file, why they have no place, oddities, and times of films."""

    frames: list[Frame]
    placeless: DicomError | None
    notes: Sequence[str] = ()
    times_s: tuple[float, ...] = ()


def read_file(source: Source, *, text: bool = False) -> DicomFile | None:
    """Read a file's header; None for a DICOMDIR, which is an index of others. Call it within `quiet`.

    What is wrong with the file is told in the result, so that one bad file is no obstacle to another series.

    Parameters
    ----------
    source
        The file.
    text
        Also keep descriptions and identifiers.
    """
    try:
        header = read_header(source)
    except DicomError as error:
        return DicomFile(source, "", "", "", None, "unknown", error=error)
    fields = header.fields
    storage = fields.word(0x00080016)
    if storage == DIRECTORY or RECORDS in fields:
        return None
    number = fields.number(0x00200011)
    known = DicomFile(
        source,
        study=fields.word(0x0020000D),
        series=fields.word(0x0020000E),
        frame_of_reference=fields.word(0x00200052),
        series_number=None if number is None else int(number),
        modality=OBJECTS[storage].modality if storage in OBJECTS else name_of(storage),
    )
    if text:
        known = replace(known, text={name: "\\".join(fields.words(tag)) for name, tag in _TEXT.items()})
    try:
        check_kind(fields, header, source, storage)
        pixels = pixels_in(header, source)
        check_size(pixels)
        found = _read(fields, pixels, source, OBJECTS[storage])
    except DicomError as error:
        return replace(known, error=error)
    except RecursionError:
        nested = DicomError("RECON-DICOM-NESTING", f"{source.label} nests sequences too deeply; it is damaged")
        return replace(known, error=nested)
    except Exception:  # noqa: BLE001 - on damage, pydicom raises almost anything, quoting the file's bytes
        damaged = DicomError("RECON-DICOM-DAMAGED", f"{source.label} is damaged or cut off; copy it again")
        return replace(known, error=damaged)
    notes = ["stored for inverted display (MONOCHROME1); values are as stored"] if _inverted(fields) else []
    notes += ["read as little endian, as assumed: TransferSyntaxUID is missing"] if header.assumed else []
    facts: dict[str, Any] = {"modality": known.modality} | technical(fields)
    facts |= {"photometric": "MONOCHROME1"} if _inverted(fields) else {}
    facts |= {"times_s": found.times_s} if found.times_s else {}
    facts |= display_window(fields) if OBJECTS[storage].form == "radiograph" else {}
    return replace(
        known,
        frames=tuple(found.frames),
        placeless=found.placeless,
        technical=facts,
        notes=(*notes, *found.notes),
        suv=uptake_facts(fields) if known.modality == "PT" else {},
    )


def is_projection(source: Source) -> bool:
    """Whether a DICOM file is a projection in the DICOM-CT-PD format."""
    try:
        return PROJECTION in read_header(source).fields
    except DicomError:
        return False


def _inverted(fields: Fields) -> bool:
    return fields.word(0x00280004) == "MONOCHROME1"


def pixels_in(header: Header, source: Source) -> Pixels:
    """Return how the pixels of a file are stored.

    Raises
    ------
    DicomError
        If the header does not say, or says what is not read.
    """
    fields = header.fields
    rows, columns = fields.integer(0x00280010, 0), fields.integer(0x00280011, 0)
    allocated = fields.integer(0x00280100, 0)
    floating = header.pixels != 0x7FE00010
    used = allocated if floating else fields.integer(0x00280101, allocated)
    high = used - 1 if floating else fields.integer(0x00280102, used - 1)
    frames = fields.integer(0x00280008, 1)
    if rows <= 0 or columns <= 0 or frames <= 0:
        raise DicomError("RECON-DICOM-DAMAGED", f"{source.label} does not say its size; copy it again")
    if allocated not in ((32, 64) if floating else (8, 16, 32)) or not 0 < used <= high + 1 <= allocated:
        raise DicomError(
            "RECON-DICOM-PIXELS", f"{source.label} has values of {used} bits in {allocated}, which are not read"
        )
    padding = fields.number(0x00280120)
    limit = fields.number(0x00280121)
    signed = bool(fields.integer(0x00280103, 0))
    if padding is not None and signed and padding >= 2 ** (used - 1):
        padding -= 2**used  # written as unsigned, as the dictionary's "US or SS" allows
    return Pixels(
        source=source,
        syntax=header.syntax,
        little_endian=header.little_endian,
        offset=header.offset,
        length=header.length,
        rows=rows,
        columns=columns,
        frames=frames,
        allocated=allocated,
        used=used,
        high=high,
        signed=signed,
        floating=floating,
        padding=None if padding is None else (min(padding, limit or padding), max(padding, limit or padding)),
        table=_table(fields, source),
        inflated=header.inflated,
    )


def _table(fields: Fields, source: Source) -> tuple[int, np.ndarray] | None:
    """Return the modality table: values for stored values from a first one on; the ends stand for what lies beyond."""
    found = fields.items(0x00283000)
    if not found:
        if 0x00283000 in fields:
            raise DicomError("RECON-DICOM-RESCALE", f"{source.label} has an empty modality table; export it again")
        return None
    descriptor = found[0].numbers(0x00283002)
    raw = found[0].raw(0x00283006)
    if len(descriptor) == 3:
        count, first, bits = (int(value) for value in descriptor)
        count = count or 2**16
        if first >= 2**15 and fields.integer(0x00280103, 0):
            first -= 2**16
        width = 2 if len(raw) >= 2 * count else 1
        if len(raw) >= width * count and 0 < bits <= 16:
            values = np.frombuffer(raw, "<u2" if width == 2 else "u1", count).astype(np.float64)
            return first, values
        listed = found[0].numbers(0x00283006)
        if len(listed) == count:
            return first, np.array(listed)
    raise DicomError("RECON-DICOM-RESCALE", f"{source.label} has a modality table that is cut off; export it again")


def _read(fields: Fields, pixels: Pixels, source: Source, kind: Object) -> _Content:
    if kind.form == "radiograph":
        frames, times, notes = read_radiograph(fields, pixels, source, kind.modality)
        return _Content(frames, None, notes, times)
    if kind.form == "dose":
        return _Content(*read_dose(fields, pixels, source))
    if kind.form == "nuclear":
        return _Content(*read_nuclear(fields, pixels, source))
    groups = fields.items(_FRAME_GROUPS)
    if groups or fields.items(_SHARED_GROUPS):
        return _Content(*_enhanced(fields, groups, pixels, source, kind.modality))
    if pixels.frames > 1 or kind.form == "enhanced":
        raise DicomError(
            "RECON-DICOM-MULTIFRAME",
            f"{source.label} is a multi-frame image that does not say where each frame lies; export single slices",
        )
    return _Content(*_slices(fields, pixels, source, kind.modality))


def _slices(fields: Fields, pixels: Pixels, source: Source, modality: str) -> tuple[list[Frame], DicomError | None]:
    plane, placeless = plane_of(
        fields.numbers(0x00200037), fields.numbers(0x00200032), fields.numbers(0x00280030), source
    )
    slope, intercept, scaled = rescale(fields, source)
    words = image_words(fields.words(0x00080008))
    frame = Frame(
        pixels=pixels,
        index=0,
        corner=(0, 0),
        shape=(pixels.rows, pixels.columns),
        plane=plane,
        kind=kind_of(fields, modality, words, echo_ms(fields, modality), scaled=scaled, rescale=fields),
        times=Times(
            temporal=fields.number(0x00200100) if modality != "PT" else time_slice(fields),
            diffusion=weighting(fields) if modality == "MR" else None,
            inversion_ms=fields.number(0x00180082),
            flip_deg=fields.number(0x00181314),
            trigger_ms=fields.number(0x00181060),
            acquisition=fields.number(0x00200012),
            started=_seconds(fields.word(0x00080032)),
        ),
        order=(fields.number(0x00200013) or 0.0, 0),
        slope=slope,
        intercept=intercept,
        thickness=fields.number(0x00180050) or 0.0,
    )
    if "MOSAIC" in fields.words(0x00080008):
        return list(tiles(frame, fields, source)), placeless
    return [frame], placeless


def _enhanced(
    fields: Fields, groups: list[Fields], pixels: Pixels, source: Source, modality: str
) -> tuple[list[Frame], DicomError | None]:
    if len(groups) != pixels.frames:
        raise DicomError(
            "RECON-DICOM-MULTIFRAME",
            f"{source.label} describes {len(groups)} of its {pixels.frames} frames; export it again",
        )
    shared = next(iter(fields.items(_SHARED_GROUPS)), None)
    instance = fields.number(0x00200013) or 0.0
    frames, placeless = [], None
    for index, group in enumerate(groups):
        own = Groups(group, shared, fields)
        plane, lost = plane_of(own.orientation, own.position, own.spacing, source)
        placeless = placeless or lost
        slope, intercept, scaled = rescale(own.rescale, source)
        frames.append(
            Frame(
                pixels=pixels,
                index=index,
                corner=(0, 0),
                shape=(pixels.rows, pixels.columns),
                plane=plane,
                kind=kind_of(
                    own.frame_type,
                    modality,
                    image_words(own.words),
                    own.echo_ms,
                    scaled=scaled,
                    rescale=own.rescale,
                    real_world=own.real_world,
                ),
                times=own.times,
                order=(instance, index),
                slope=slope,
                intercept=intercept,
                thickness=own.thickness,
            )
        )
    return frames, placeless


def _seconds(clock: str) -> float | None:
    """Return DICOM's HHMMSS.ffffff as seconds."""
    try:
        return int(clock[:2]) * 3600 + int(clock[2:4] or 0) * 60 + float(clock[4:] or 0)
    except ValueError:
        return None
