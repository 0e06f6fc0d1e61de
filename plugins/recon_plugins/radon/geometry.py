"""Where the rays of a scanner run: small frozen values in mm and radians."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor

from recon.errors import UsageError
from recon.registry import suggest

__all__ = [
    "Detector",
    "FanBeam",
    "Geometry",
    "ParallelBeam",
    "check_source",
    "equispaced",
    "from_mapping",
    "geometry_from",
]

Detector = Literal["flat", "curved"]


@dataclass(frozen=True)
class ParallelBeam:
    """Parallel rays: those of view theta are x cos(theta) + y sin(theta) = t_i.

    t_i = (i - (D - 1) / 2) bin_size + offset; x to the right, y up, from the image's centre; rays run along
    (-sin(theta), cos(theta)).

    Parameters
    ----------
    angles
        The views' angles in radians.
    bins
        Number D of detector bins.
    bin_size
        Width of a bin in mm.
    offset
        Shift of the detector along its own axis (cos(theta), sin(theta)) in mm.

    Raises
    ------
    UsageError
        If there are no angles, if they are not finite or look like degrees, or if a length is not positive.
    """

    angles: tuple[float, ...]
    bins: int
    bin_size: float
    offset: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "angles", _checked(self.angles))
        _check_detector(self.bins, self.bin_size, self.offset)

    @property
    def spacing(self) -> float:
        """Distance of neighbouring rays at the centre of rotation in mm."""
        return self.bin_size

    @property
    def symmetric(self) -> bool:
        """Whether the rays left of the central one mirror those right of it."""
        return self.offset == 0

    def positions(self) -> Tensor:
        """Return the centres t_i of the bins on the detector in mm, float64, of shape (D,)."""
        return _positions(self.bins, self.bin_size, self.offset)

    def rays(self, per_bin: int = 1) -> tuple[Tensor, Tensor]:
        """Return a point (mm) of each ray and its unit direction as (x, y): float64, (A, D, per_bin, 2)."""
        along, across = _axes(self.angles)
        t = _within(self.positions(), self.bin_size, per_bin)[..., None]
        origin = t * across
        return origin, along.expand_as(origin)

    def covers(self, radius: float) -> bool:
        """Whether every view sees the whole disk of that radius (mm) about the centre of rotation."""
        return self.bins * self.bin_size / 2 - abs(self.offset) >= radius * (1 - 1e-9)

    @staticmethod
    def bins_for(radius: float, bin_size: float) -> int:
        """Return how many bins see the whole disk of that radius in mm."""
        return _count(2 * radius / bin_size)


@dataclass(frozen=True)
class FanBeam:
    """Rays from a point source that turns about the image's centre together with its detector.

    At view theta the source stands at source_distance (sin(theta), -cos(theta)), and the central ray runs along
    (-sin(theta), cos(theta)), as in the parallel beam. On a flat detector bin i lies t_i along
    (cos(theta), sin(theta)) from the central ray; on a curved one, an arc about the source, it lies at the arc length
    t_i, that is at the fan angle t_i / (source_distance + detector_distance). As for the parallel beam,
    t_i = (i - (D - 1) / 2) bin_size + offset.

    Parameters
    ----------
    angles
        The views' angles in radians.
    bins
        Number D of detector bins.
    bin_size
        Width of a bin on the detector in mm.
    source_distance, detector_distance
        Distance of source and detector from the centre of rotation in mm; 0 for a detector through the centre.
    offset
        Shift of the detector along itself in mm.
    detector
        Flat, or curved about the source.
    tilt
        Turn of a flat detector about its point on the central ray in radians: bin i lies at
        t_i (cos(tilt) across + sin(tilt) along), along being the central ray's direction and across (cos(theta),
        sin(theta)).

    Raises
    ------
    UsageError
        As for `ParallelBeam`, if a curved detector is tilted or spans half a turn or more, or if a tilted one reaches
        behind the source.
    """

    angles: tuple[float, ...]
    bins: int
    bin_size: float
    source_distance: float
    detector_distance: float
    offset: float = 0.0
    detector: Detector = "flat"
    tilt: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "angles", _checked(self.angles))
        _check_detector(self.bins, self.bin_size, self.offset)
        if not (0 < self.source_distance < math.inf and 0 <= self.detector_distance < math.inf):
            raise UsageError(
                f"source_distance must be positive and detector_distance at least 0 (mm), got {self.source_distance:g} "
                f"and {self.detector_distance:g}"
            )
        if self.detector not in ("flat", "curved"):
            raise UsageError(f"detector must be 'flat' or 'curved', got {self.detector!r}")
        if self.detector == "curved" and self._half_width() / self.length >= math.pi / 2:
            raise UsageError("the curved detector spans half a turn or more as seen from the source: use fewer bins")
        if not abs(self.tilt) < math.pi / 2:
            raise UsageError(f"tilt must lie within a quarter turn, got {self.tilt:g} radians")
        if self.tilt and self.detector == "curved":
            raise UsageError("a curved detector is not tilted: shift it along its arc by offset")
        if self._half_width() * math.sin(abs(self.tilt)) >= self.length:
            raise UsageError(f"the detector, tilted by {self.tilt:g} radians, reaches behind the source")

    @property
    def length(self) -> float:
        """Distance of the detector from the source in mm."""
        return self.source_distance + self.detector_distance

    @property
    def spacing(self) -> float:
        """Distance of neighbouring rays at the centre of rotation in mm."""
        return self.bin_size * self.source_distance / self.length

    def positions(self) -> Tensor:
        """Return the centres t_i of the bins on the detector in mm, float64, of shape (D,)."""
        return _positions(self.bins, self.bin_size, self.offset)

    @property
    def symmetric(self) -> bool:
        """Whether the rays left of the central one mirror those right of it."""
        return self.offset == 0 and self.tilt == 0

    def fan_angles(self, t: Tensor) -> Tensor:
        """Return the angle at the source between the ray to position t (mm) on the detector and the central ray."""
        if self.detector == "curved":
            return t / self.length
        return torch.atan2(t * math.cos(self.tilt), self.length + t * math.sin(self.tilt))

    def rays(self, per_bin: int = 1) -> tuple[Tensor, Tensor]:
        """Return the source (mm) of each ray and its unit direction as (x, y): float64, (A, D, per_bin, 2)."""
        along, across = _axes(self.angles)
        fan = self.fan_angles(_within(self.positions(), self.bin_size, per_bin))[..., None]
        direction = fan.cos() * along + fan.sin() * across
        return (-self.source_distance * along).expand_as(direction), direction

    def covers(self, radius: float) -> bool:
        """Whether every view sees the whole disk of that radius (mm) about the centre of rotation."""
        if radius >= self.source_distance:
            return False
        half = self.bins * self.bin_size / 2
        edges = self.fan_angles(torch.tensor([self.offset - half, self.offset + half], dtype=torch.float64))
        needed = math.asin(radius / self.source_distance) * (1 - 1e-9)
        return bool(edges[0] <= -needed and edges[1] >= needed)

    @classmethod
    def bins_for(
        cls, radius: float, bin_size: float, source_distance: float, detector_distance: float, detector: Detector
    ) -> int:
        """Return how many bins see the whole disk of that radius in mm.

        Raises
        ------
        UsageError
            If the source lies inside the disk.
        """
        check_source(radius, source_distance)
        fan = math.asin(radius / source_distance)
        return _count(2 * cls._reach(fan, source_distance + detector_distance, detector) / bin_size)

    @staticmethod
    def _reach(fan: float, length: float, detector: Detector) -> float:
        return length * (math.tan(fan) if detector == "flat" else fan)

    def _half_width(self) -> float:
        return self.bins * self.bin_size / 2 + abs(self.offset)


Geometry = ParallelBeam | FanBeam
Beam = TypeVar("Beam")


def geometry_from(value: Geometry | Mapping[str, Any]) -> Geometry:
    """Return a geometry, which a config gives as a mapping of its arguments: a fan beam if it has a source.

    Raises
    ------
    UsageError
        If an argument is unknown or missing.
    """
    if isinstance(value, (ParallelBeam, FanBeam)):
        return value
    target: type[Geometry] = FanBeam if "source_distance" in value else ParallelBeam
    return from_mapping(target, value)


def from_mapping(target: type[Beam], value: Mapping[str, Any]) -> Beam:
    """Build a dataclass from its fields by name; UsageError if one is unknown or missing."""
    fields = {field.name: field for field in dataclasses.fields(target)}  # type: ignore[arg-type]
    for name in value:
        if name not in fields:
            raise UsageError(f"geometry: {name} is unknown{suggest(name, fields)}; it takes: {', '.join(fields)}")
    missing = [n for n, f in fields.items() if f.default is dataclasses.MISSING and n not in value]
    if missing:
        raise UsageError(f"geometry: {', '.join(missing)} missing")
    return target(**value)


def check_source(radius: float, source_distance: float) -> None:
    """Raise UsageError unless the source runs outside the disk of that radius (mm)."""
    if radius >= source_distance:
        raise UsageError(
            f"the source, {source_distance:g} mm from the centre, lies within the image's circle of {radius:g} mm: "
            "use a larger source_distance or smaller pixels"
        )


def equispaced(views: int, span: float) -> tuple[float, ...]:
    """Return so many angles over [0, span)."""
    return tuple((torch.arange(views, dtype=torch.float64) * (span / views)).tolist())


def _checked(angles: tuple[float, ...]) -> tuple[float, ...]:
    angles = tuple(float(angle) for angle in angles)
    if not angles or not all(math.isfinite(angle) for angle in angles):
        raise UsageError("angles must be a number of views or a list of finite angles in radians")
    largest = max(abs(angle) for angle in angles)
    if largest > 2 * math.pi * (1 + 1e-6):
        raise UsageError(
            f"angles up to {largest:g} look like degrees: radians are expected (use math.radians; give what "
            "is more than one turn modulo 2 pi)"
        )
    if len(angles) > 4 and all(b - a == 1 for a, b in itertools.pairwise(angles)):
        raise UsageError(
            f"angles from {angles[0]:g} to {angles[-1]:g} in steps of exactly 1 look like degrees: radians are "
            "expected (use math.radians)"
        )
    return angles


def _check_detector(bins: int, bin_size: float, offset: float) -> None:
    if bins < 1 or not 0 < bin_size < math.inf or not math.isfinite(offset):
        raise UsageError(
            f"a detector needs bins >= 1, bin_size > 0 and a finite offset, got {bins}, {bin_size:g} and {offset:g}"
        )


def _axes(angles: tuple[float, ...]) -> tuple[Tensor, Tensor]:
    """Directions of the central ray and of the detector, (A, 1, 1, 2)."""
    theta = torch.tensor(angles, dtype=torch.float64)[:, None, None]
    return torch.stack([-theta.sin(), theta.cos()], -1), torch.stack([theta.cos(), theta.sin()], -1)


def _positions(bins: int, bin_size: float, offset: float) -> Tensor:
    return (torch.arange(bins, dtype=torch.float64) - (bins - 1) / 2) * bin_size + offset


def _within(positions: Tensor, bin_size: float, per_bin: int) -> Tensor:
    """Positions of the rays in each bin, (D, per_bin)."""
    inner = ((torch.arange(per_bin, dtype=torch.float64) + 0.5) / per_bin - 0.5) * bin_size
    return positions[:, None] + inner


def _count(ratio: float) -> int:
    # Rounded first: 5 * 0.2 / 0.2 must not become six bins.
    return max(1, math.ceil(round(ratio, 9)))
