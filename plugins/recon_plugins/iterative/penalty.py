"""Roughness penalties on the differences of neighbouring pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from recon.differences import differences, differences_adjoint, total_variation, total_variation_proximal

__all__ = ["Penalty", "PenaltyName"]

PenaltyName = Literal["quadratic", "huber", "tv"]


@dataclass
class Penalty:
    """weight R(x) for one iteration: by its gradient where it is smooth, else by its proximal map.

    Parameters
    ----------
    name
        Which one.
    weight
        Its weight.
    delta
        Difference at which Huber's penalty turns linear.
    """

    name: PenaltyName
    weight: float
    delta: float | None
    inner_iterations: int = 10
    _dual: Tensor | None = None

    def value(self, x: Tensor) -> Tensor:
        """Return weight R of each item, (batch,)."""
        if self.name == "tv":
            return self.weight * total_variation(x)
        t = differences(x).abs()
        if self.delta is None:
            value = t.square() / 2
        else:
            value = torch.where(t <= self.delta, t.square() / 2, self.delta * (t - self.delta / 2))
        total: Tensor = self.weight * value.transpose(0, 1).flatten(1).sum(1)
        return total

    def gradient(self, x: Tensor) -> Tensor | float:
        """Return the gradient; 0 where the proximal map is used instead."""
        if self.name == "tv" or self.weight == 0:
            return 0.0
        t = differences(x)
        if self.delta is not None:
            t = t / (t.abs() / self.delta).clamp(min=1) if t.is_complex() else t.clamp(-self.delta, self.delta)
        return self.weight * differences_adjoint(t)

    def curvature(self, x: Tensor) -> float:
        """Return a bound of the gradient's Jacobian, as a multiple of the identity."""
        return 0.0 if self.name == "tv" else 4 * (x.ndim - 2) * self.weight

    def shrink(self, v: Tensor, curvature: Tensor, project: Callable[[Tensor], Tensor]) -> Tensor:
        """Return the proximal map under the constraint, in the metric of `curvature`; without TV the projection."""
        if self.name != "tv" or self.weight == 0:
            return project(v)
        if self._dual is None:
            self._dual = v.new_zeros((v.ndim - 2, *v.shape))
        weight = (self.weight / curvature).expand(-1, *[-1] * (v.ndim - 1))
        x, self._dual = total_variation_proximal(
            v, weight, self._dual, project=project, iterations=self.inner_iterations
        )
        return x
