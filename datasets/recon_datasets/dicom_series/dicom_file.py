"""A DICOM file as frames: classic slices, Siemens mosaics and enhanced multi-frame images."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from pydicom.uid import UID

from recon_datasets.dicom_series.enhanced import Groups
from recon_datasets.dicom_series.errors import DicomError
from recon_datasets.dicom_series.facts import diffusion, echo_ms, image_words, kind_of, technical
from recon_datasets.dicom_series.frame import DicomFile, Frame, Pixels, Plane, Times
from recon_datasets.dicom_series.header import Fields, Header, read_header
from recon_datasets.dicom_series.mosaic import tiles
from recon_datasets.dicom_series.pixels import check_size
from recon_datasets.dicom_series.source import Source
from recon_datasets.dicom_series.suv import uptake_facts

__all__ = ["CLASSES", "PROJECTION", "is_projection", "read_file"]

CLASSES = {
    "1.2.840.10008.5.1.4.1.1.2": "CT",
    "1.2.840.10008.5.1.4.1.1.2.1": "CT",
    "1.2.840.10008.5.1.4.1.1.2.2": "CT",
    "1.2.840.10008.5.1.4.1.1.4": "MR",
    "1.2.840.10008.5.1.4.1.1.4.1": "MR",
    "1.2.840.10008.5.1.4.1.1.4.4": "MR",
    "1.2.840.10008.5.1.4.1.1.128": "PT",
    "1.2.840.10008.5.1.4.1.1.128.1": "PT",
    "1.2.840.10008.5.1.4.1.1.130": "PT",
}
"""Storage classes that are read, classic and enhanced, with their modality."""
_ENHANCED = {uid for uid in CLASSES if uid.count(".") == 10 or uid.endswith(".130")}
DIRECTORY = "1.2.840.10008.1.3.10"
PROJECTION = 0x70291010
"""Tag for the number of detector rows, which every DICOM-CT-PD projection has and no image."""
_SHARED_GROUPS, _FRAME_GROUPS = 0x52009229, 0x52009230
_TEXT = {
    "PatientName": 0x00100010, "PatientID": 0x00100020, "StudyDate": 0x00080020, "StudyDescription": 0x00081030,
    "SeriesDescription": 0x0008103E, "ProtocolName": 0x00181030, "AccessionNumber": 0x00080050,
}  # fmt: skip


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
    if storage == DIRECTORY:
        return None
    number = fields.number(0x00200011)
    known = DicomFile(
        source,
        study=fields.word(0x0020000D),
        series=fields.word(0x0020000E),
        frame_of_reference=fields.word(0x00200052),
        series_number=None if number is None else int(number),
        modality=CLASSES.get(storage, _class_name(storage)),
    )
    if text:
        known = replace(known, text={name: "\\".join(fields.words(tag)) for name, tag in _TEXT.items()})
    try:
        _check_kind(fields, header, source, storage)
        pixels = _pixels(header, source)
        check_size(pixels)
        frames, placeless = _frames(fields, pixels, source, storage)
    except DicomError as error:
        return replace(known, error=error)
    except RecursionError:
        nested = DicomError("RECON-DICOM-NESTING", f"{source.label} nests sequences too deeply; it is damaged")
        return replace(known, error=nested)
    except Exception:  # noqa: BLE001 - on damage, pydicom raises almost anything, quoting the file's bytes
        damaged = DicomError("RECON-DICOM-DAMAGED", f"{source.label} is damaged or cut off; copy it again")
        return replace(known, error=damaged)
    notes = ["stored for inverted display (MONOCHROME1); values are as stored"] if _inverted(fields) else []
    return replace(
        known,
        frames=tuple(frames),
        placeless=placeless,
        technical={"modality": known.modality} | technical(fields),
        notes=tuple(notes),
        suv=uptake_facts(fields) if known.modality == "PT" else {},
    )


def is_projection(source: Source) -> bool:
    """Whether a DICOM file is a projection in the DICOM-CT-PD format."""
    try:
        return PROJECTION in read_header(source).fields
    except DicomError:
        return False


def _class_name(storage: str) -> str:
    name = UID(storage).name if storage else ""
    return name.removesuffix(" Storage") if name != storage else "unknown kind of object"


def _inverted(fields: Fields) -> bool:
    return fields.word(0x00280004) == "MONOCHROME1"


def _check_kind(fields: Fields, header: Header, source: Source, storage: str) -> None:
    if PROJECTION in fields:
        raise DicomError(
            "RECON-DICOM-PROJECTION",
            f"{source.label} is a projection, one view of a CT scan; give the folder of all its views",
        )
    if storage not in CLASSES:
        name = _class_name(storage)
        article = "an" if name[:1] in "AEIOU" else "a"
        raise DicomError(
            "RECON-DICOM-KIND",
            f"{source.label} is {article} {name}, not a CT, MR or PET image; remove it from the series",
        )
    if not header.pixels:
        raise DicomError("RECON-DICOM-KIND", f"{source.label} holds no pixels; remove it from the series")
    photometric = fields.word(0x00280004)
    if not photometric:
        raise DicomError("RECON-DICOM-DAMAGED", f"{source.label} does not describe its pixels; it may be cut off")
    if fields.integer(0x00280002, 1) != 1 or photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise DicomError("RECON-DICOM-KIND", f"{source.label} holds colours, not a scan; remove it from the series")


def _pixels(header: Header, source: Source) -> Pixels:
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


def _frames(fields: Fields, pixels: Pixels, source: Source, storage: str) -> tuple[list[Frame], DicomError | None]:
    modality = CLASSES[storage]
    groups = fields.items(_FRAME_GROUPS)
    if groups or fields.items(_SHARED_GROUPS):
        return _enhanced(fields, groups, pixels, source, modality)
    if pixels.frames > 1 or storage in _ENHANCED:
        raise DicomError(
            "RECON-DICOM-MULTIFRAME",
            f"{source.label} is a multi-frame image that does not say where each frame lies; export single slices",
        )
    plane, placeless = _plane(
        fields.numbers(0x00200037), fields.numbers(0x00200032), fields.numbers(0x00280030), source
    )
    slope, intercept, scaled = _rescale(fields, source)
    words = image_words(fields.words(0x00080008))
    frame = Frame(
        pixels=pixels,
        index=0,
        corner=(0, 0),
        shape=(pixels.rows, pixels.columns),
        plane=plane,
        kind=kind_of(fields, modality, words, echo_ms(fields, modality), scaled=scaled, rescale=fields),
        times=Times(
            temporal=fields.number(0x00200100),
            diffusion=diffusion(fields) if modality == "MR" else None,
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
        plane, lost = _plane(own.orientation, own.position, own.spacing, source)
        placeless = placeless or lost
        slope, intercept, scaled = _rescale(own.rescale, source)
        frames.append(
            Frame(
                pixels=pixels,
                index=index,
                corner=(0, 0),
                shape=(pixels.rows, pixels.columns),
                plane=plane,
                kind=kind_of(
                    own.frame_type, modality, image_words(own.words), own.echo_ms, scaled=scaled, rescale=own.rescale
                ),
                times=own.times,
                order=(instance, index),
                slope=slope,
                intercept=intercept,
                thickness=own.thickness,
            )
        )
    return frames, placeless


def _plane(
    orientation: list[float], position: list[float], spacing: list[float], source: Source
) -> tuple[Plane | None, DicomError | None]:
    for name, values, count in (
        ("ImageOrientationPatient", orientation, 6),
        ("ImagePositionPatient", position, 3),
        ("PixelSpacing", spacing, 2),
    ):
        if len(values) != count:
            return None, _no_geometry(source, f"{name} is missing or is not {count} numbers")
    if min(spacing) <= 0:
        return None, _no_geometry(source, "PixelSpacing is not positive")
    x, y = np.array(orientation[:3]), np.array(orientation[3:])
    along_x, along_y = math.sqrt(x @ x), math.sqrt(y @ y)
    if max(abs(along_x - 1), abs(along_y - 1), abs(float(x @ y))) > 1e-2:
        return None, _no_geometry(source, "ImageOrientationPatient does not hold two orthogonal unit vectors")
    x = x / along_x  # some scanners round to three decimals
    y = y - (x @ y) * x
    y = y / math.sqrt(y @ y)
    return Plane(np.array(position), x, y, (spacing[1], spacing[0])), None


def _no_geometry(source: Source, reason: str) -> DicomError:
    return DicomError(
        "RECON-DICOM-GEOMETRY", f"{source.label}: {reason}; its place is unknown, export it again with geometry"
    )


def _rescale(fields: Fields, source: Source) -> tuple[float, float, bool]:
    """Return slope and intercept, and whether the file states both."""
    slopes, intercepts = fields.numbers(0x00281053), fields.numbers(0x00281052)
    stated = bool(fields.words(0x00281053)), bool(fields.words(0x00281052))
    if (stated[0] and not slopes) or (stated[1] and not intercepts) or (slopes and slopes[0] == 0):
        raise DicomError(
            "RECON-DICOM-RESCALE", f"{source.label} has a slope or intercept that is no usable number; correct it"
        )
    return (slopes or [1.0])[0], (intercepts or [0.0])[0], bool(slopes and intercepts)


def _seconds(clock: str) -> float | None:
    """Return DICOM's HHMMSS.ffffff as seconds."""
    try:
        return int(clock[:2]) * 3600 + int(clock[2:4] or 0) * 60 + float(clock[4:] or 0)
    except ValueError:
        return None
