"""Small helical scans in DICOM-CT-PD files: line integrals in closed form, by the format's own conventions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid

from recon.testing.ellipsoids import Ellipsoid, chords
from recon_datasets.dicom_ct_pd.view import TAGS

__all__ = ["SHAPES", "WATER", "write_dicom_ct_pd", "write_synthetic"]

WATER = 0.0192
"""Attenuation of water in 1/mm."""

_CYLINDER = (60.0, 45.0, math.inf)
SHAPES = (
    Ellipsoid(WATER, (4.0, -6.0, 0.0), _CYLINDER),
    Ellipsoid(0.8 * WATER, (30.0, 5.0, 12.0), (12.0, 9.0, 12.0), 0.5),
    Ellipsoid(-0.5 * WATER, (-20.0, -18.0, 9.0), (10.0, 14.0, 16.0)),
)
"""A cylinder of water with inserts of 800 HU about z = 12 and of -500 HU about z = 9; x right, y up from the table."""

_MODULES = {
    0x7029: "Detector",
    0x7031: "DetectorDynamics",
    0x7033: "SourceDynamics",
    0x7039: "Correction",
    0x7041: "WaterAttenuation",
}
_CT = UID("1.2.840.10008.5.1.4.1.1.2")


def write_dicom_ct_pd(
    path: Path,
    values: NDArray[np.floating],
    tags: dict[str, Any],
    instance: int,
    *,
    implicit: bool = False,
    transposed: bool = False,
    field: float | None = None,
    change: Callable[[Dataset], None] | None = None,
) -> None:
    """Write one view.

    Parameters
    ----------
    path
        The file.
    values
        Line integrals (row, column), row 1 and column 1 first.
    tags
        Values by the names of `TAGS`.
    instance
        Number of the view.
    implicit
        Whether value representations are left out of the file, which hides those of private tags.
    transposed
        Whether the detector's rows lie along the image's columns, as in published files.
    field
        Diameter of the scanned field in mm.
    change
        Called with the dataset before it is written.
    """
    slope = 1e-4
    stored = np.rint(np.clip(values / slope, 0, 65535)).astype("<u2")
    stored = np.ascontiguousarray(stored.T if transposed else stored)
    data = Dataset()
    data.SOPClassUID = _CT
    data.SOPInstanceUID = generate_uid(entropy_srcs=["recon", path.parent.name, str(instance)])
    data.Modality = "CT"
    data.PatientName = "Nobody^Synthetic"
    data.KVP = 100
    if field is not None:
        data.DataCollectionDiameter = field
    data.InstanceNumber = instance
    data.Rows, data.Columns = stored.shape
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 0
    data.RescaleSlope, data.RescaleIntercept = slope, 0
    for group, module in _MODULES.items():
        data.add_new((group, 0x0010), "LO", f"{module}Module")
    for name, (tag, kind) in TAGS.items():
        if name in tags:
            data.add_new(tag, kind, tags[name])
    data.PixelData = stored.tobytes()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = _CT
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    if change is not None:
        change(data)
    data.save_as(path, enforce_file_format=True)


def write_synthetic(
    folder: Path,
    *,
    turns: float = 2.5,
    views_per_turn: int = 64,
    columns: int = 96,
    rows: int = 8,
    pitch: float = 12.0,
    start: float = -5.0,
    central: tuple[float, float] | None = None,
    spots: Sequence[tuple[float, float, float]] = ((0.0, 0.0, 0.0),),
    shape: str = "CYLINDRICAL",
    clockwise: bool = False,
    implicit: bool = False,
    transposed: bool = True,
    field: float | None = 160.0,
    change: Callable[[Dataset], None] | None = None,
) -> None:
    """Write a helical scan of `SHAPES`, source at 400 mm and detector at 700 mm from the source.

    The format's coordinates are left-handed, x to the right, y up and z away from who stands at the table: the focal
    centre of angle phi stands at (-sin(phi), cos(phi)) 400 mm; the line from it through the axis meets the detector in
    the element `central`, from which columns run along (cos(phi), sin(phi)) and rows towards smaller z. The focal spot
    visits `spots`, shifts (angle, z, distance) from the focal centre, in turn.

    Parameters
    ----------
    folder
        Where to; it is made.
    turns, views_per_turn
        Length of the scan.
    columns, rows
        Of the detector.
    pitch, start
        Travel in mm per turn, and height of the first view.
    central
        Column and row from 1; by default a quarter column off the middle.
    spots
        Positions of the focal spot.
    shape
        CYLINDRICAL or FLAT.
    clockwise
        Whether the angle falls from view to view.
    implicit, transposed, field, change
        As for `write_dicom_ct_pd`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rho, length = 400.0, 700.0
    column_spacing, row_spacing = 2 * 1.05 * length * math.asin(80 / rho) / columns, 3.5
    across, up = ((columns + 1) / 2 + 0.25, (rows + 1) / 2) if central is None else central
    u = (np.arange(1, columns + 1) - across) * column_spacing
    v = (up - np.arange(1, rows + 1)) * row_spacing
    for number in range(round(turns * views_per_turn)):
        phi = (-1 if clockwise else 1) * 2 * math.pi * number / views_per_turn + 0.3
        z = start + pitch * number / views_per_turn
        ahead, lift, farther = spots[number % len(spots)]
        outward, along = np.array([-math.sin(phi), math.cos(phi)]), np.array([math.cos(phi), math.sin(phi)])
        if shape == "FLAT":
            cells = (rho - length) * outward + u[:, None] * along
        else:
            gamma = u[:, None] / length
            cells = rho * outward + length * (-np.cos(gamma) * outward + np.sin(gamma) * along)
        cells3 = np.concatenate([np.broadcast_to(cells, (rows, columns, 2)), np.empty((rows, columns, 1))], -1)
        cells3[..., 2] = z + v[:, None]
        distance = rho + farther
        spot = np.array([-distance * math.sin(phi + ahead), distance * math.cos(phi + ahead), z + lift])
        direction = cells3 - spot
        direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
        tags = {
            "rows": rows, "columns": columns, "column_spacing": column_spacing, "row_spacing": row_spacing,
            "shape": shape, "angle": phi % (2 * math.pi), "z": z, "source_distance": rho, "detector_length": length,
            "central_element": [across, up], "angle_shift": ahead, "z_shift": lift, "distance_shift": farther,
            "spectra": 1, "log": "YES", "water": f"{WATER:g}",
        }  # fmt: skip
        write_dicom_ct_pd(
            folder / f"view_{number:05d}.dcm", chords(SHAPES, spot, direction), tags, number + 1,
            implicit=implicit, transposed=transposed, field=field, change=change,
        )  # fmt: skip
