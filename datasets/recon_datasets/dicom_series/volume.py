"""A stack in space and time: frames sorted by position, told apart in time, refused unless their grid is regular."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from recon_datasets.dicom_series.errors import DicomError
from recon_datasets.dicom_series.frame import Frame, Plane, Vector

__all__ = ["Gaps", "Volume", "arrange"]

Gaps = Literal["refuse", "nan", "resample"]
Same = Callable[[Frame, Frame], bool]

BIN = 0.01
"""Frames nearer than this along the normal, in mm, lie in one place."""
POSITION_TOLERANCE = 0.02, 0.01
"""A slice may be off the straight, even line by so many mm or by that part of the step, whichever is larger."""
TILT_TOLERANCE = 1e-2
"""Shift within the plane per mm of step, about half a degree, from which a note tells of a tilted gantry."""
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True, slots=True, eq=False)
class Volume:
    """Frames on a grid.

    Parameters
    ----------
    frames
        By time, then along z.
    affine
        Voxel index (x, y, z) to RAS+ mm; None where it is not known.
    weights
        (planes of the grid, slices): what to mix of the slices, where they are not the grid's planes; NaN rows are
        planes that no slice lies on.
    tilt
        (x, y) shift in pixels from one plane to the next: 0 where the gantry was upright.
    notes
        Oddities.
    """

    frames: tuple[tuple[Frame, ...], ...]
    affine: np.ndarray | None
    weights: np.ndarray | None = None
    tilt: tuple[float, float] = (0.0, 0.0)
    notes: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(t, z, y, x)."""
        planes = len(self.frames[0]) if self.weights is None else len(self.weights)
        return (len(self.frames), planes, *self.frames[0][0].shape)


def arrange(
    frames: Sequence[Frame], where: str, *, gaps: Gaps = "refuse", drop_partial: bool = False, same: Same | None = None
) -> Volume:
    """Sort frames of one stack.

    Parameters
    ----------
    frames
        With or without planes, not some with and some without.
    where
        Begins messages.
    gaps
        What becomes of missing and uneven slices.
    drop_partial
        Leave out volumes in time that miss slices.
    same
        Whether two frames hold the same pixels; by default, no two do.

    Raises
    ------
    DicomError
        If they lie off a line, leave gaps, or do not form volumes in time.
    """
    if frames[0].kind.is_flat:
        return _film(frames, where, same)
    if any(frame.plane is None for frame in frames):
        ordered = sorted(frames, key=lambda frame: frame.order)
        return Volume((tuple(ordered),), None, notes=("place in the patient unknown; slices by instance number",))
    bins, heights, normal = _bins(frames)
    bins, notes = _in_time(bins, where, drop_partial=drop_partial, same=same)
    heights = heights[[i for i, found in enumerate(bins) if found]]
    bins = [found for found in bins if found]
    volumes = tuple(zip(*bins, strict=True))
    first = _plane(bins[0][0])
    if len(bins) == 1:
        thickness = bins[0][0].thickness
        if thickness <= 0:
            thickness, notes = 1.0, [*notes, "one slice of unknown thickness: 1 mm stands in the affine"]
        return Volume(volumes, _affine(first, first.position, normal * thickness), notes=tuple(notes))
    positions = np.array([_plane(found[0]).position for found in bins])
    direction = (positions[-1] - positions[0]) / (heights[-1] - heights[0])
    _check_line(positions, heights, direction, where)
    planes, weights, said = _grid(heights, where, gaps)
    notes += said
    aside = direction - normal
    tilt = (0.0, 0.0)
    step = direction * (planes[1] - planes[0])
    if np.linalg.norm(aside) > TILT_TOLERANCE:
        angle = float(np.degrees(np.arctan(np.linalg.norm(aside))))
        notes.append(f"slices are sheared by {angle:.2f} degrees (gantry tilt); the affine holds the shear")
        tilt = float(step @ first.row / first.spacing[0]), float(step @ first.column / first.spacing[1])
    origin = first.position + direction * (planes[0] - heights[0])
    return Volume(volumes, _affine(first, origin, step), weights, tilt, tuple(notes))


