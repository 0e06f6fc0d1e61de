"""Where the rays of a scanner run in space: parallel and cone beams, small frozen values in mm and radians."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from recon.errors import UsageError
from recon_plugins.radon.geometry import Detector, FanBeam, from_mapping
from recon_plugins.radon.grid import Grid

__all__ = ["ConeBeam", "Parallel3D", "RayFans", "SpatialGeometry", "middle_plane", "spatial_geometry_from"]

TURN = 2 * math.pi
COARSEST_HELIX = TURN / 48
"""Largest usual step between the views of a helix in radians; wider ones in round numbers are taken for degrees."""


@dataclass(frozen=True)
class RayFans:
    """All rays of a scan: that of view a, row r and column c is origin + s direction, for every s.

    Within one column of the detector both are affine in the row: origin = start[a, c] + r start_step[a], direction =
    towards[a, c] + r towards_step[a], with axes (x, y, z). Directions have any length; rays have no ends.
    """

    start: Tensor
    """Points of the rays of row 0, float64, (A, C, 3)."""
    start_step: Tensor
    """What a row adds to them, (A, 1, 3)."""
    towards: Tensor
    """Directions of the rays of row 0, (A, C, 3)."""
    towards_step: Tensor
    """What a row adds to them, (A, 1, 3)."""
    rows: int
    """Number R of detector rows."""

    def rays(self) -> tuple[Tensor, Tensor]:
        """Return a point and the direction of each ray: (A, R, C, 3)."""
        row = torch.arange(self.rows, dtype=torch.float64)[:, None, None]
        return (
            self.start[:, None] + row * self.start_step[:, None],
            self.towards[:, None] + row * self.towards_step[:, None],
        )


@dataclass(frozen=True)
class Parallel3D:
    """Parallel rays at right angles to the axis of rotation z, onto a flat detector.

    In view theta the rays run along (-sin(theta), cos(theta), 0); column j of the detector lies u_j along
    (cos(theta), sin(theta), 0) and row i lies v_i along z, u_j = (j - (C - 1) / 2) du + offset_u and
    v_i = (i - (R - 1) / 2) dv + offset_v, from the centre of rotation: each row is a `ParallelBeam`.

    Parameters
    ----------
    angles
        The views' angles in radians.
    bins
        Number of detector rows and columns (R, C).
    bin_size
        Height and width (dv, du) of a bin in mm; one number for both.
    offset
        Shift (v, u) of the detector within itself in mm.
    tilt
        Turns (yaw, pitch, roll) of the detector about its point on the central ray, in radians, as for `ConeBeam`.

    Raises
    ------
    UsageError
        If there are no angles, if they are not finite or look like degrees, or if a length is not positive.
    """

    angles: tuple[float, ...]
    bins: tuple[int, int]
    bin_size: tuple[float, float]
    offset: tuple[float, float] = (0.0, 0.0)
    tilt: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        _check_detector(self)
        _check_angles(self.angles, helical=False)

    @property
    def spacing(self) -> tuple[float, float]:
        """Distance (v, u) of neighbouring rays at the centre of rotation in mm."""
        return self.bin_size

    def positions(self) -> tuple[Tensor, Tensor]:
        """Return the centres of rows v_i and columns u_j on the detector in mm, float64, (R,) and (C,)."""
        return _positions(self)

    def ray_fans(self) -> RayFans:
        """Return all rays in mm."""
        along, across, up = _frame(self.angles)
        across, up = _tilted(self.tilt, along, across, up)
        rows, columns = self.positions()
        start = rows[0] * up + columns[:, None] * across
        return RayFans(start, self.bin_size[0] * up, along.expand_as(start), torch.zeros_like(up), self.bins[0])

    def finer(self, rows: int, columns: int) -> Parallel3D:
        """Return the geometry with every bin divided into so many rows and columns."""
        return dataclasses.replace(self, **_finer(self, rows, columns))

    def views(self, index: Sequence[int]) -> Parallel3D:
        """Return the geometry of the views of these indices alone, in their order."""
        return dataclasses.replace(self, angles=tuple(self.angles[i] for i in index))


@dataclass(frozen=True)
class ConeBeam:
    """Rays from a point source that turns about the z axis together with its detector, on a circle or a helix.

    At view theta the source stands at source_distance (sin(theta), -cos(theta)) and at the height h, and the central
    ray runs along (-sin(theta), cos(theta), 0), as in `FanBeam`. Row i of the detector lies v_i along z, and column j
    u_j along (cos(theta), sin(theta), 0) from the central ray on a flat detector; on a curved one, a cylinder about
    the line through the source parallel to z, at the arc length u_j. u_j = (j - (C - 1) / 2) du + offset_u and
    v_i = (i - (R - 1) / 2) dv + offset_v.

    Parameters
    ----------
    angles
        The views' angles in radians; a helix may run over several turns.
    bins
        Number of detector rows and columns (R, C).
    bin_size
        Height and width (dv, du) of a bin on the detector in mm; one number for both.
    source_distance, detector_distance
        Distance of source and detector from the axis of rotation in mm; 0 for a detector through the axis.
    offset
        Shift (v, u) of the detector within itself in mm.
    detector
        Flat, or curved about the source.
    pitch
        Travel of source and detector along z in mm per turn: h = pitch theta / (2 pi).
    heights
        Height h of source and detector in mm for each view, instead of `pitch`.
    tilt
        Turns (yaw, pitch, roll) of a flat detector about its point on the central ray, in radians: roll first, in its
        own plane, from columns towards rows; then pitch, of the rows' axis z towards the central ray's direction; then
        yaw, of the columns' axis towards that direction (as `FanBeam.tilt`).

    Raises
    ------
    UsageError
        As for `FanBeam`, if angles over several turns look like degrees, or if there is not one height for each view.
    """

    angles: tuple[float, ...]
    bins: tuple[int, int]
    bin_size: tuple[float, float]
    source_distance: float
    detector_distance: float
    offset: tuple[float, float] = (0.0, 0.0)
    detector: Detector = "flat"
    pitch: float = 0.0
    heights: tuple[float, ...] | None = None
    tilt: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        _check_detector(self)
        if not (0 < self.source_distance < math.inf and 0 <= self.detector_distance < math.inf):
            raise UsageError(
                f"source_distance must be positive and detector_distance at least 0 (mm), got {self.source_distance:g} "
                f"and {self.detector_distance:g}"
            )
        if self.detector not in ("flat", "curved"):
            raise UsageError(f"detector must be 'flat' or 'curved', got {self.detector!r}")
        if self.detector == "curved" and any(self.tilt):
            raise UsageError("a curved detector is not tilted: shift it by offset")
        half = [n * size / 2 + abs(shift) for n, size, shift in zip(self.bins, self.bin_size, self.offset, strict=True)]
        if self.detector == "curved" and half[1] / self.length >= math.pi / 2:
            raise UsageError("the curved detector spans half a turn or more as seen from the source: use fewer columns")
        if half[1] * abs(math.sin(self.tilt[0])) + half[0] * abs(math.sin(self.tilt[1])) >= self.length:
            raise UsageError(f"the detector, tilted by {self.tilt} radians, reaches behind the source")
        if self.heights is not None:
            object.__setattr__(self, "heights", tuple(float(h) for h in self.heights))
            if self.pitch or len(self.heights) != len(self.angles) or not all(map(math.isfinite, self.heights)):
                raise UsageError("heights must be one finite height in mm for each view, and exclude a pitch")
        if not math.isfinite(self.pitch):
            raise UsageError(f"pitch must be finite (mm per turn), got {self.pitch}")
        _check_angles(self.angles, helical=self.helical)

    @property
    def length(self) -> float:
        """Distance of the detector from the source in mm."""
        return self.source_distance + self.detector_distance

    @property
    def helical(self) -> bool:
        """Whether the source moves along z."""
        return self.pitch != 0 or (self.heights is not None and len(set(self.heights)) > 1)

    @property
    def spacing(self) -> tuple[float, float]:
        """Distance (v, u) of neighbouring rays at the axis of rotation in mm."""
        shrink = self.source_distance / self.length
        return self.bin_size[0] * shrink, self.bin_size[1] * shrink

    def positions(self) -> tuple[Tensor, Tensor]:
        """Return the centres of rows v_i and columns u_j on the detector in mm, float64, (R,) and (C,)."""
        return _positions(self)

    def elevation(self) -> Tensor:
        """Return the height of source and detector in mm for each view, float64, (A,)."""
        if self.heights is not None:
            return torch.tensor(self.heights, dtype=torch.float64)
        return torch.tensor(self.angles, dtype=torch.float64) * (self.pitch / TURN)

    def ray_fans(self) -> RayFans:
        """Return all rays in mm; their directions reach from the source to the detector."""
        along, across, up = _frame(self.angles)
        rows, columns = self.positions()
        source = -self.source_distance * along + self.elevation()[:, None, None] * up
        if self.detector == "curved":
            fan = columns[:, None] / self.length
            towards = self.length * (fan.cos() * along + fan.sin() * across) + rows[0] * up
        else:
            central = self.length * along
            across, up = _tilted(self.tilt, along, across, up)
            towards = central + rows[0] * up + columns[:, None] * across
        return RayFans(source.expand_as(towards), torch.zeros_like(up), towards, self.bin_size[0] * up, self.bins[0])

    def finer(self, rows: int, columns: int) -> ConeBeam:
        """Return the geometry with every bin divided into so many rows and columns."""
        return dataclasses.replace(self, **_finer(self, rows, columns))

    def views(self, index: Sequence[int]) -> ConeBeam:
        """Return the geometry of the views of these indices alone, in their order."""
        heights = None if self.heights is None else tuple(self.heights[i] for i in index)
        return dataclasses.replace(self, angles=tuple(self.angles[i] for i in index), heights=heights)

    @classmethod
    def bins_for(
        cls,
        grid: Grid,
        bin_size: tuple[float, float],
        source_distance: float,
        detector_distance: float,
        detector: Detector,
    ) -> tuple[int, int]:
        """Return how many rows and columns see the whole volume on a circular scan.

        Raises
        ------
        UsageError
            If the source runs through the volume.
        """
        check_outside(grid, source_distance)
        length = source_distance + detector_distance
        fan = math.asin(grid.radius / source_distance)
        width = length * (math.tan(fan) if detector == "flat" else fan)
        # The nearest point of the cylinder is the one that is magnified most; off the axis of a flat detector, more so.
        height = (grid.size[0] * grid.pixel[0] / 2 + abs(grid.centre[2])) * length / (source_distance - grid.radius)
        return _count(2 * height / bin_size[0]), _count(2 * width / bin_size[1])


SpatialGeometry = Parallel3D | ConeBeam


def spatial_geometry_from(value: SpatialGeometry | Mapping[str, Any]) -> SpatialGeometry:
    """Return a geometry, which a config gives as a mapping of its arguments: a cone beam if it has a source.

    Raises
    ------
    UsageError
        If an argument is unknown or missing.
    """
    if isinstance(value, (Parallel3D, ConeBeam)):
        return value
    target: type[SpatialGeometry] = ConeBeam if "source_distance" in value else Parallel3D
    return from_mapping(target, value)


def middle_plane(geometry: ConeBeam) -> FanBeam:
    """Return the fan beam of a detector row level with the source, with angles modulo a turn."""
    return FanBeam(
        tuple(angle % TURN for angle in geometry.angles),
        geometry.bins[1],
        geometry.bin_size[1],
        geometry.source_distance,
        geometry.detector_distance,
        geometry.offset[1],
        geometry.detector,
        geometry.tilt[0],
    )


def check_outside(grid: Grid, source_distance: float) -> None:
    """Raise UsageError unless the source runs outside the volume's circle."""
    if grid.radius >= source_distance:
        raise UsageError(
            f"the source, {source_distance:g} mm from the axis, runs through the volume's circle of {grid.radius:g} "
            "mm: use a larger source_distance or smaller voxels"
        )


