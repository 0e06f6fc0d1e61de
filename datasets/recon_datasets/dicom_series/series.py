"""Slices into volumes: grouped, sorted by position, and refused unless they form a regular grid."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recon.errors import FileFormatError
from recon_datasets.dicom_series.errors import DicomError
from recon_datasets.dicom_series.slices import Slice, is_dicom, pixel_values, read_slice

__all__ = ["Series", "group", "read_folder"]

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
ORIENTATION_TOLERANCE = 1e-3
"""Largest accepted difference between direction vectors of one series."""
POSITION_TOLERANCE = 0.02, 0.01
"""A slice may be off the straight, even line by so many mm or by that part of the step, whichever is larger."""
TILT_TOLERANCE = 1e-2
"""Largest accepted shift within the plane per mm of step: about half a degree of gantry tilt."""


@dataclass(frozen=True, slots=True)
class Series:
    """Slices sorted along their normal, on a regular grid.

    Parameters
    ----------
    slices
        In the order of the volume's z axis.
    affine
        Voxel index (x, y, z) to RAS+ mm.
    notes
        Oddities.
    """

    slices: tuple[Slice, ...]
    affine: np.ndarray
    notes: tuple[str, ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(z, y, x)."""
        return (len(self.slices), *self.slices[0].shape)

    def values(self) -> np.ndarray:
        """Decode all slices into one float32 volume (z, y, x)."""
        volume = np.empty(self.shape, dtype=np.float32)
        for place, item in zip(volume, self.slices, strict=True):
            place[...] = pixel_values(item.path)
        return volume

    @classmethod
    def of(cls, slices: Sequence[Slice], where: Path) -> Series:
        """Sort the slices of one series and check that they form one volume.

        Raises
        ------
        DicomError
            If they differ in size, orientation, echo or kind, lie at one place, are tilted against their normal, or
            leave gaps.
        """
        first = slices[0]
        _check_alike(slices, where)
        notes = tuple(dict.fromkeys(note for item in slices for note in item.notes))
        if len(slices) == 1:
            thickness = float(first.technical.get("slice_thickness_mm", 0.0))
            if thickness <= 0:
                thickness, notes = 1.0, (*notes, "one slice of unknown thickness: 1 mm stands in the affine")
            return cls((first,), _affine(first, first.normal * thickness), notes)
        normal = first.normal
        heights = np.array([float(item.position @ normal) for item in slices])
        order = np.argsort(heights, kind="stable")
        ordered = tuple(slices[i] for i in order)
        heights = heights[order]
        _check_gaps(heights, where)
        positions = np.array([item.position for item in ordered])
        step = (positions[-1] - positions[0]) / (len(ordered) - 1)
        _check_line(positions, step, normal, where)
        return cls(ordered, _affine(ordered[0], step), notes)


def read_folder(folder: Path) -> list[Slice]:
    """Read the headers of all DICOM files below a folder; other files are passed over.

    Raises
    ------
    DicomError
        If there is none, or one is not a CT or MR slice.
    """
    if not folder.is_dir():
        raise FileFormatError(f"{folder} does not exist" if not folder.exists() else f"{folder} is not a folder")
    found = [read_slice(path) for path in sorted(folder.rglob("*")) if path.is_file() and is_dicom(path)]
    slices = [item for item in found if item is not None]
    if not slices:
        raise DicomError("RECON-DICOM-EMPTY", f"folder {folder} holds no DICOM slice; give the folder of a series")
    return slices


def group(slices: Iterable[Slice]) -> list[list[Slice]]:
    """Group slices by series, in the order in which they come."""
    series: dict[str, list[Slice]] = {}
    for item in slices:
        series.setdefault(item.series, []).append(item)
    return list(series.values())


def _affine(first: Slice, step: np.ndarray) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, 0] = first.row * first.spacing[0]
    affine[:3, 1] = first.column * first.spacing[1]
    affine[:3, 2] = step
    affine[:3, 3] = first.position
    return _LPS_TO_RAS @ affine


def _check_alike(slices: Sequence[Slice], where: Path) -> None:
    first = slices[0]
    for item in slices[1:]:
        turned = max(np.abs(item.row - first.row).max(), np.abs(item.column - first.column).max())
        if turned > ORIENTATION_TOLERANCE:
            raise DicomError(
                "RECON-DICOM-ORIENTATION", f"{where}: slices have different orientations; move localizers away"
            )
        if item.shape != first.shape or not np.allclose(item.spacing, first.spacing, rtol=1e-4):
            raise DicomError("RECON-DICOM-GRID", f"{where}: slices have different pixel grids; split the series")
        if item.kind != first.kind or item.modality != first.modality or item.unit != first.unit:
            raise DicomError(
                "RECON-DICOM-MIXED", f"{where}: several echoes or kinds of image in one series; split it into folders"
            )


def _check_gaps(heights: np.ndarray, where: Path) -> None:
    steps = np.diff(heights)
    usual = float(np.median(steps))
    absolute, relative = POSITION_TOLERANCE
    doubled = int((steps < absolute).sum())
    if doubled:
        raise DicomError(
            "RECON-DICOM-DUPLICATE",
            f"{where}: {doubled} slices lie where another one does (time points, echoes, or copies); split the series",
        )
    even = float(heights[-1] - heights[0]) / len(steps)
    if np.abs(heights - (heights[0] + even * np.arange(len(heights)))).max() <= max(absolute, relative * even):
        return
    wide = np.flatnonzero(steps > usual + max(absolute, relative * usual))
    places = ", ".join(f"{heights[i]:.2f} to {heights[i + 1]:.2f} mm" for i in wide[:3])
    multiples, others = steps[wide] / usual, np.delete(steps, wide)
    whole = np.allclose(multiples, np.rint(multiples), atol=0.05) and np.ptp(others) <= 2 * max(
        absolute, relative * usual
    )
    if 0 < len(wide) <= len(steps) / 2 and whole:
        raise DicomError("RECON-DICOM-GAP", f"{where}: slices are missing at {places} (step {usual:.3g} mm); find them")
    raise DicomError(
        "RECON-DICOM-UNEVEN",
        f"{where}: steps between slices vary from {steps.min():.3g} to {steps.max():.3g} mm; resample the series first",
    )


def _check_line(positions: np.ndarray, step: np.ndarray, normal: np.ndarray, where: Path) -> None:
    along = float(step @ normal)
    aside = float(np.linalg.norm(step - along * normal))
    if aside > TILT_TOLERANCE * along:
        angle = float(np.degrees(np.arctan2(aside, along)))
        raise DicomError(
            "RECON-DICOM-TILT", f"{where}: slices are sheared by {angle:.1f} degrees (gantry tilt); untilt first"
        )
    absolute, relative = POSITION_TOLERANCE
    off = np.linalg.norm(positions - (positions[0] + np.outer(np.arange(len(positions)), step)), axis=1).max()
    if off > max(absolute, relative * along):
        raise DicomError(
            "RECON-DICOM-UNEVEN", f"{where}: slices are up to {off:.3g} mm off a straight line; check the series"
        )
