"""From photons to line integrals."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from recon.operators import Operator

__all__ = ["FLOOR", "LogTransform", "line_integrals"]

FLOOR = 0.1
"""Counts that stand for none at all, in photons, as in LoDoPaB-CT."""


class LogTransform(Operator):
    """Line integrals from counts: y = -log(max(N + shift, floor) / photons).

    The logarithm of a noisy count is not the logarithm of its mean. For N photons on average y comes out too large by
    (1 + electronic^2 / N) / (2 N), 0.005 at 100 photons; ``shift=0.5`` cancels this for Poisson
    noise, up to terms of 1 / N^2. Where hardly a photon passes (starved rays), the floor decides: y is at most
    log(photons / floor), and there its gradient is zero.

    Shapes: counts (batch, ...) -> line integrals of the same shape.

    Parameters
    ----------
    photons
        Photons that a ray starts with.
    floor
        Least count, in photons. What is smaller, zero and negative counts among it, is taken for this.
    shift
        Counts added before.
    """

    def __init__(
        self,
        *,
        photons: Annotated[float, Gt(0)],
        floor: Annotated[float, Gt(0)] = FLOOR,
        shift: Annotated[float, Ge(0)] = 0.0,
    ) -> None:
        super().__init__()
        self.photons = photons
        self.floor = floor
        self.shift = shift

    def forward(self, x: Tensor) -> Tensor:
        """Take the logarithm."""
        return line_integrals(x, self.photons, floor=self.floor, shift=self.shift)


def line_integrals(counts: Tensor, photons: float | Tensor, *, floor: float = FLOOR, shift: float = 0.0) -> Tensor:
    """Return -log(max(counts + shift, floor) / photons), as `LogTransform` explains.

    Parameters
    ----------
    counts
        What the detector counted; or the transmission of `flat_field`, with ``photons=1`` and a floor such as 1e-4.
    photons
        Photons that a ray starts with, one number or a tensor that fits `counts`.
    floor, shift
        Least count, and what is added to counts before.
    """
    shifted = counts + shift if shift else counts
    ratio = shifted.clamp(min=floor) / photons
    return -torch.log(ratio)
