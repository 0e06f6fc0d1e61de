"""The solution of a regularised least-squares problem, with its exact gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from recon.operators import LinearOperator
from recon.solvers import conjugate_gradient

__all__ = ["regularised_solution"]

Map = Callable[[Tensor], Tensor]


def regularised_solution(
    operator: LinearOperator, b: Tensor, weight: Tensor, *, iterations: int, tolerance: float = 0.0
) -> Tensor:
    """Solve (A^H A + w) x = b by conjugate gradients; the gradient is that of the solution, not of the steps.

    With M = A^H A + w and the gradient g of x, that of b is M^-1 g, by as many conjugate gradients again, so that
    nothing of the iteration is kept. That of w, and of what A is made of (coil sensitivities), follows from
    M x = b: it is that of Re <M^-1 g, b - M x> at fixed x.

    Shapes: b (batch, channel, *space) -> x of the same shape.

    Parameters
    ----------
    operator
        The operator A.
    b
        The right-hand side.
    weight
        The number w > 0, a tensor.
    iterations, tolerance
        Of the conjugate gradients, both ways; tolerance 0 takes all steps and never waits for the device.
    """

    def normal(x: Tensor) -> Tensor:
        return operator.normal(x) + weight * x

    def solve(right: Tensor) -> Tensor:
        return conjugate_gradient(normal, right, iterations=iterations, tolerance=tolerance)

    with torch.no_grad():
        x = solve(b)
    if not torch.is_grad_enabled():
        return x
    # The residual is (nearly) zero, but its gradient is not: it reaches b, the weight and the operator.
    return x + cast("Tensor", _ZeroWithSolvedGradient.apply(b - normal(x), solve))


class _ZeroWithSolvedGradient(torch.autograd.Function):
    """Zeros whose gradient g reaches the argument as M^-1 g."""

    @staticmethod
    def forward(ctx: Any, residual: Tensor, solve: Map) -> Tensor:
        ctx.solve = solve
        return torch.zeros_like(residual)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return ctx.solve(gradient), None
