"""Data Exchange files as measurements."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import h5py
import numpy as np
from annotated_types import Gt
from numpy.typing import NDArray

from recon.errors import FileFormatError
from recon.io import Measurement
from recon.io.hdf5 import attribute_text, dataset, open_hdf5
from recon.io.projections import AngleUnit, DeadPixels, radians
from recon_datasets.data_exchange.scan import chosen_rows, parallel_beam

__all__ = ["DataExchangeReader"]

_PIXEL_SIZES = (
    "measurement/instrument/detection_system/objective/resolution",
    "measurement/instrument/detector/actual_pixel_size_x",
)
_TO_MM = {"m": 1e3, "mm": 1.0, "um": 1e-3, "µm": 1e-3, "micron": 1e-3, "microns": 1e-3, "nm": 1e-6}


class DataExchangeReader:
    """Reads a parallel-beam scan in the Data Exchange layout.

    ``exchange`` holds ``data``, ``data_white``, ``data_dark`` and ``theta``. What is read are the line integrals
    -log((data - dark) / (white - dark)), fields averaged, (row, 1, view, column): each detector row is the sinogram of
    one slice. Angles are turned to radians by the unit that ``theta`` states. The operator is `radon`, its detector
    shifted so that the rotation axis falls on `centre`. Lengths are mm where the file states its pixel size with a
    unit, and pixels elsewhere.

    Parameters
    ----------
    centre
        Column of the detector, from 0, on which the rotation axis falls; by default found.
    rows
        Detector rows (first, past the last) to read; by default all.
    angle_unit
        Unit of the angles, if the file states none or a wrong one; auto takes the file's word, and else their range.
    pixel
        Edge of a detector pixel in mm, at the object, if the file does not state it.
    dead_pixels
        Whether single pixels whose flat field is not above the dark field are interpolated or refused.

    References
    ----------
    De Carlo et al., J. Synchrotron Radiat. 21:1224, 2014, doi:10.1107/S160057751401604X
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
        """Whether the file has a group ``exchange`` with data in it."""
        with open_hdf5(path) as file:
            return _hard(file, "exchange") and isinstance(file["exchange"], h5py.Group) and "data" in file["exchange"]

    def read(self, path: Path) -> Measurement:
        """Read a scan.

        Raises
        ------
        FileFormatError
            If the file is damaged, lacks projections, flat fields or angles, their shapes do not fit, counts are NaN,
            infinite or negative, or the angles' range contradicts their unit.
        """
        notes: list[str] = []
        with open_hdf5(path) as file:
            data = _needed(file, "data", path, "projections")
            theta = _needed(file, "theta", path, "angles of the projections")
            white = _needed(file, "data_white", path, "flat fields, frames without an object")
            dark = dataset(file, "exchange/data_dark")
            if data.ndim != 3:
                raise FileFormatError(f"{path}: exchange/data has the shape {data.shape}; needed is (theta, y, x)")
            sinograms = (attribute_text(data, "axes") or "theta:y:x").replace(" ", "").startswith("y:theta")
            rows = chosen_rows(self.rows, data.shape[0 if sinograms else 1], str(path))
            counts = data[rows].transpose(1, 0, 2) if sinograms else data[:, rows]
            angles, said = radians(theta[()], self._unit(theta), f"{path}, exchange/theta")
            flat = _rows(white, rows, path)
            offset = None if dark is None or 0 in dark.shape else _rows(dark, rows, path)
            if offset is None:
                notes.append("no dark field in the file: taken as zero")
            pixel = _pixel(file) if self.pixel is None else self.pixel
        return parallel_beam(
            counts, flat, offset, angles, str(path), centre=self.centre, pixel=pixel, dead=self.dead_pixels,
            notes=(*notes, *said),
        )  # fmt: skip

    def _unit(self, theta: h5py.Dataset) -> str | None:
        return attribute_text(theta, "units") if self.angle_unit == "auto" else self.angle_unit


def _hard(group: h5py.Group, name: str) -> bool:
    return isinstance(group.get(name, getlink=True), h5py.HardLink)


def _needed(file: h5py.File, name: str, path: Path, what: str) -> h5py.Dataset:
    found = dataset(file, f"exchange/{name}")
    if found is None or found.dtype.kind not in "uif" or not found.shape or 0 in found.shape:
        state = "is missing" if found is None else f"is {found.dtype} of shape {found.shape}"
        raise FileFormatError(f"{path}: exchange/{name} {state}; a Data Exchange file holds the {what} there")
    return found


def _rows(fields: h5py.Dataset, rows: slice, path: Path) -> NDArray[np.generic]:
    """Read those rows of (frame, row, column) or (row, column)."""
    if fields.ndim not in (2, 3):
        raise FileFormatError(f"{path}: {fields.name} has the shape {fields.shape}; needed is (frame, y, x)")
    cut = fields[rows] if fields.ndim == 2 else fields[:, rows]
    return np.asarray(cut)


def _pixel(file: h5py.File) -> float | None:
    """Return the edge of a pixel in mm, if the file states one and its unit."""
    for name in _PIXEL_SIZES:
        found = dataset(file, name)
        if found is None or found.size != 1 or found.dtype.kind not in "uif":
            continue
        unit = (attribute_text(found, "units") or attribute_text(found, "unit") or "").strip()
        value = float(np.ravel(found[()])[0]) * _TO_MM.get(unit.lower() or unit, 0)
        if value > 0:
            return value
    return None
