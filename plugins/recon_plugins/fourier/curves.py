"""Radial and spiral trajectories on the Cartesian grid."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Annotated, Literal

import numpy as np
import torch
from annotated_types import Ge, Gt
from torch import Tensor

from recon.errors import UsageError
from recon_plugins.fourier.sampling import Sampling, number

__all__ = ["CurveSampling"]

GOLDEN = math.pi / ((1 + math.sqrt(5)) / 2)
"""The golden angle between lines, 111.25 degrees."""


@dataclass(frozen=True, kw_only=True)
class CurveSampling(Sampling):
    """A rule that picks the grid points nearest to a curve in a plane of k-space. A value.

    The curves fill the ellipse that the plane's sides inscribe, and turn with the seed. Their number or length is the
    one that comes closest to the acceleration; see `acceleration_for` for the true one.

    - ``radial``: lines through the zero frequency, at equal angles;
    - ``radial_golden``: the same, each 111.25 degrees on from the one before;
    - ``spiral``: `arms` spirals from the zero frequency, with |k| = t^power after the share t of their turns.

    Parameters
    ----------
    kind
        The rule.
    acceleration
        All points of the plane over those wanted.
    arms
        Number of spirals.
    power
        1 spaces the turns of a spiral evenly; more measures low frequencies more densely.
    axes
        Axes of k-space that span the plane: in volumes, the readout is the third.
    seed
        Seed of the turn, a number or a text.

    References
    ----------
    Winkelmann et al., IEEE Trans. Med. Imaging 26:68, 2007, doi:10.1109/TMI.2006.885337 (golden angle)
    """

    kind: Literal["radial", "radial_golden", "spiral"] = "radial"
    acceleration: Annotated[float, Gt(1)] = 4.0
    arms: Annotated[int, Ge(1)] = 1
    power: Annotated[float, Gt(0)] = 1.5
    axes: tuple[Literal[-3, -2], Literal[-2, -1]] = (-2, -1)
    seed: int | str = 0

    def _make(self, size: tuple[int, ...]) -> Tensor:
        height, width = (size[axis] for axis in self.axes)
        curves = _curves_that_fit(replace(self, seed=0), height, width)
        turn = 2 * math.pi * np.random.default_rng(number(self.seed)).random()
        space = [1] * -min(self.axes)
        for axis in self.axes:
            space[axis] = size[axis]
        return torch.from_numpy(self._draw_curves(curves, turn, height, width)).reshape(space)

    def _draw_curves(self, amount: float, turn: float, height: int, width: int) -> np.ndarray:
        """Mark the points of so many lines, or of spirals of so many turns."""
        longest = max(height, width)
        radius: np.ndarray
        angle: np.ndarray
        if self.kind == "spiral":
            # Less than a cell a sample at the rim, where they are fastest.
            share = np.linspace(0, 1, math.ceil(longest * (1 + 2 * math.pi * amount * max(1, self.power))) + 1)
            radius = share**self.power
            arm = 2 * math.pi / self.arms * np.arange(self.arms)[:, None]
            angle = turn + arm + 2 * math.pi * amount * share
        else:
            radius = np.linspace(-1.0, 1.0, 2 * longest + 1)
            step = GOLDEN if self.kind == "radial_golden" else math.pi / round(amount)
            angle = turn + step * np.arange(round(amount))[:, None]
        y = np.floor(height // 2 + radius * np.sin(angle) * (height / 2) + 0.5).astype(int)
        x = np.floor(width // 2 + radius * np.cos(angle) * (width / 2) + 0.5).astype(int)
        inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        mask = np.zeros((height, width), bool)
        mask[y[inside], x[inside]] = True
        return mask


@lru_cache(maxsize=64)
def _curves_that_fit(rule: CurveSampling, height: int, width: int) -> float:
    """Return the number of lines, or of turns, whose points come closest to the acceleration."""
    wanted = height * width / rule.acceleration

    def found(amount: float) -> int:
        return int(rule._draw_curves(amount, 0.0, height, width).sum())

    whole = rule.kind != "spiral"
    low, high = (1.0, 4.0 * max(height, width)) if whole else (0.0, max(height, width) / rule.arms)
    if found(high) < wanted or found(low) > 1.5 * wanted:
        raise UsageError(
            f"no {rule.kind} sampling of {height} x {width} has acceleration {rule.acceleration:g}: it can be "
            f"{height * width / found(high):.3g} to {height * width / found(low):.3g}"
        )
    return _bisect(found, wanted, low, high, 1.0 if whole else 1e-3)


def _bisect(found: Callable[[float], int], wanted: float, low: float, high: float, precision: float) -> float:
    while high - low > precision:
        middle = (low + high) / 2
        middle = float(round(middle)) if precision == 1 else middle
        low, high = (middle, high) if found(middle) < wanted else (low, middle)
    return min((low, high), key=lambda amount: abs(found(amount) - wanted))
