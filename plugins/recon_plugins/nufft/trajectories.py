"""Where k-space is sampled: radial, spiral and stacked trajectories in cycles per field of view."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from annotated_types import Gt
from torch import Tensor

from recon.errors import ParameterError, UsageError
from recon.registry import suggest
from recon.schema import validate

__all__ = ["Kooshball", "Radial", "Spiral", "StackOfStars", "Trajectory", "points_of", "trajectory_from"]

Angles = Literal["uniform", "full_turn", "golden", "tiny_golden"]

_STEP = {
    "golden": math.pi * (math.sqrt(5) - 1) / 2,
    "tiny_golden": math.pi / ((math.sqrt(5) + 1) / 2 + 6),
}
"""Angle between spokes in radians: 111.25 and 23.63 degrees."""


@dataclass(frozen=True, kw_only=True)
class Radial:
    """Spokes through the centre of k-space. A value.

    Sample j of S on spoke s is k = n (j - S // 2) / S (sin a_s, cos a_s) along (y, x), so that a spoke at angle 0 runs
    along x, and it reaches k = -n / 2. Shapes: (spokes, samples, 2).

    Parameters
    ----------
    spokes
        Number of spokes.
    samples
        Samples of a spoke; by default twice the longest side of the image, the usual oversampling of a readout.
    angles
        ``uniform``: a_s = pi s / spokes; ``full_turn``: 2 pi s / spokes; ``golden``: 111.25 degrees from spoke to
        spoke; ``tiny_golden``: the seventh tiny golden angle, 23.63 degrees.
    start
        Angle of the first spoke in radians.
    reverse
        Whether spokes run from +k to -k: k = -n (j - S // 2) / S (sin a_s, cos a_s).

    References
    ----------
    Winkelmann et al., IEEE Trans. Med. Imaging 26:68, 2007, doi:10.1109/TMI.2006.885337 (golden angle);
    Wundrak et al., IEEE Trans. Med. Imaging 34:1262, 2015, doi:10.1109/TMI.2014.2382572 (tiny golden angles)
    """

    spokes: Annotated[int, Gt(0)]
    samples: Annotated[int, Gt(0)] | None = None
    angles: Angles = "uniform"
    start: float = 0.0
    reverse: bool = False

    dimensions = 2

    def points(self, size: Sequence[int]) -> Tensor:
        """Return the frequencies of an image of the given size, float64."""
        a = _angles(self.angles, self.spokes) + self.start
        direction = torch.stack([a.sin(), a.cos()], -1)
        return _spokes(direction, self.samples or 2 * max(size), size, -1.0 if self.reverse else 1.0)


@dataclass(frozen=True, kw_only=True)
class Spiral:
    """Interleaved spirals from the centre outwards. A value.

    Sample j of S on interleaf i, with t = j / S: k = n / 2 t^power (sin a, cos a) along (y, x), a = 2 pi (turns t + i /
    interleaves). Shapes: (interleaves, samples, 2).

    Parameters
    ----------
    interleaves
        Number of spirals.
    samples
        Samples of each.
    turns
        How often each winds about the centre; by default so often that neighbouring turns lie 1 cycle per field of view
        apart, at power 1: n / (2 interleaves).
    power
        1 for an Archimedean spiral; more for one that is denser at the centre.
    """

    interleaves: Annotated[int, Gt(0)]
    samples: Annotated[int, Gt(0)]
    turns: Annotated[float, Gt(0)] | None = None
    power: Annotated[float, Gt(0)] = 1.0

    dimensions = 2

    def points(self, size: Sequence[int]) -> Tensor:
        """Return the frequencies of an image of the given size, float64."""
        turns = max(size) / (2 * self.interleaves) if self.turns is None else self.turns
        t = torch.arange(self.samples, dtype=torch.float64) / self.samples
        first = torch.arange(self.interleaves, dtype=torch.float64)[:, None] / self.interleaves
        a = 2 * math.pi * (turns * t + first)
        direction = torch.stack([a.sin(), a.cos()], -1)
        return direction * (t**self.power / 2)[:, None] * _double(size)


@dataclass(frozen=True, kw_only=True)
class Kooshball:
    """Spokes through the centre of three-dimensional k-space. A value.

    Their directions on the half sphere are spread by two-dimensional golden means, so that any run of spokes covers it
    evenly. Samples along a spoke are those of `Radial`. Shapes: (spokes, samples, 3) along (z, y, x).

    Parameters
    ----------
    spokes
        Number of spokes.
    samples
        Samples of a spoke; by default twice the longest side of the image.
    reverse
        Whether spokes run from +k to -k.

    References
    ----------
    Chan et al., Magn. Reson. Med. 61:354, 2009, doi:10.1002/mrm.21837
    """

    spokes: Annotated[int, Gt(0)]
    samples: Annotated[int, Gt(0)] | None = None
    reverse: bool = False

    dimensions = 3

    def points(self, size: Sequence[int]) -> Tensor:
        """Return the frequencies of an image of the given size, float64."""
        # The golden means of two dimensions are 1 / g and 1 / g^2 with g^3 = g^2 + 1.
        g = 1.4655712318767680
        s = torch.arange(self.spokes, dtype=torch.float64)
        z, a = s / g**2 % 1, 2 * math.pi * (s / g % 1)
        across = (1 - z * z).sqrt()
        direction = torch.stack([z, across * a.sin(), across * a.cos()], -1)
        return _spokes(direction, self.samples or 2 * max(size), size, -1.0 if self.reverse else 1.0)


@dataclass(frozen=True, kw_only=True)
class StackOfStars:
    """Radial spokes in the plane of (y, x), Cartesian steps along z. A value.

    Shapes: (partitions, spokes, samples, 3) along (z, y, x); partition p lies at k_z = p - partitions // 2.

    Parameters
    ----------
    spokes, samples, angles
        As for `Radial`, the same in every partition.
    partitions
        Number of steps along z; by default as many as the image has slices.
    """

    spokes: Annotated[int, Gt(0)]
    samples: Annotated[int, Gt(0)] | None = None
    angles: Angles = "golden"
    partitions: Annotated[int, Gt(0)] | None = None

    dimensions = 3

    def points(self, size: Sequence[int]) -> Tensor:
        """Return the frequencies of an image of the given size, float64."""
        star = Radial(spokes=self.spokes, samples=self.samples, angles=self.angles).points(size[1:])
        count = self.partitions or size[0]
        z = (torch.arange(count, dtype=torch.float64) - count // 2).reshape(-1, 1, 1, 1)
        return torch.cat([z.expand(-1, *star.shape[:2], 1), star.expand(count, *star.shape)], -1)


Trajectory = Radial | Spiral | Kooshball | StackOfStars
_KINDS: dict[str, type[Trajectory]] = {
    "radial": Radial,
    "spiral": Spiral,
    "kooshball": Kooshball,
    "stack_of_stars": StackOfStars,
}


def trajectory_from(config: Trajectory | Mapping[str, Any], field: str = "trajectory") -> Trajectory:
    """Make a trajectory from a config such as ``{"kind": "radial", "spokes": 50, "angles": "golden"}``.

    Raises
    ------
    ParameterError
        If the kind or a name is unknown or a value is out of its range; `field` names where the config stood.
    """
    if not isinstance(config, Mapping):
        return config
    kind = config.get("kind")
    if kind not in _KINDS:
        message = f"{kind!r} is not a kind of trajectory{suggest(str(kind), _KINDS)}; there are: {', '.join(_KINDS)}"
        raise ParameterError("", [((field, "kind"), message)])
    target = _KINDS[kind]
    try:
        return target(**validate(target, {name: value for name, value in config.items() if name != "kind"}, ""))
    except ParameterError as error:
        raise ParameterError("", [((field, *path), message) for path, message in error.problems]) from None


def points_of(trajectory: Trajectory, size: Sequence[int]) -> Tensor:
    """Return a trajectory's frequencies in cycles per field of view, for an image of the given size.

    Raises
    ------
    UsageError
        If image and trajectory have not the same number of dimensions.
    """
    if len(size) != trajectory.dimensions:
        raise UsageError(
            f"{type(trajectory).__name__} is a trajectory of {trajectory.dimensions} dimensions, the image's size "
            f"{tuple(size)} has {len(size)}"
        )
    return trajectory.points(size)


def _angles(rule: Angles, count: int) -> Tensor:
    step = _STEP.get(rule) or (2 if rule == "full_turn" else 1) * math.pi / count
    return torch.arange(count, dtype=torch.float64) * step


def _spokes(direction: Tensor, samples: int, size: Sequence[int], sign: float) -> Tensor:
    """Return k = sign n (j - S // 2) / S direction, (spokes, samples, dimensions)."""
    radius = sign * (torch.arange(samples, dtype=torch.float64) - samples // 2) / samples
    return direction[:, None] * radius[:, None] * _double(size)


def _double(size: Sequence[int]) -> Tensor:
    return torch.tensor(list(size), dtype=torch.float64)
