"""Columns of k-space: the same for all frames, or other ones for each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Le
from torch import Tensor

from recon.errors import UsageError
from recon_plugins.fourier.sampling import Sampling, number, too_many

__all__ = ["ColumnSampling", "FrameSampling"]

Axis = Literal[-1, -2, -3]


@dataclass(frozen=True, kw_only=True)
class ColumnSampling(Sampling):
    """A rule that picks columns (phase-encoding lines along the last axis) of k-space. A value.

    A block of ``round(n center_fraction)`` columns about the zero frequency is always kept. The kinds:

    - ``random``: ``round(n / acceleration)`` columns in all, the outer ones uniformly without replacement;
    - ``gaussian``: the same number, the outer ones drawn with density exp(-(k / (n / 6))^2 / 2);
    - ``equispaced``: every `acceleration`-th column, from a random first one, besides the block (what GRAPPA needs), so
      that the true acceleration is lower than the nominal one.

    Parameters
    ----------
    kind
        The rule.
    acceleration
        Nominal acceleration; see `acceleration_for` for the true one.
    center_fraction
        Share of the columns in the block about the zero frequency.
    axis
        Axis of k-space that the columns are counted along.
    seed
        Seed of the draw, a number or a text.
    """

    kind: Literal["random", "gaussian", "equispaced"] = "random"
    acceleration: Annotated[float, Ge(1)] = 4.0
    center_fraction: Annotated[float, Ge(0), Le(1)] = 0.08
    axis: Axis = -1
    seed: int | str = 0

    def __post_init__(self) -> None:
        """Refuse what no size allows."""
        _check_spacing(self.kind, self.acceleration)

    @property
    def axes(self) -> tuple[int, ...]:
        """The axes of space on which the mask depends."""
        return (self.axis,)

    def columns(self, n: int, device: torch.device | str = "cpu") -> Tensor:
        """Return the boolean mask of `n` columns; it is shared, so do not write to it.

        Raises
        ------
        UsageError
            If the block about the zero frequency alone is more than the acceleration leaves.
        """
        return self.mask((n,) + (1,) * (-1 - self.axis), device).reshape(n)

    def _make(self, size: tuple[int, ...]) -> Tensor:
        generator = torch.Generator().manual_seed(number(self.seed))
        n = size[self.axis]
        if self.kind == "equispaced":
            columns = _centre(n, self.center_fraction)
            columns |= _every(n, round(self.acceleration), _first(n, self.acceleration, generator))
        else:
            columns = _drawn(self.kind, n, self.acceleration, self.center_fraction, generator)
        return columns.reshape(-1, *[1] * (-1 - self.axis))


@dataclass(frozen=True, kw_only=True)
class FrameSampling(Sampling):
    """A rule that picks other columns of k-space for every frame of a time series (k-t sampling). A value.

    A block of ``round(n center_fraction)`` columns about the zero frequency is kept in all frames. The kinds:

    - ``kt_equispaced``: every `acceleration`-th column, from a first one that moves on by `shift` from frame to frame:
      after ``acceleration`` frames each column has been measured if `shift` shares no factor with it;
    - ``kt_random``, ``kt_gaussian``: each frame by its own draw, as the kinds of `ColumnSampling`.

    Parameters
    ----------
    kind
        The rule.
    acceleration
        Nominal acceleration of a frame.
    center_fraction
        Share of the columns in the block about the zero frequency; 0 measures none but by the rule.
    shift
        Columns by which ``kt_equispaced`` moves on.
    axis
        Axis of k-space that the columns are counted along.
    seed
        Seed of the draw, a number or a text.

    References
    ----------
    Tsao, Boesiger and Pruessmann, Magn. Reson. Med. 50:1031, 2003, doi:10.1002/mrm.10611
    """

    kind: Literal["kt_equispaced", "kt_random", "kt_gaussian"] = "kt_equispaced"
    acceleration: Annotated[float, Ge(1)] = 4.0
    center_fraction: Annotated[float, Ge(0), Le(1)] = 0.0
    shift: Annotated[int, Ge(1)] = 1
    axis: Axis = -1
    seed: int | str = 0

    def __post_init__(self) -> None:
        """Refuse what no size allows."""
        _check_spacing(self.kind, self.acceleration)

    @property
    def axes(self) -> tuple[int, ...]:
        """The axes of space on which the mask depends."""
        return (self.axis,)

    def check(self, dimensions: int, time: bool) -> None:
        """Raise UsageError unless there are frames."""
        super().check(dimensions, time)
        if not time:
            raise UsageError(f"{self.kind} sampling gives every frame columns of its own: it needs time: true")

    def _make(self, size: tuple[int, ...]) -> Tensor:
        frames, n, kind = size[0], size[self.axis], self.kind.removeprefix("kt_")
        generator = torch.Generator().manual_seed(number(self.seed))
        if kind == "equispaced":
            first, centre = _first(n, self.acceleration, generator), _centre(n, self.center_fraction)
            step = round(self.acceleration)
            columns = [centre | _every(n, step, (first + t * self.shift) % step) for t in range(frames)]
        else:
            columns = [_drawn(kind, n, self.acceleration, self.center_fraction, generator) for _ in range(frames)]
        space = [1] * (len(size) - 1)
        space[self.axis] = n
        return torch.stack(columns).reshape(frames, *space)


def _centre(n: int, fraction: float) -> Tensor:
    """Return the mask of the block about the zero frequency."""
    low = round(n * fraction)
    mask = torch.zeros(n, dtype=torch.bool)
    mask[(n - low + 1) // 2 :][:low] = True
    return mask


def _first(n: int, acceleration: float, generator: torch.Generator) -> int:
    """Draw the first of equispaced columns, which exists."""
    return int(torch.randint(min(round(acceleration), n), (), generator=generator))


def _every(n: int, step: int, first: int) -> Tensor:
    return torch.arange(n) % step == first


def _drawn(kind: str, n: int, acceleration: float, fraction: float, generator: torch.Generator) -> Tensor:
    """Return the block and columns drawn beside it, by the density that `kind` names."""
    mask = _centre(n, fraction)
    low = int(mask.sum())
    outer = max(1, round(n / acceleration)) - low
    if outer < 0:
        raise too_many("columns", low, n, acceleration, "center_fraction")
    if outer:
        k = torch.arange(n, dtype=torch.float64) - n // 2
        density = torch.exp(-0.5 * (6 * k / n) ** 2) if kind == "gaussian" else torch.ones_like(k)
        density[mask] = 0
        mask[torch.multinomial(density, outer, generator=generator)] = True
    return mask


def _check_spacing(kind: str, acceleration: float) -> None:
    if kind.endswith("equispaced") and round(acceleration) != acceleration:
        raise UsageError(f"{kind} sampling needs a whole acceleration, not {acceleration:g}")
