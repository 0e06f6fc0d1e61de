"""fastMRI's masks, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from annotated_types import Ge, Gt, Le, Len
from torch import Tensor

from recon.errors import UsageError
from recon_plugins.fourier.sampling import Sampling, too_many

__all__ = ["FastMRISampling"]

Factor = Annotated[float, Ge(1)]
Fraction = Annotated[float, Gt(0), Le(1)]
Pattern = Callable[[np.random.RandomState, int, int, float], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class FastMRISampling(Sampling):
    """The five generators of fastMRI, equal to its `MaskFunc` of the same seed bit for bit. A value.

    They pick columns along the last axis: a block of ``round(n center_fraction)`` about the zero frequency, and

    - ``fastmri_random``: each other column with the probability that meets the acceleration on average;
    - ``fastmri_equispaced``: every `acceleration`-th column, so that the true acceleration is lower than the nominal;
    - ``fastmri_equispaced_fraction``: columns at a wider spacing, rounded, that meets the acceleration; not equispaced;
    - ``fastmri_magic``: every `acceleration`-th column with other offsets on the two sides of the zero frequency, so
      that conjugate symmetry fills gaps; lower than nominal;
    - ``fastmri_magic_fraction``: the same with a spacing that meets the acceleration.

    Parameters
    ----------
    kind
        The rule.
    acceleration, center_fraction
        Nominal acceleration and share of the columns in the block; or several of each, pairs of which the seed picks
        one.
    any_combination
        Whether the seed may combine any acceleration with any fraction.
    padding
        Columns (left, right): none before the first nor from the second on is measured, as VarNet's transform cuts
        masks to what the scanner measured. Values beyond the columns are clamped to them.
    seed
        File name with its suffix, as fastMRI seeds all slices of a volume; or a number.

    References
    ----------
    Zbontar et al., fastMRI, arXiv:1811.08839; version 0.3.0 of its code;
    Defazio, Offset sampling improves deep learning based accelerated MRI reconstructions by exploiting symmetry,
    arXiv:1912.01101
    """

    kind: Literal[
        "fastmri_random",
        "fastmri_equispaced",
        "fastmri_equispaced_fraction",
        "fastmri_magic",
        "fastmri_magic_fraction",
    ] = "fastmri_random"
    acceleration: Factor | Annotated[tuple[Factor, ...], Len(1)] = 4.0
    center_fraction: Fraction | Annotated[tuple[Fraction, ...], Len(1)] = 0.08
    any_combination: bool = False
    padding: tuple[int, int] | None = None
    seed: int | str = 0

    def __post_init__(self) -> None:
        """Refuse what no size allows; lists become tuples, which have hashes."""
        for name in ("acceleration", "center_fraction"):
            value = getattr(self, name)
            if not isinstance(value, (int, float)):
                object.__setattr__(self, name, tuple(value))
        accelerations, fractions = _several(self.acceleration), _several(self.center_fraction)
        if len(accelerations) != len(fractions) and not self.any_combination:
            raise UsageError(
                f"{len(accelerations)} accelerations and {len(fractions)} center_fractions do not pair: give as many "
                "of each, or any_combination: true"
            )
        whole = self.kind in ("fastmri_equispaced", "fastmri_magic")
        if whole and any(round(value) != value for value in accelerations):
            raise UsageError(f"{self.kind} sampling needs a whole acceleration, not {self.acceleration}")

    def columns(self, n: int, device: torch.device | str = "cpu") -> Tensor:
        """Return the boolean mask of `n` columns; it is shared, so do not write to it."""
        return self.mask((n,), device)

    def _make(self, size: tuple[int, ...]) -> Tensor:
        n = size[-1]
        # fastMRI draws from numpy's legacy generator, in this order; equal masks need the same.
        rng = np.random.RandomState([ord(c) for c in self.seed] if isinstance(self.seed, str) else self.seed)
        accelerations, fractions = _several(self.acceleration), _several(self.center_fraction)
        if self.any_combination:
            fraction, acceleration = float(rng.choice(fractions)), float(rng.choice(accelerations))
        else:
            choice = rng.randint(len(fractions))
            fraction, acceleration = fractions[choice], accelerations[choice]
        low = round(n * fraction)
        if self.kind == "fastmri_magic_fraction":
            low = max(min(low, round(n / acceleration)), 1)
        mask = _PATTERNS[self.kind](rng, n, low, acceleration)
        mask[(n - low + 1) // 2 :][:low] = True
        if self.padding is not None:
            left, right = (min(max(end, 0), n) for end in self.padding)
            mask[:left] = False
            mask[right:] = False
        return torch.from_numpy(mask)


def _several(values: float | tuple[float, ...]) -> tuple[float, ...]:
    return values if isinstance(values, tuple) else (values,)


def _random(rng: np.random.RandomState, n: int, low: int, acceleration: float) -> np.ndarray:
    _leave_room(n, low, acceleration)
    mask: np.ndarray = rng.uniform(size=n) < (n / acceleration - low) / (n - low)
    return mask


def _equispaced(rng: np.random.RandomState, n: int, low: int, acceleration: float) -> np.ndarray:  # noqa: ARG001
    step = round(acceleration)
    return _spaced(n, rng.randint(0, step), step)


def _equispaced_fraction(rng: np.random.RandomState, n: int, low: int, acceleration: float) -> np.ndarray:
    _leave_room(n, low, acceleration)
    spacing = acceleration * (low - n) / (low * acceleration - n)
    mask = np.zeros(n, dtype=bool)
    mask[np.around(np.arange(rng.randint(0, round(spacing)), n - 1, spacing)).astype(int)] = True
    return mask


def _magic(rng: np.random.RandomState, n: int, low: int, acceleration: float) -> np.ndarray:  # noqa: ARG001
    return _two_sided(rng, n, round(acceleration))


def _magic_fraction(rng: np.random.RandomState, n: int, low: int, acceleration: float) -> np.ndarray:
    outer = round(n / acceleration) - low
    if outer <= 0:
        raise too_many("columns", low, n, acceleration, "center_fraction")
    return _two_sided(rng, n, round(n / outer))


def _two_sided(rng: np.random.RandomState, n: int, step: int) -> np.ndarray:
    offset = rng.randint(0, step)
    above, below = (offset + 2, offset - 1) if offset % 2 else (offset + 1, offset + 2)
    # Counted from the zero frequency, upwards with it and downwards without it.
    return np.concatenate([_spaced(n // 2, below, step)[::-1], _spaced((n + 1) // 2, above, step)])


def _spaced(n: int, first: int, step: int) -> np.ndarray:
    mask = np.zeros(n, dtype=bool)
    mask[first::step] = True
    return mask


def _leave_room(n: int, low: int, acceleration: float) -> None:
    if low * acceleration >= n:
        raise too_many("columns", low, n, acceleration, "center_fraction")


_PATTERNS: dict[str, Pattern] = {
    "fastmri_random": _random,
    "fastmri_equispaced": _equispaced,
    "fastmri_equispaced_fraction": _equispaced_fraction,
    "fastmri_magic": _magic,
    "fastmri_magic_fraction": _magic_fraction,
}