def _film(frames: Sequence[Frame], where: str, same: Same | None) -> Volume:
    """Return one frame a time; the same file may be there twice."""
    moments: dict[tuple[float, int], list[Frame]] = {}
    for frame in frames:
        moments.setdefault(frame.order, []).append(frame)
    found, copies = _without_copies([moments[order] for order in sorted(moments)], same)
    if any(len(together) > 1 for together in found):
        raise DicomError("RECON-DICOM-DUPLICATE", f"{where}: one image is there twice with different pixels")
    notes = (f"{copies} images that were there twice left out",) if copies else ()
    return Volume(tuple((together[0],) for together in found), None, notes=notes)


def _plane(frame: Frame) -> Plane:
    assert frame.plane is not None  # noqa: S101 - for the type checker: `arrange` sends those without elsewhere
    return frame.plane


def _affine(first: Plane, origin: Vector, step: Vector) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, 0] = first.row * first.spacing[0]
    affine[:3, 1] = first.column * first.spacing[1]
    affine[:3, 2] = step
    affine[:3, 3] = origin
    return _LPS_TO_RAS @ affine


def _bins(frames: Sequence[Frame]) -> tuple[list[list[Frame]], np.ndarray, Vector]:
    """Return frames by place along the normal, rising, the heights of the places, and the normal."""
    normal = _plane(frames[0]).normal
    heights = np.array([_plane(frame).position for frame in frames]) @ normal
    order = np.argsort(heights, kind="stable")
    starts = np.flatnonzero(np.diff(heights[order], prepend=-np.inf) > BIN)
    ends = [*starts[1:], len(frames)]
    bins = [[frames[i] for i in order[a:b]] for a, b in zip(starts, ends, strict=True)]
    return bins, heights[order][starts], normal


def _in_time(
    bins: list[list[Frame]], where: str, *, drop_partial: bool, same: Same | None
) -> tuple[list[list[Frame]], list[str]]:
    """Sort the frames of each place in time, so that the n-th ones form a volume."""
    if all(len(found) == 1 for found in bins):
        return bins, []
    for together in bins:
        positions = np.array([_plane(frame).position for frame in together])
        if np.ptp(positions, axis=0).max() > 2 * POSITION_TOLERANCE[0]:
            raise DicomError("RECON-DICOM-UNEVEN", f"{where}: slices lie side by side in one plane; split the series")
    notes: list[str] = []
    found = _ordered(bins, notes)
    if found is None:
        unique, copies = _without_copies(bins, same)
        if copies:
            notes.append(f"{copies} slices that were there twice left out")
            bins = unique
            found = bins if all(len(b) == 1 for b in bins) else _ordered(bins, notes)
    if found is None and drop_partial:
        found = _complete(bins)
        if found is not None:
            kept = sum(map(len, found))
            notes.append(f"{sum(map(len, bins)) - kept} frames of volumes that miss slices left out")
    if found is not None:
        return found, notes
    counts = Counter(len(b) for b in bins)
    if len(counts) == 1:
        raise DicomError(
            "RECON-DICOM-DUPLICATE",
            f"{where}: {next(iter(counts))} slices lie in each place, and nothing tells them apart; split the series",
        )
    usual = counts.most_common(1)[0][0]
    if usual == 1:
        double = sum(len(b) > 1 for b in bins)
        raise DicomError(
            "RECON-DICOM-DUPLICATE",
            f"{where}: in {double} places lie several slices that differ; split the series or remove them",
        )
    places = ", ".join(str(i + 1) for i, b in enumerate(bins) if len(b) != usual)
    raise DicomError(
        "RECON-DICOM-UNEVEN-TIME",
        f"{where}: places hold {min(counts)} to {max(counts)} frames (unlike the others: {places[:60]}), so volumes in "
        "time miss slices; leave those out with drop_partial",
    )


