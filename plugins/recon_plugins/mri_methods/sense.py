"""What methods that work with coil sensitivities have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Self

import torch
from torch import Tensor

import recon
from recon.interfaces import Calibrated, CoilOperator, Method
from recon.iteration import IterativeMethod, Problem, Step, inner, per_item
from recon.methods import finish, linear
from recon.operators import LinearOperator, Operator
from recon.schema import Part

__all__ = ["MapsLike", "SenseMethod", "best_multiple", "combined", "estimated_maps", "peaks", "with_maps"]

MapsLike = Method | Mapping[str, Any] | str
"""A calibration: the method itself, its name, or its config."""


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
        return super()._problem(y, with_maps(operator, y, self.maps, self.calibration), weights)

    def _first(self, problem: Problem, x0: Tensor | None, y: Tensor, operator: Operator) -> Step:  # noqa: ARG002
        # A method that starts need not calibrate again.
        return super()._first(problem, x0, y, problem.operator)

    def _result(self, x: Tensor, operator: Operator) -> Tensor:
        return finish(combined(x) if isinstance(linear(operator), CoilOperator) else x, self.output)


def with_maps(operator: Operator, y: Tensor, maps: MapsLike, calibration: Tensor | None = None) -> LinearOperator:
    """Return the operator of the image that all coils see: itself, if it does not measure coil images.

    Parameters
    ----------
    operator
        The measurement's operator.
    y
        The measurement.
    maps, calibration
        As for `SenseMethod`.
    """
    coils = linear(operator)
    if not isinstance(coils, CoilOperator) or getattr(coils, "maps", None) is not None:
        return coils
    return coils.with_maps(estimated_maps(y, coils, maps, calibration))


@torch.no_grad()
def estimated_maps(y: Tensor, operator: Operator, maps: MapsLike, calibration: Tensor | None = None) -> Tensor:
    """Return the sensitivities (batch, [set,] coil, *space) that a calibration finds."""
    method: Method = recon.build("method", maps) if isinstance(maps, (str, Mapping)) else maps
    if calibration is not None and isinstance(method, Calibrated):
        method = method.with_calibration(calibration)
    return method(y, operator)


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
