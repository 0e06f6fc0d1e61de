"""Points in the plane of two phase encodings."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Annotated, Literal

import numpy as np
import torch
from annotated_types import Ge
from torch import Tensor

from recon.errors import UsageError
from recon_plugins.fourier.poisson_disc import poisson_disc
from recon_plugins.fourier.sampling import Sampling, number, too_many

__all__ = ["PlaneSampling"]


@dataclass(frozen=True, kw_only=True)
class PlaneSampling(Sampling):
    """A rule that picks points in a plane of k-space, whose true acceleration is the nominal one. A value.

    A rectangle about the zero frequency is always kept; ``round(points / acceleration)`` are measured in all, of all
    the plane's points. The others:

    - ``poisson``: at random with a least distance from one another, which grows as 1/2 + s |k| with the distance |k|
      from the rectangle; s is found such that somewhat too many fit, and the surplus is left out at random. On the grid
      points may come closer by half a cell, see `poisson_disc`;
    - ``poisson_uniform``: the same with one distance everywhere;
    - ``gaussian_2d``: with density exp(-|k|^2 / 2), k in sixths of the plane's sides;
    - ``random_2d``: uniformly.

    Parameters
    ----------
    kind
        The rule.
    acceleration
        All points of the plane over those measured.
    calibration
        Sides of the rectangle about the zero frequency, in points; or one number for both.
    corners
        Whether points outside the ellipse that the plane's sides inscribe may be measured.
    axes
        Axes of k-space that span the plane: in volumes, the readout is the third.
    seed
        Seed of the draw, a number or a text.

    References
    ----------
    Lustig and Pauly, Magn. Reson. Med. 64:457, 2010, doi:10.1002/mrm.22428 (Poisson disc)
    """

    kind: Literal["poisson", "poisson_uniform", "gaussian_2d", "random_2d"] = "poisson"
    acceleration: Annotated[float, Ge(1)] = 8.0
    calibration: Annotated[int, Ge(0)] | tuple[Annotated[int, Ge(0)], Annotated[int, Ge(0)]] = 16
    corners: bool = False
    axes: tuple[Literal[-3, -2], Literal[-2, -1]] = (-2, -1)
    seed: int | str = 0

    def _make(self, size: tuple[int, ...]) -> Tensor:
        height, width = (size[axis] for axis in self.axes)
        if self.kind in ("poisson", "poisson_uniform"):
            mask = self._spread(height, width)
        else:
            mask = self._drawn(height, width)
        space = [1] * -min(self.axes)
        for axis in self.axes:
            space[axis] = size[axis]
        return torch.from_numpy(mask).reshape(space)

    def _budget(self, height: int, width: int) -> tuple[np.ndarray, np.ndarray, int]:
        """Return the rectangle about the zero frequency, the points to draw from and how many to draw."""
        sides = self.calibration if isinstance(self.calibration, tuple) else (self.calibration, self.calibration)
        if sides[0] > height or sides[1] > width:
            raise UsageError(f"a calibration region of {sides} points does not fit k-space of {height} x {width}")
        centre = np.zeros((height, width), bool)
        centre[(height - sides[0] + 1) // 2 :, (width - sides[1] + 1) // 2 :][: sides[0], : sides[1]] = True
        y, x = ((np.arange(n) - n // 2) / (n / 2) for n in (height, width))
        allowed = ~centre if self.corners else (y[:, None] ** 2 + x**2 <= 1) & ~centre
        low, wanted = int(centre.sum()), max(1, round(height * width / self.acceleration))
        if wanted < low:
            raise too_many("points", low, height * width, self.acceleration, "calibration")
        if wanted - low > allowed.sum():
            raise UsageError(
                f"acceleration {self.acceleration:g} measures {wanted} points of {height} x {width}, of which only "
                f"{low + int(allowed.sum())} lie within the ellipse: set corners: true or a higher acceleration"
            )
        return centre, allowed, wanted - low

    def _drawn(self, height: int, width: int) -> np.ndarray:
        mask, allowed, count = self._budget(height, width)
        random = np.random.default_rng(number(self.seed))
        # The first arrivals of independent processes are a draw by their rates, without replacement.
        arrival = random.standard_exponential((height, width))
        if self.kind == "gaussian_2d":
            y, x = (6 * (np.arange(n) - n // 2) / n for n in (height, width))
            arrival *= np.exp(0.5 * (y[:, None] ** 2 + x**2))
        arrival[~allowed] = math.inf
        if count:
            mask.ravel()[np.argpartition(arrival.ravel(), count - 1)[:count]] = True
        return mask

    def _spread(self, height: int, width: int) -> np.ndarray:
        centre, allowed, count = self._budget(height, width)
        if not count:
            return centre
        distance = _distance_that_fits(replace(self, seed=0), height, width)
        random = np.random.default_rng(number(self.seed))
        while True:
            points = self._discs(distance, centre, allowed, random)
            surplus = int(points.sum()) - count
            if surplus >= 0:
                # Without some of its points the rest keeps its distances.
                points.ravel()[random.choice(np.flatnonzero(points), surplus, replace=False)] = False
                return points | centre
            distance *= 0.98

    def _discs(
        self, distance: float, centre: np.ndarray, allowed: np.ndarray, random: np.random.Generator
    ) -> np.ndarray:
        """Draw as many points as fit, by the distance between them, or by its growth up to the rim.

        One unit is a cell along the longer side; along the shorter one cells are larger, so that discs become ellipses.
        """
        if self.kind == "poisson_uniform":
            radius = np.full(centre.shape, distance)
        else:
            sides = [int(centre.any(axis).sum()) for axis in (1, 0)]
            y, x = (
                np.maximum(abs(np.arange(n) - n // 2) - side / 2, 0) / (n / 2)
                for n, side in zip(centre.shape, sides, strict=True)
            )
            radius = min(0.5, distance) + distance * np.hypot(y[:, None], x)
        height, width = centre.shape
        scale = (max(height, width) / height, max(height, width) / width)
        return poisson_disc(radius, scale, ~allowed, random)


@lru_cache(maxsize=64)
def _distance_that_fits(rule: PlaneSampling, height: int, width: int) -> float:
    """Return a distance with which one to three per cent too many points fit; it hardly depends on the seed."""
    centre, allowed, count = rule._budget(height, width)
    # The logarithm of the number of points goes almost linearly with that of the distance.
    distance, low, high = math.sqrt(rule.acceleration), (0.0, 0), (math.inf, 0)
    for _ in range(40):
        found = int(rule._discs(distance, centre, allowed, np.random.default_rng(0)).sum())
        if 1.01 * count <= found <= max(1.03 * count, count + 2):
            break
        low, high = ((distance, found), high) if found > 1.02 * count else (low, (distance, found))
        if low[1] and high[1]:
            share = math.log(1.02 * count / low[1]) / math.log(high[1] / low[1])
            distance = low[0] * (high[0] / low[0]) ** min(max(share, 0.1), 0.9)
        else:
            distance *= 1.6 if low[1] else 1 / 1.6
    return distance