def pair(value: Any, kind: type) -> tuple[Any, Any]:
    """Return two numbers of that kind, of which one may stand for both."""
    values = (value, value) if isinstance(value, (int, float)) else tuple(value)
    if len(values) != 2:
        raise UsageError(f"one number or two (rows, columns) are expected, got {value}")
    return kind(values[0]), kind(values[1])


def _check_detector(geometry: SpatialGeometry) -> None:
    set_ = object.__setattr__
    set_(geometry, "angles", tuple(float(angle) for angle in geometry.angles))
    set_(geometry, "bins", pair(geometry.bins, int))
    set_(geometry, "bin_size", pair(geometry.bin_size, float))
    set_(geometry, "offset", pair(geometry.offset, float))
    set_(geometry, "tilt", tuple(float(angle) for angle in geometry.tilt))
    if (
        min(geometry.bins) < 1
        or not all(0 < size < math.inf for size in geometry.bin_size)
        or not all(map(math.isfinite, geometry.offset))
    ):
        raise UsageError(
            f"a detector needs bins >= 1, bin_size > 0 and finite offsets, got {geometry.bins}, {geometry.bin_size} "
            f"and {geometry.offset}"
        )
    if len(geometry.tilt) != 3 or not all(abs(angle) < math.pi / 2 for angle in geometry.tilt):
        raise UsageError(f"tilt is (yaw, pitch, roll), each within a quarter turn, got {geometry.tilt}")