def _ordered(bins: list[list[Frame]], notes: list[str]) -> list[list[Frame]] | None:
    """Sort by what the header tells, else by numbers alone, with a note: they do not say what the volumes are."""
    found = _by_times(bins)
    if found is None:
        found = _by_order(bins)
        if found is not None and not _distinct(bins, lambda frame: frame.times.started):
            notes.append("volumes told apart by instance numbers alone: they may be of different kinds, not in time")
    return found


def _by_times(bins: list[list[Frame]]) -> list[list[Frame]] | None:
    """Tell frames apart by the first of `Times` whose values are distinct in each place and the same in all."""
    for field in range(len(bins[0][0].times)):
        values: set[Any] = {frame.times[field] for frame in bins[0]}
        by_diffusion = bins[0][0].times._fields[field] == "diffusion"
        if (None in values and not by_diffusion) or len(values) != len(bins[0]):
            continue  # a volume without weighting may not mention it
        if not all(len(b) == len(values) and {frame.times[field] for frame in b} == values for b in bins):
            continue
        firsts: dict[object, tuple[float, int]] = {}
        for b in bins:
            for frame in b:
                key = frame.times[field]
                firsts[key] = min(firsts.get(key, frame.order), frame.order)
        if by_diffusion:  # as they were measured, as tables of gradients are
            return [sorted(b, key=lambda f: (firsts[f.times.diffusion], f.times.diffusion or ())) for b in bins]
        places = {value: place for place, value in enumerate(sorted(values))}
        return [sorted(b, key=lambda frame: places[frame.times[field]]) for b in bins]
    return None


def _by_order(bins: list[list[Frame]]) -> list[list[Frame]] | None:
    """Tell frames apart by the time of acquisition, else by instance and frame numbers.

    The volumes so made must each be of one b-value and direction, and one position in time. Numbers alone prove nothing
    in CT and PET, where two slices in one place are two reconstructions.
    """
    if len({len(b) for b in bins}) > 1:
        return None
    if _distinct(bins, lambda frame: frame.times.started):
        ordered = [sorted(b, key=lambda frame: frame.times.started or 0.0) for b in bins]
        return ordered if _alike(ordered) else None
    if bins[0][0].kind.modality != "MR" or not _distinct(bins, lambda frame: frame.order):
        return None
    ordered = [sorted(b, key=lambda frame: frame.order) for b in bins]
    if _alike(ordered):
        return ordered
    ordered = [sorted(b, key=lambda frame: (frame.times.diffusion or (), frame.order)) for b in bins]
    return ordered if _alike(ordered) else None


def _distinct(bins: list[list[Frame]], value: Callable[[Frame], object]) -> bool:
    """Whether a value is known and no two frames in one place share it."""
    found = [{value(frame) for frame in b} for b in bins]
    return all(None not in values and len(values) == len(b) for values, b in zip(found, bins, strict=True))


def _alike(bins: list[list[Frame]]) -> bool:
    return all(
        len({frame.times.diffusion for frame in volume}) == 1 and len({frame.times.temporal for frame in volume}) == 1
        for volume in zip(*bins, strict=True)
    )


def _without_copies(bins: list[list[Frame]], same: Same | None) -> tuple[list[list[Frame]], int]:
    if same is None:
        return bins, 0
    kept: list[list[Frame]] = []
    for b in bins:
        unique: list[Frame] = []
        for frame in sorted(b, key=lambda frame: frame.order):
            if not any(same(frame, other) for other in unique):
                unique.append(frame)
        kept.append(unique)
    return kept, sum(map(len, bins)) - sum(map(len, kept))


def _complete(bins: list[list[Frame]]) -> list[list[Frame]] | None:
    """Keep the volumes that have a frame in each place, if something tells volumes apart."""
    for field in range(len(bins[0][0].times)):
        if any(len({frame.times[field] for frame in b}) != len(b) for b in bins):
            continue
        full = set.intersection(*({frame.times[field] for frame in b} for b in bins)) - {None}
        if full:
            return _by_times([[frame for frame in b if frame.times[field] in full] for b in bins])
    return None


