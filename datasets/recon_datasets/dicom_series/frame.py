"""One plane of a scan: where it lies, what it shows, and where its pixels are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recon_datasets.dicom_series.errors import DicomError
from recon_datasets.dicom_series.source import Source

__all__ = ["DicomFile", "Frame", "Kind", "Pixels", "Plane", "Times", "Weighting"]

Vector = NDArray[np.float64]


class Kind(NamedTuple):
    """What must be equal for frames to be of one image.

    Parameters
    ----------
    modality
        CT, MR, PT ...
    component
        magnitude, phase, real, imaginary, field (a map of the main field), or nothing where the file does not say.
    echo_ms
        Echo time; 0 where there is none.
    words
        What else ImageType says.
    unit
        Unit of the values.
    localizer
        Whether it is one.
    form
        What else it is, in words of our own: radiograph, film, planar ... Those have no place in the patient.
    instance
        Identifier of the file, where each is an image of its own.
    """

    modality: str
    component: str
    echo_ms: float
    words: tuple[str, ...]
    unit: str
    localizer: bool
    form: str = ""
    instance: str = ""

    @property
    def is_flat(self) -> bool:
        """Whether it is a projection of the patient, not a slice."""
        return self.form.startswith(("radiograph", "film", "planar"))

    @property
    def label(self) -> str:
        """The kind in words of our own: those of the file may be anything."""
        name = {"RTDOSE": "RT dose"}.get(self.modality, self.modality)
        component = "field map" if self.component == "field" else self.component
        parts = [name, self.form, "localizer" if self.localizer else "", component]
        return " ".join(part for part in parts if part) + (f", echo {self.echo_ms:g} ms" if self.echo_ms else "")


class Weighting(NamedTuple):
    """Diffusion weighting of a slice.

    Parameters
    ----------
    b_value
        In s/mm2.
    direction
        Of the gradient: three numbers, or none.
    in_patient
        Whether the direction is in DICOM's axes of the patient (LPS).
    """

    b_value: float
    direction: tuple[float, ...] = ()
    in_patient: bool = True


class Times(NamedTuple):
    """What may tell apart frames that lie in one place; None where the file does not say.

    Parameters
    ----------
    temporal
        Position in time, counted by the scanner.
    diffusion
        Weighting by diffusion.
    inversion_ms, flip_deg, trigger_ms
        Inversion time, flip angle, delay after the trigger.
    acquisition
        Number of the acquisition.
    started
        Time of the acquisition in seconds.
    """

    temporal: float | None = None
    diffusion: Weighting | None = None
    inversion_ms: float | None = None
    flip_deg: float | None = None
    trigger_ms: float | None = None
    acquisition: float | None = None
    started: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Pixels:
    """How the pixels of a file are stored.

    Parameters
    ----------
    source
        The file.
    syntax
        UID of the transfer syntax.
    little_endian
        Order of bytes.
    offset, length
        Where they begin and how many bytes there are; length -1 for compressed ones.
    rows, columns, frames
        Size.
    allocated, used, high
        Bits of a cell, those that hold the value, and the number of the highest of them.
    signed, floating
        Kind of number.
    padding
        Range of stored values that stand for nothing, or None.
    table
        (first stored value, values) of a modality table, or None.
    inflated
        The inflated data set, where the file is deflated.
    """

    source: Source
    syntax: str
    little_endian: bool
    offset: int
    length: int
    rows: int
    columns: int
    frames: int
    allocated: int
    used: int
    high: int
    signed: bool
    floating: bool
    padding: tuple[float, float] | None = None
    table: tuple[int, NDArray[np.float64]] | None = None
    inflated: bytes | None = field(default=None, repr=False)

    @property
    def frame_bytes(self) -> int:
        """Bytes of a frame that is not compressed."""
        return self.rows * self.columns * self.allocated // 8


@dataclass(frozen=True, slots=True, eq=False)
class Plane:
    """Where a slice lies, in DICOM's axes: towards the patient's left, back and head (LPS).

    Parameters
    ----------
    position
        Centre of the first pixel in mm.
    row, column
        Unit vectors along increasing column index and increasing row index.
    spacing
        Distance in mm between columns (x) and between rows (y).
    """

    position: Vector
    row: Vector
    column: Vector
    spacing: tuple[float, float]

    @property
    def normal(self) -> Vector:
        """Unit vector along which slices are sorted: row x column."""
        return cross(self.row, self.column)


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One slice.

    Parameters
    ----------
    pixels
        The file's pixels.
    index
        Number of the frame in the file.
    corner
        Row and column of the slice's first pixel within the frame: a mosaic holds many slices.
    shape
        (rows, columns).
    plane
        Where it lies; None where the file does not say.
    kind, times
        What it is, and what may tell it from others in its place.
    order
        (instance number, frame): the last resort of sorting in time.
    slope, intercept
        Of the rescaling.
    thickness
        Nominal thickness in mm; 0 where it is not known.
    spacing
        Distance in mm between columns (x) and rows (y), where it is known though the plane is not.
    """

    pixels: Pixels
    index: int
    corner: tuple[int, int]
    shape: tuple[int, int]
    plane: Plane | None
    kind: Kind
    times: Times
    order: tuple[float, int]
    slope: float
    intercept: float
    thickness: float
    spacing: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class DicomFile:
    """A file of a series: its frames, or why there are none.

    Parameters
    ----------
    source
        The file.
    study, series, frame_of_reference
        Identifiers; never shown.
    series_number
        As the scanner counts, if it does.
    modality
        CT, MR, PT ...
    frames
        Its slices.
    technical
        Facts for `Image.metadata`.
    notes
        Oddities.
    error
        Why it cannot be read.
    placeless
        Why its frames have no plane.
    text
        Descriptions and identifiers, if they were asked for.
    suv
        What standardised uptake values need, where the file tells.
    """

    source: Source
    study: str
    series: str
    frame_of_reference: str
    series_number: int | None
    modality: str
    frames: tuple[Frame, ...] = ()
    technical: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    error: DicomError | None = None
    placeless: DicomError | None = None
    text: dict[str, str] = field(default_factory=dict, repr=False)
    suv: dict[str, Any] = field(default_factory=dict, repr=False)


def cross(a: Vector, b: Vector) -> Vector:
    """Return the cross product of two 3-vectors; numpy's own takes ten times as long."""
    return np.array([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]])