def _check_angles(angles: tuple[float, ...], *, helical: bool) -> None:
    if not angles or not all(map(math.isfinite, angles)):
        raise UsageError("angles must be a number of views or a list of finite angles in radians")
    largest = max(map(abs, angles))
    if largest <= 2 * TURN * (1 + 1e-6):  # a turn that starts anywhere
        return
    ordered = torch.tensor(angles, dtype=torch.float64)
    step = float(ordered.diff().abs().median()) if len(angles) > 1 else math.inf
    if not helical:
        raise UsageError(
            f"angles up to {largest:g} look like degrees: radians are expected (use math.radians; give what is more "
            "than two turns modulo 2 pi)"
        )
    if step > COARSEST_HELIX and bool((ordered * 8 == (ordered * 8).round()).all()):
        raise UsageError(
            f"angles up to {largest:g} in steps of {step:g} look like degrees: radians are expected (use math.radians)"
        )


def _frame(angles: tuple[float, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """Directions of the central ray, of the detector's columns and of its rows, each (A, 1, 3)."""
    theta = torch.tensor(angles, dtype=torch.float64)[:, None]
    zero, one = torch.zeros_like(theta), torch.ones_like(theta)
    return (
        torch.stack([-theta.sin(), theta.cos(), zero], -1),
        torch.stack([theta.cos(), theta.sin(), zero], -1),
        torch.stack([zero, zero, one], -1),
    )


def _tilted(tilt: tuple[float, float, float], along: Tensor, across: Tensor, up: Tensor) -> tuple[Tensor, Tensor]:
    """Directions of the columns and of the rows of a detector turned by yaw, pitch and roll."""
    yaw, pitch, roll = tilt
    turned = math.cos(yaw) * across + math.sin(yaw) * along
    normal = math.cos(yaw) * along - math.sin(yaw) * across
    raised = math.cos(pitch) * up + math.sin(pitch) * normal
    return math.cos(roll) * turned + math.sin(roll) * raised, math.cos(roll) * raised - math.sin(roll) * turned


def _positions(geometry: SpatialGeometry) -> tuple[Tensor, Tensor]:
    rows, columns = (
        (torch.arange(n, dtype=torch.float64) - (n - 1) / 2) * size + shift
        for n, size, shift in zip(geometry.bins, geometry.bin_size, geometry.offset, strict=True)
    )
    return rows, columns


def _finer(geometry: SpatialGeometry, rows: int, columns: int) -> dict[str, Any]:
    (r, c), (dv, du) = geometry.bins, geometry.bin_size
    return {"bins": (r * rows, c * columns), "bin_size": (dv / rows, du / columns)}


def _count(ratio: float) -> int:
    # Rounded first: 5 * 0.2 / 0.2 must not become six bins.
    return max(1, math.ceil(round(ratio, 9)))