def _check_line(positions: np.ndarray, heights: np.ndarray, direction: Vector, where: str) -> None:
    absolute, relative = POSITION_TOLERANCE
    step = float(heights[-1] - heights[0]) / (len(heights) - 1)
    on_line = positions[0] + np.outer(heights - heights[0], direction)
    off = float(np.linalg.norm(positions - on_line, axis=1).max())
    if off > max(absolute, relative * step):
        raise DicomError(
            "RECON-DICOM-UNEVEN", f"{where}: slices are up to {off:.3g} mm off a straight line; check the series"
        )


def _grid(heights: np.ndarray, where: str, gaps: Gaps) -> tuple[np.ndarray, np.ndarray | None, list[str]]:
    """Return even heights, what to mix of the slices for each where that is needed, and notes."""
    steps = np.diff(heights)
    count = len(steps)
    even = np.linspace(heights[0], heights[-1], count + 1)
    absolute, relative = POSITION_TOLERANCE
    usual = float(np.sort(steps)[(count - 1) // 2])  # the median, and one of the steps where their number is even
    if np.abs(heights - even).max() <= max(absolute, relative * float(even[1] - even[0])):
        return even, None, []
    tolerance = max(absolute, relative * usual)
    wide = np.flatnonzero(steps > usual + tolerance)
    places = ", ".join(f"{heights[i]:.2f} to {heights[i + 1]:.2f} mm" for i in wide[:3])
    multiples, others = steps[wide] / usual, np.delete(steps, wide)
    whole = 0 < len(wide) <= count / 2 and np.allclose(multiples, np.rint(multiples), atol=0.05)
    missing = whole and np.ptp(others) <= 2 * tolerance
    if gaps == "refuse" or (gaps == "nan" and not missing):
        if missing:
            raise DicomError(
                "RECON-DICOM-GAP",
                f"{where}: slices are missing at {places} (step {usual:.3g} mm); find them, or fill with gaps=resample",
            )
        raise DicomError(
            "RECON-DICOM-UNEVEN",
            f"{where}: steps between slices vary from {steps.min():.3g} to {steps.max():.3g} mm; resample them with "
            "gaps=resample",
        )
    planes = round(float(heights[-1] - heights[0]) / usual) + 1
    if planes > 64 * (count + 1):
        raise DicomError("RECON-DICOM-UNEVEN", f"{where}: steps of {steps.max():.3g} mm are no gap; split the series")
    even = np.linspace(heights[0], heights[-1], max(planes, 2))
    grid = even if missing else _through_most(heights, usual, tolerance)
    weights = np.zeros((len(grid), len(heights)))
    above = np.clip(np.searchsorted(heights, grid), 1, count)
    part = (grid - heights[above - 1]) / steps[above - 1]  # slices that lie on the grid stay as they are:
    part = np.where(np.minimum(part, 1 - part) * steps[above - 1] <= tolerance, np.rint(part), part)
    weights[np.arange(len(grid)), above - 1] = 1 - part
    weights[np.arange(len(grid)), above] = part
    made = int(((part > 0) & (part < 1)).sum())
    if gaps == "nan":
        weights[(part > 0) & (part < 1)] = np.nan
        return grid, weights, [f"{made} missing slices hold NaN, at {places}"]
    what = f"missing at {places}" if missing else f"steps from {steps.min():.3g} to {steps.max():.3g} mm"
    return grid, weights, [f"{made} of {len(grid)} slices interpolated along z ({what})"]


def _through_most(heights: np.ndarray, step: float, tolerance: float) -> np.ndarray:
    """Return heights of even steps within the slices, placed so that as many slices as can be lie on them."""
    off = [np.abs((heights - start) / step - np.rint((heights - start) / step)) * step for start in heights]
    start = heights[int(np.argmax([np.clip(1 - distance / tolerance, 0, 1).sum() for distance in off]))]
    below = math.floor((start - heights[0] + tolerance) / step)
    above = math.floor((heights[-1] - start + tolerance) / step)
    return np.asarray(start + step * np.arange(-below, above + 1))
