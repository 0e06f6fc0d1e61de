"""Folders of TIFF projections as measurements."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import numpy as np
from annotated_types import Gt
from numpy.typing import NDArray

from recon.errors import FileFormatError
from recon.io import Measurement
from recon.io.listing import check_is_folder
from recon.io.projections import AngleUnit, DeadPixels, natural_order, radians, read_tiff
from recon_datasets.data_exchange.scan import chosen_rows, parallel_beam

__all__ = ["ProjectionFolderReader"]

_DARK = ("dark",)
_FLAT = ("flat", "white", "bright", "open")
_ANGLES = ("angle", "theta")
_REPEAT = 0.05
"""Angles closer than this share of the usual step are one angle: a motor waits while fields are taken."""


class ProjectionFolderReader:
    """Reads a folder of TIFF projections of a parallel beam, with flat and dark fields and a text file of angles.

    Files whose name, or whose folder's name, has "dark" in it are dark fields; "flat", "white", "bright" or "open"
    makes them flat fields; all other TIFF files are projections, in the order of the numbers in their names. Angles
    stand in a file with "angle" or "theta" in its name, .txt, .csv or .dat, one a line. If there are more angles than
    projections, repeated ones, at which the fields were taken, are counted once.

    The data are line integrals (row, 1, view, column), the operator is `radon`; see `DataExchangeReader`.

    Parameters
    ----------
    centre
        Column of the detector, from 0, on which the rotation axis falls; by default found.
    rows
        Detector rows (first, past the last) to keep; by default all.
    angle_unit
        Unit of the angles; auto tells it from their range: more than 2 pi from first to last is degrees.
    pixel
        Edge of a detector pixel in mm, at the object; by default lengths are in pixels.
    dead_pixels
        Whether single pixels whose flat field is not above the dark field are interpolated or refused.
    """

    def __init__(
        self,
        *,
        centre: float | None = None,
        rows: tuple[int, int] | None = None,
        angle_unit: AngleUnit = "auto",
        pixel: Annotated[float, Gt(0)] | None = None,
        dead_pixels: DeadPixels = "interpolate",
    ) -> None:
        self.centre = centre
        self.rows = rows
        self.angle_unit: AngleUnit = angle_unit
        self.pixel = pixel
        self.dead_pixels: DeadPixels = dead_pixels

    def accepts(self, path: Path) -> bool:
        """Whether the folder has a list of angles, and a TIFF file in it or one level below."""
        return path.is_dir() and _angle_file(path) is not None and any(_is_tiff(file) for file in _below(path, depth=1))

    def read(self, path: Path) -> Measurement:
        """Read a scan.

        Raises
        ------
        FileFormatError
            If angles, projections or flat fields are missing, a file is damaged, sizes or numbers do not fit, or counts
            are NaN, infinite or negative.
        """
        check_is_folder(path)
        listed = _angle_file(path)
        if listed is None:
            raise FileFormatError(f"{path} has no list of angles; write angles.txt with the angle of each projection")
        kinds: dict[str, list[Path]] = {"projection": [], "flat": [], "dark": []}
        for file in natural_order([file for file in _below(path, depth=2) if _is_tiff(file)]):
            kinds[_kind(file.relative_to(path))].append(file)
        if not kinds["projection"] or not kinds["flat"]:
            missing = "projections" if not kinds["projection"] else "flat fields (with 'flat' in their name)"
            raise FileFormatError(f"{path} holds no {missing}; they are TIFF files here or in a folder below")
        first = _frames(kinds["projection"][:1])
        rows = chosen_rows(self.rows, first.shape[1], str(path))
        counts = _frames(kinds["projection"], rows, first.shape[1:])
        angles, notes = _angles(listed, len(counts), self.angle_unit)
        if not kinds["dark"]:
            notes += ("no dark field in the folder: taken as zero",)
        return parallel_beam(
            counts,
            _frames(kinds["flat"], rows, first.shape[1:]),
            _frames(kinds["dark"], rows, first.shape[1:]) if kinds["dark"] else None,
            angles,
            str(path),
            centre=self.centre,
            pixel=self.pixel,
            dead=self.dead_pixels,
            notes=notes,
        )


def _below(folder: Path, depth: int) -> list[Path]:
    """Return the files in a folder and so many levels below, hidden ones left out."""
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                found += _below(Path(entry), depth - 1) if depth else []
            else:
                found.append(Path(entry))
    return found


def _is_tiff(path: Path) -> bool:
    return path.suffix.lower() in (".tif", ".tiff")


def _kind(name: Path) -> str:
    words = str(name).lower()
    if any(word in words for word in _DARK):
        return "dark"
    return "flat" if any(word in words for word in _FLAT) else "projection"


def _angle_file(folder: Path) -> Path | None:
    fitting = [
        file
        for file in _below(folder, depth=0)
        if file.suffix.lower() in (".txt", ".csv", ".dat") and any(word in file.stem.lower() for word in _ANGLES)
    ]
    return min(fitting, default=None)


def _frames(
    files: list[Path], rows: slice = slice(None), expected: tuple[int, ...] | None = None
) -> NDArray[np.generic]:
    """Read frames (frame, row, column) of files with one page or several, which must be of one size."""
    frames: list[NDArray[np.generic]] = []
    for file in files:
        pages = read_tiff(file)
        pages = pages[None] if pages.ndim == 2 else pages
        expected = pages.shape[1:] if expected is None else expected
        if pages.shape[1:] != expected:
            raise FileFormatError(f"{file} has {pages.shape[1:]} pixels, others {expected}: give one detector's")
        frames.append(pages[:, rows])
    return np.concatenate(frames)


def _angles(path: Path, count: int, unit: AngleUnit) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    try:
        values = np.loadtxt(path, dtype=np.float64, delimiter="," if path.suffix.lower() == ".csv" else None, ndmin=1)
    except (ValueError, UnicodeDecodeError) as error:
        raise FileFormatError(f"{path} is not a list of numbers, one a line: {' '.join(str(error).split())}") from error
    notes: tuple[str, ...] = ()
    if values.ndim == 1 and len(values) > count:
        steps = np.abs(np.diff(values))
        moved = steps > _REPEAT * np.median(steps[steps > 0]) if (steps > 0).any() else steps > 0
        distinct = values[np.concatenate([[True], moved])]
        if len(distinct) != count:
            raise FileFormatError(
                f"{path}: {len(values)} angles ({len(distinct)} without repetitions) for {count} projections; each "
                "needs one"
            )
        notes = (f"{len(values) - count} repeated angles left out",)
        values = distinct
    angles, said = radians(values, unit, str(path))
    return angles, (*notes, *said)
