"""What methods that work with coil sensitivities have in common."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Self

import torch
from torch import Tensor

from recon.interfaces import CoilOperator
from recon.iteration import IterativeMethod, Problem, Step, inner, per_item
from recon.methods import finish, linear
from recon.operators import Operator
from recon.schema import Part
from recon.sensitivities import MapsLike, with_sensitivities

__all__ = ["SenseMethod", "best_multiple", "combined", "peaks"]


@dataclass(frozen=True, kw_only=True)
class SenseMethod(IterativeMethod):
    """An iterative method for the image that all coils see, x in y_c = E (s_c x) + noise.

    An operator of coil images (`fourier`, `nufft`) gets sensitivities that are estimated from the data; of several sets
    of them each has its image, and these are combined at the end. An operator that brings its sensitivities, such as
    `multicoil_fourier`, or that knows no coils, is used as it is.

    Parameters
    ----------
    maps
        Calibration that estimates the sensitivities: a method such as ``espirit``, by name or config.
    calibration
        k-space to estimate them from, of the shape of the measurement with zeros where nothing was measured; None for
        the measurement itself.
    """

    maps: Annotated[MapsLike, Part("method")] = "espirit"
    calibration: Tensor | None = None

    def with_calibration(self, data: Tensor) -> Self:
        """Return the method that takes its sensitivities from `data`, k-space of the shape of the measurement."""
        return replace(self, calibration=data)

    def _problem(self, y: Tensor, operator: Operator, weights: Tensor | None) -> Problem:
        sense = with_sensitivities(operator, y, self.maps, calibration=self.calibration)
        return super()._problem(y, sense, weights)

    def _first(self, problem: Problem, x0: Tensor | None, y: Tensor, operator: Operator) -> Step:  # noqa: ARG002
        # A method that starts need not calibrate again.
        return super()._first(problem, x0, y, problem.operator)

    def _result(self, x: Tensor, operator: Operator) -> Tensor:
        return finish(combined(x) if isinstance(linear(operator), CoilOperator) else x, self.output)


def combined(x: Tensor) -> Tensor:
    """Combine the images of several sets of sensitivities, (batch, set, *space) -> (batch, 1, *space).

    The sets are orthonormal in each pixel, so that (sum_set |x_set|^2)^(1/2) is the root sum of squares of the coil
    images; the phase is that of the first set, which holds nearly all of the object.
    """
    if x.shape[1] == 1:
        return x
    length: Tensor = torch.linalg.vector_norm(x, dim=1, keepdim=True)
    return torch.polar(length, x[:, :1].angle()) if x.is_complex() else length


def best_multiple(problem: Problem) -> Tensor:
    """Return the multiple of A^H y that fits the data best: the zero-filled image at its proper scale."""
    b = problem.backprojection
    curvature = inner(b, problem.normal(b))
    return per_item(torch.where(curvature > 0, inner(b, b) / torch.where(curvature > 0, curvature, 1), 0), b) * b


def peaks(x: Tensor) -> Tensor:
    """Return the largest magnitude of each item, (batch,), and 1 where that is 0."""
    value = x.abs().flatten(1).amax(1)
    return torch.where(value > 0, value, 1)
