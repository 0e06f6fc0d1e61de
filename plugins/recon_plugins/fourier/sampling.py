"""Rules that say which points of k-space are measured."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from recon.errors import ParameterError, UsageError
from recon.schema import validate

__all__ = ["Sampling", "calibration_region", "number", "too_many"]


class Sampling(ABC):
    """A rule that picks points of k-space: a frozen dataclass with a seed. Equal rules give equal masks."""

    kind: Any
    seed: Any

    @classmethod
    def parse(cls, config: Self | Mapping[str, Any], field: str = "mask") -> Self:
        """Make one from a config such as ``{"kind": "random", "acceleration": 4}``.

        Raises
        ------
        ParameterError
            If a name is unknown or a value is out of its range; `field` names where the config stood.
        """
        if isinstance(config, cls):
            return config
        try:
            return cls(**validate(cls, config, ""))  # type: ignore[arg-type]
        except ParameterError as error:
            raise ParameterError("", [((field, *path), message) for path, message in error.problems]) from None

    def mask(self, size: tuple[int, ...], device: torch.device | str = "cpu") -> Tensor:
        """Return the boolean mask for k-space of the size ([time,] *space); it is shared, so do not write to it.

        It has sizes of 1 where it does not vary, and no such axes in front.

        Raises
        ------
        UsageError
            If the settings are impossible for that size; the message says what to change.
        """
        return _mask(self, tuple(size), torch.device(device))

    def draw(self, generator: torch.Generator) -> Self:
        """Return the rule with a new seed. With a generator of the CPU nothing waits for a device."""
        seed = torch.randint(2**31 - 1, (), generator=generator, device=generator.device)
        return replace(self, seed=int(seed))  # type: ignore[type-var]

    def acceleration_for(self, size: tuple[int, ...]) -> float:
        """Return the true acceleration: the points of k-space over those measured."""
        mask = self.mask(size)
        return mask.numel() / int(mask.sum())

    def calibration_region(self, size: tuple[int, ...]) -> tuple[slice, ...]:
        """Return the block about the zero frequency that is measured completely, see the function of that name."""
        return calibration_region(self.mask(size))

    def check(self, dimensions: int, time: bool) -> None:  # noqa: ARG002
        """Raise UsageError unless the rule can be one for so many spatial axes, after one of `time` or not."""
        for axis in getattr(self, "axes", ()):
            if axis < -dimensions:
                raise UsageError(f"{self.kind} sampling along axis {axis} needs dimensions: {-axis}")

    @abstractmethod
    def _make(self, size: tuple[int, ...]) -> Tensor:
        """Make the mask."""


# A mask is asked for at every application of its operator; those of a training are drawn once and not seen again.
@lru_cache(maxsize=64)
@torch.inference_mode(False)  # what is kept may meet autograd later
def _mask(rule: Sampling, size: tuple[int, ...], device: torch.device) -> Tensor:
    return rule._make(size).to(device, non_blocking=True)


def calibration_region(mask: Tensor) -> tuple[slice, ...]:
    """Return the block about the zero frequency (index n // 2) that is measured completely.

    It is grown by turns on all sides. Axes of size 1, along which the mask does not vary, give ``slice(None)``; where
    the zero frequency itself is not measured, the slices are empty.
    """
    measured = mask.cpu().numpy()
    block = [slice(None) if n == 1 else slice(n // 2, n // 2 + 1) for n in measured.shape]
    if not measured[tuple(block)].all():
        return tuple(part if part == slice(None) else slice(part.start, part.start) for part in block)
    sides = [(axis, end) for axis, n in enumerate(measured.shape) if n > 1 for end in (0, 1)]
    while sides:
        for axis, end in list(sides):
            part = block[axis]
            new = part.stop if end else part.start - 1
            layer = [*block[:axis], slice(new, new + 1), *block[axis + 1 :]]
            if 0 <= new < measured.shape[axis] and np.all(measured[tuple(layer)]):
                block[axis] = slice(part.start, new + 1) if end else slice(new, part.stop)
            else:
                sides.remove((axis, end))
    return tuple(block)


def too_many(what: str, points: int, n: int, acceleration: float, setting: str) -> UsageError:
    """Explain that the fully measured centre leaves nothing to draw."""
    return UsageError(
        f"the {points} {what} about the zero frequency are more than the {n / acceleration:.4g} of {n} that "
        f"acceleration {acceleration:g} leaves: lower {setting} or acceleration"
    )


def number(seed: int | str) -> int:
    """Return the number that seeds a generator; texts become one by their hash."""
    return seed if isinstance(seed, int) else int.from_bytes(hashlib.sha256(seed.encode()).digest()[:7])
