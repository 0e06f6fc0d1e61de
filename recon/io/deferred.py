"""Data that stay in their file until they are asked for, so that a volume larger than memory can be worked through."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from recon.errors import FileFormatError

__all__ = ["AT_ONCE", "Deferred", "Loaded", "deferred"]

AT_ONCE = 2**26
"""Data of at most so many bytes are read with their file: nothing is gained by leaving them there."""


@dataclass(frozen=True, slots=True)
class Deferred:
    """A tensor that a file holds, read by items of its first axis.

    Parameters
    ----------
    shape
        Shape of the whole.
    dtype
        Type of what `read` gives.
    read
        Called with the first item and the one past the last; returns these items. It opens the file each time, so that
        nothing is left open, and raises FileFormatError for damage.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype
    read: Callable[[int, int], Tensor]

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def items(self, start: int, stop: int) -> Tensor:
        """Read some items.

        Raises
        ------
        FileFormatError
            If the file has changed since it was first looked at.
        """
        found = self.read(start, stop)
        if tuple(found.shape) != (stop - start, *self.shape[1:]) or found.dtype != self.dtype:
            raise FileFormatError(f"items {start} to {stop} are not what the file said it holds: has it changed?")
        return found


def deferred(shape: Sequence[int], dtype: torch.dtype, read: Callable[[int, int], Tensor]) -> Tensor | Deferred:
    """Return `Deferred` data, or the data themselves where they are small; the arguments are those of `Deferred`."""
    held = Deferred(tuple(shape), dtype, read)
    return held if math.prod(shape) * dtype.itemsize > AT_ONCE else held.items(0, shape[0])


class Loaded:
    """A field of a dataclass that takes a tensor or a `Deferred`, and is a tensor, read when it is first asked for."""

    def __set_name__(self, owner: type, name: str) -> None:
        """Remember under which name the field stands."""
        self.name = name

    def __get__(self, instance: Any, owner: type | None = None) -> Tensor:
        """Return the tensor, which is kept from now on."""
        if instance is None:  # how dataclasses ask for a default
            raise AttributeError(self.name)
        value = instance.__dict__[self.name]
        if isinstance(value, Deferred):
            value = instance.__dict__[self.name] = value.items(0, value.shape[0])
        return value  # type: ignore[no-any-return]

    def __set__(self, instance: Any, value: Tensor | Deferred) -> None:
        """Keep either."""
        instance.__dict__[self.name] = value
