"""Which columns of k-space are measured."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Annotated, Any, Literal

import numpy as np
import torch
from annotated_types import Ge, Le
from torch import Tensor

from recon.errors import ParameterError, UsageError
from recon.schema import validate

__all__ = ["ColumnSampling", "Sampling", "as_sampling", "fastmri_columns"]

Kind = Literal["random", "equispaced", "gaussian", "fastmri_random", "fastmri_equispaced_fraction"]


class Sampling(ABC):
    """A rule that says which points of k-space are measured. A value, drawn anew by a seed."""

    @abstractmethod
    def mask(self, size: tuple[int, ...], device: torch.device | str = "cpu") -> Tensor:
        """Return the boolean mask for k-space of that size; it is shared, so do not write to it."""

    @abstractmethod
    def draw(self, generator: torch.Generator) -> Sampling:
        """Return the rule with a new seed. With a generator of the CPU nothing waits for a device."""

    def check_axes(self, axes: int) -> None:  # noqa: B027 - most rules fit any
        """Raise UsageError unless k-space of that many axes will do."""


def as_sampling(config: Sampling | Mapping[str, Any], field: str = "mask") -> Sampling:
    """Make a rule from its config."""
    return config if isinstance(config, Sampling) else ColumnSampling.parse(config, field)


@dataclass(frozen=True, kw_only=True)
class ColumnSampling(Sampling):
    """A rule that picks columns (phase-encoding lines along the last axis) of k-space. A value.

    A block of ``round(n center_fraction)`` columns about the zero frequency is always kept. The kinds:

    - ``random``: ``round(n / acceleration)`` columns in all, the outer ones uniformly without replacement;
    - ``gaussian``: the same number, the outer ones drawn with density exp(-(k / (n / 6))^2 / 2);
    - ``equispaced``: every `acceleration`-th column, from a random first one, besides the block (what GRAPPA needs), so
      that the true acceleration is lower than the nominal one;
    - ``fastmri_random``, ``fastmri_equispaced_fraction``: fastMRI's, bit for bit; seeded by the file's name there. The
      number of columns of the first is itself random.

    Parameters
    ----------
    kind
        The rule.
    acceleration
        Nominal acceleration; see `accelerates` for the true one.
    center_fraction
        Share of the columns in the block about the zero frequency.
    seed
        Seed of the draw; a text (a file name) as fastMRI uses it.

    References
    ----------
    Zbontar et al., fastMRI, arXiv:1811.08839; kinds ``fastmri_*`` follow version 0.3.0 of its code.
    """

    kind: Kind = "random"
    acceleration: Annotated[float, Ge(1)] = 4.0
    center_fraction: Annotated[float, Ge(0), Le(1)] = 0.08
    seed: int | str = 0

    @classmethod
    def parse(cls, config: ColumnSampling | Mapping[str, Any], field: str = "mask") -> ColumnSampling:
        """Make one from a config such as ``{"kind": "random", "acceleration": 4}``.

        Raises
        ------
        ParameterError
            If a name is unknown or a value is out of its range; `field` names where the config stood.
        """
        if isinstance(config, ColumnSampling):
            return config
        try:
            return cls(**validate(cls, config, ""))
        except ParameterError as error:
            raise ParameterError("", [((field, *path), message) for path, message in error.problems]) from None

    def mask(self, size: tuple[int, ...], device: torch.device | str = "cpu") -> Tensor:
        """Return the boolean mask of the columns, (W,); it is shared, so do not write to it."""
        return self.columns(size[-1], device)

    def columns(self, n: int, device: torch.device | str = "cpu") -> Tensor:
        """Return the boolean mask of the `n` columns; it is shared, so do not write to it.

        Raises
        ------
        UsageError
            If the block about the zero frequency alone is more than the acceleration leaves, or `acceleration` is not
            whole where the kind is ``equispaced``.
        """
        return _columns_on(self, n, torch.device(device))

    def accelerates(self, n: int) -> float:
        """Return the true acceleration for `n` columns: n over the number of columns kept."""
        return n / int(_columns_on(self, n, torch.device("cpu")).sum())

    def draw(self, generator: torch.Generator) -> ColumnSampling:
        """Return the rule with a new seed. With a generator of the CPU nothing waits for a device."""
        seed = torch.randint(2**31 - 1, (), generator=generator, device=generator.device)
        return replace(self, seed=int(seed))


@lru_cache(maxsize=256)
def _columns_on(rule: ColumnSampling, n: int, device: torch.device) -> Tensor:
    return _columns(rule, n).to(device, non_blocking=True)


def _columns(rule: ColumnSampling, n: int) -> Tensor:
    if rule.kind in ("fastmri_random", "fastmri_equispaced_fraction"):
        kind = rule.kind.removeprefix("fastmri_")
        return fastmri_columns(kind, n, [rule.center_fraction], [rule.acceleration], rule.seed)
    low = round(n * rule.center_fraction)
    mask = torch.zeros(n, dtype=torch.bool)
    mask[(n - low + 1) // 2 :][:low] = True
    generator = torch.Generator().manual_seed(_number(rule.seed))
    if rule.kind == "equispaced":
        step = round(rule.acceleration)
        if step != rule.acceleration:
            raise UsageError(f"equispaced sampling needs a whole acceleration, not {rule.acceleration:g}")
        # No first column beyond the last one, so that a mask is never empty.
        mask[int(torch.randint(min(step, n), (), generator=generator)) :: step] = True
        return mask
    outer = max(1, round(n / rule.acceleration)) - low
    if outer < 0:
        raise _too_many(low, n, rule.acceleration)
    if outer:
        k = torch.arange(n, dtype=torch.float64) - n // 2
        density = torch.exp(-0.5 * (6 * k / n) ** 2) if rule.kind == "gaussian" else torch.ones_like(k)
        density[mask] = 0
        mask[torch.multinomial(density, outer, generator=generator)] = True
    return mask


def fastmri_columns(
    kind: str, n: int, center_fractions: list[float], accelerations: list[float], seed: int | str
) -> Tensor:
    """Return fastMRI's column mask, equal to its `MaskFunc` of the same seed bit for bit.

    Parameters
    ----------
    kind
        ``random`` or ``equispaced_fraction``.
    n
        Number of columns.
    center_fractions, accelerations
        Pairs, of which the seed picks one.
    seed
        File name with its suffix, as fastMRI seeds a volume, or a number.
    """
    # fastMRI draws from numpy's legacy generator, so equal masks need it too.
    rng = np.random.RandomState([ord(c) for c in seed] if isinstance(seed, str) else seed)
    choice = rng.randint(len(center_fractions))
    acceleration = accelerations[choice]
    low = round(n * center_fractions[choice])
    if low * acceleration >= n:
        raise _too_many(low, n, acceleration)
    if kind == "random":
        mask = rng.uniform(size=n) < (n / acceleration - low) / (n - low)
    else:
        spacing = acceleration * (low - n) / (low * acceleration - n)
        mask = np.zeros(n, dtype=bool)
        mask[np.around(np.arange(rng.randint(0, round(spacing)), n - 1, spacing)).astype(int)] = True
    mask[(n - low + 1) // 2 :][:low] = True
    return torch.from_numpy(mask)


def _too_many(low: int, n: int, acceleration: float) -> UsageError:
    return UsageError(
        f"the {low} columns about the zero frequency are more than the {n / acceleration:.4g} of {n} that acceleration "
        f"{acceleration:g} leaves: lower center_fraction or acceleration"
    )


def _number(seed: int | str) -> int:
    return seed if isinstance(seed, int) else int.from_bytes(hashlib.sha256(seed.encode()).digest()[:7])
