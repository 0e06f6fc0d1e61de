"""Sums over the rows and columns of an operator of nonnegative weights, such as a projector."""

from __future__ import annotations

import torch
from torch import Tensor

from recon.errors import UsageError
from recon.iteration import Problem
from recon.methods import real_part
from recon.operators import LinearOperator

__all__ = ["column_sums", "inverse", "is_nonnegative", "needs_nonnegative", "row_sums"]


def row_sums(operator: LinearOperator, x: Tensor) -> Tensor:
    """Return A 1, the length of each ray in the image. Shapes: x, an image, -> as a measurement of it."""
    return operator(torch.ones_like(real_part(_one(operator, x))))


def column_sums(operator: LinearOperator, y: Tensor) -> Tensor:
    """Return A^T 1, the weight of each pixel in all rays. Shapes: y, a measurement, -> as its image."""
    return operator.adjoint(torch.ones_like(real_part(_one(operator, y))))


def inverse(sums: Tensor) -> Tensor:
    """Return 1 / sums; 0 for rays that miss the image and for pixels that no ray meets."""
    met = sums > 1e-6 * sums.amax()
    return torch.where(met, 1 / torch.where(met, sums, 1), 0)


def is_nonnegative(problem: Problem) -> bool:
    """Whether A is a matrix of nonnegative numbers, as far as |A s| <= A 1 for some random signs s can tell."""
    image = _one(problem.operator, problem.backprojection)
    signs = torch.randint(0, 2, image.shape[1:], generator=torch.Generator().manual_seed(0)) * 2 - 1
    whole, mixed = (problem.operator(s.to(real_part(image)).expand_as(image)) for s in (torch.ones(()), signs))
    if whole.is_complex():
        return False
    return bool((mixed.abs() <= whole + 1e-4 * whole.amax().clamp(min=0)).all())


def needs_nonnegative(problem: Problem, method: str) -> None:
    """Raise UsageError unless A is nonnegative."""
    if not is_nonnegative(problem):
        raise UsageError(
            f"{method} divides by sums over rows and columns, which needs an operator of nonnegative weights, such as "
            f"radon; {type(problem.operator).__name__} is not: take cgls, pdhg or tv"
        )


def _one(operator: LinearOperator, batch: Tensor) -> Tensor:
    """Return one item and channel of a batch where the operator is known to treat all alike."""
    return batch[:1, :1] if hasattr(operator, "views") else batch
