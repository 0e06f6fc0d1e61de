"""What calibrations have in common."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Annotated, Literal, Self

import torch
from annotated_types import Gt
from torch import Tensor

from recon.calibration import calibration_data
from recon.operators import Operator

__all__ = ["Calibration", "Phase", "principal_component", "referenced"]

Phase = Literal["principal", "first"]
"""What the phase of maps is relative to: the principal component of the coils, or the first coil."""


@dataclass(frozen=True, kw_only=True)
class Calibration(ABC):
    """Base of the methods that estimate coil sensitivities from the fully sampled centre of k-space.

    A subclass defines `estimate`. `with_calibration` gives the method that takes separate calibration data.
    """

    width: Annotated[int, Gt(0)] | None = 24
    phase: Phase = "principal"
    _given: Tensor | None = field(default=None, init=False, repr=False, compare=False)

    @abstractmethod
    def estimate(self, centre: Tensor, size: tuple[int, ...]) -> Tensor:
        """Return the maps on a grid of `size`.

        Shapes: centre (batch, coil, *block), k-space -> (batch, coil, *size) or (batch, set, coil, *size).
        """

    def __call__(self, y: Tensor, operator: Operator) -> Tensor:
        """Return the maps. Shapes: y as `operator` gives it, one channel a coil -> (batch, coil, *space)."""
        mask = getattr(operator.noiseless, "mask", None)
        if isinstance(mask, Tensor) and mask.ndim > y.ndim - 2 and len(y) > 1 and len(mask) == len(y):
            # The fully sampled block of an item is that of its own mask.
            return torch.cat(
                [self._of_item(i)(y[i : i + 1], operator.with_(mask=mask[i : i + 1])) for i in range(len(y))]
            )
        with torch.no_grad():
            centre = calibration_data(y, operator, width=self.width, given=self._given)
            return self.estimate(centre, _image_size(y, operator, centre.ndim - 2))

    def with_calibration(self, data: Tensor) -> Self:
        """Return the calibration that takes k-space `data`, of the shape of the measurement, instead of it."""
        new = copy.copy(self)
        object.__setattr__(new, "_given", data)
        return new

    def _of_item(self, index: int) -> Self:
        return self if self._given is None else self.with_calibration(self._given[index : index + 1])


def referenced(maps: Tensor, centre: Tensor, phase: Phase) -> Tensor:
    """Turn the phase of maps (batch, set, coil, *space) so that of the reference coil is zero.

    The reference is the first coil, or the combination of coils that holds most of the calibration data's energy: the
    first principal component, whose own phase is such that its largest coefficient is real. A single coil may see
    nothing in places, where a phase relative to it jumps; the principal component sees more.
    """
    if phase == "first":
        seen = maps[:, :, :1]
    else:
        seen = torch.einsum("bc,bsc...->bs...", principal_component(centre).conj(), maps).unsqueeze(2)
    length = seen.abs()
    return maps * torch.where(length > 0, seen.conj() / torch.where(length > 0, length, 1), 1)


def principal_component(centre: Tensor) -> Tensor:
    """Return the weights of coils (batch, coil) whose combination holds most energy; the largest weight is real."""
    data = centre.flatten(2)
    scale = data.abs().amax((1, 2), keepdim=True)
    data = data / torch.where(scale > 0, scale, 1)
    principal = torch.linalg.eigh(data @ data.mH).eigenvectors[..., -1]
    largest = principal.gather(1, principal.abs().argmax(1, keepdim=True))
    return principal * largest.conj() / largest.abs()


def _image_size(y: Tensor, operator: Operator, dimensions: int) -> tuple[int, ...]:
    if hasattr(operator.noiseless, "mask_for"):
        return tuple(y.shape[-dimensions:])
    shape = operator.input_shape
    if shape is None or any(n is None for n in shape[-dimensions:]):
        return tuple(operator.noiseless.adjoint(y[:1]).shape[-dimensions:])  # type: ignore[operator]
    return tuple(int(n) for n in shape[-dimensions:] if n is not None)
