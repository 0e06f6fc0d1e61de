"""The views of one helical scan, sorted and checked, in the toolkit's axes."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recon.io.listing import check_is_folder
from recon_datasets.dicom_ct_pd.errors import ProjectionError
from recon_datasets.dicom_ct_pd.view import View, is_projection, read_view

__all__ = ["HelicalScan", "projection_files", "read_scan"]

Floats = NDArray[np.float64]

TURN = 2 * math.pi
FEWEST = 8
"""Views that make a scan."""
STILL = 1e-2
"""Largest shift in mm of the focal spot that counts as none."""
COARSEST_STEP = 0.05
"""Largest step in radians at which angles of more than a turn are believed: scanners take 500 views a turn and more."""


@dataclass(frozen=True, slots=True, eq=False)
class HelicalScan:
    """A helical scan with x to the right and y up as seen from the table, z from the table to the gantry.

    The format counts its angle phi from the top, and its columns from the left at phi = 0: theta = phi + pi is the
    angle of `FanBeam` and `ConeBeam`, whose columns run the other way, and whose rows grow with z, while the format's
    first row has the largest z.

    Parameters
    ----------
    values
        Line integrals (view, row, column), rows growing with z, float32.
    theta
        Angle of each view's focal centre in radians, growing, over several turns.
    z
        Height of each view's focal centre in mm.
    shifts
        What the focal spot adds to each view's angle (radians), height (mm) and distance (mm), (view, 3).
    source_distance, detector_length
        Distance of the focal centre from the axis and from the detector in mm.
    spacing
        Height of a row and width of a column on the detector in mm.
    offset
        Shift (v, u) of the detector in mm.
    detector
        flat or curved.
    field
        Diameter in mm of what is scanned.
    water
        Attenuation of water in 1/mm, if the files state it.
    kvp
        Tube voltage, if the files state it.
    """

    values: NDArray[np.float32]
    theta: Floats
    z: Floats
    shifts: Floats
    source_distance: float
    detector_length: float
    spacing: tuple[float, float]
    offset: tuple[float, float]
    detector: str
    field: float
    water: float | None
    kvp: float | None

    @property
    def pitch(self) -> float:
        """Travel in z per turn in mm, by least squares."""
        return float(np.polyfit(self.theta, self.z, 1)[0]) * TURN

    @property
    def views_per_turn(self) -> int:
        """Number of views in a turn."""
        return round(TURN * (len(self.theta) - 1) / float(self.theta[-1] - self.theta[0]))

    @property
    def flying(self) -> bool:
        """Whether the focal spot moves, by more than a hundredth of a millimetre."""
        return bool(np.abs(self.shifts * [self.source_distance, 1, 1]).max() > STILL)

    def columns(self) -> Floats:
        """Return the positions u of the columns on the detector in mm."""
        count = self.values.shape[2]
        return (np.arange(count) - (count - 1) / 2) * self.spacing[1] + self.offset[1]


def projection_files(folder: Path) -> list[Path]:
    """Return the files in a folder, and in those below it, that may be views: hidden ones are left out."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def read_scan(folder: Path) -> HelicalScan:
    """Read all views below a folder.

    Raises
    ------
    ProjectionError
        If there are none or too few, one is damaged, they are not of one detector, numbers are double, views are
        missing, or the table does not move evenly.
    """
    check_is_folder(folder)
    files = [path for path in projection_files(folder) if path.suffix.lower() in (".dcm", ".ima", "")]
    if not any(is_projection(path) for path in files[:1]) and not any(map(is_projection, files)):
        raise ProjectionError("RECON-CTPD-EMPTY", f"folder {folder} holds no DICOM-CT-PD projection")
    views = sorted((read_view(path) for path in files), key=lambda view: view.instance)
    _check_alike(views, folder)
    first = views[0]
    phi = _unwrapped([view.angle for view in views], folder)
    if len(views) < FEWEST or np.ptp(phi) == 0:
        raise ProjectionError("RECON-CTPD-EMPTY", f"{folder} holds {len(views)} views, which make no scan")
    if phi[-1] < phi[0]:  # the other sense of rotation: from the last view to the first
        views, phi = views[::-1], phi[::-1]
    theta = phi + math.pi
    theta -= TURN * math.floor(theta[0] / TURN)
    _check_steps(theta, folder)
    rows, columns = first.values.shape
    column_spacing, row_spacing = first.spacing
    across, up = first.central_element
    width = math.atan if first.shape == "FLAT" else float
    reach = min(column_spacing * extent for extent in (across - 0.5, columns + 0.5 - across)) / first.detector_length
    values = np.empty((len(views), rows, columns), dtype=np.float32)
    for place, view in zip(values, views, strict=True):
        place[...] = view.values[::-1, ::-1]
    scan = HelicalScan(
        values=values,
        theta=theta,
        z=np.array([view.z for view in views]),
        shifts=np.array([(view.angle_shift, view.z_shift, view.distance_shift) for view in views]),
        source_distance=first.source_distance,
        detector_length=first.detector_length,
        spacing=(row_spacing, column_spacing),
        offset=((up - (rows + 1) / 2) * row_spacing, (across - (columns + 1) / 2) * column_spacing),
        detector="flat" if first.shape == "FLAT" else "curved",
        field=first.field or 2 * first.source_distance * math.sin(width(max(reach, 0.0))),
        water=first.water,
        kvp=first.kvp,
    )
    if not np.isfinite(scan.values).all():
        raise ProjectionError("RECON-CTPD-VALUES", f"{folder}: some line integrals are not finite; check RescaleSlope")
    return scan


def _check_alike(views: list[View], folder: Path) -> None:
    kinds = {(view.shape, view.values.shape) for view in views}
    if len(kinds) > 1 or np.ptp([view.lengths for view in views], axis=0).max() > STILL:
        raise ProjectionError(
            "RECON-CTPD-MIXED", f"{folder} holds views of several detectors or distances; give each scan a folder"
        )
    doubled = [number for number, count in Counter(view.instance for view in views).items() if count > 1]
    if doubled:
        raise ProjectionError(
            "RECON-CTPD-DUPLICATE", f"{folder}: {len(doubled)} instance numbers come twice; give each scan a folder"
        )


def _unwrapped(angles: list[float], folder: Path) -> Floats:
    raw = np.asarray(angles)
    if np.abs(raw).max() > 1.02 * TURN and np.median(np.abs(np.diff(raw))) > COARSEST_STEP:
        raise ProjectionError(
            "RECON-CTPD-ANGLES",
            f"{folder}: angles up to {np.abs(raw).max():.4g} look like degrees; (7031,1001) is in radians",
        )
    return np.unwrap(raw)


def _check_steps(theta: Floats, folder: Path) -> None:
    steps = np.diff(theta)
    usual = float(np.median(steps))
    if usual <= 0 or (steps < -0.5 * usual).any():
        raise ProjectionError(
            "RECON-CTPD-ORDER", f"{folder}: angles do not follow the instance numbers; number the views anew"
        )
    wide = np.flatnonzero(steps > 1.5 * usual)
    if len(wide):
        raise ProjectionError(
            "RECON-CTPD-GAP",
            f"{folder}: views are missing in {len(wide)} places, first after view {int(wide[0]) + 1} of {len(theta)}; "
            "find them",
        )
