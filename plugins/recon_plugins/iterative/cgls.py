"""Conjugate gradients for least squares."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from annotated_types import Ge
from torch import Tensor

from recon.iteration import IterativeMethod, Problem, Step, inner, per_item

__all__ = ["CGLS"]


@dataclass(frozen=True, kw_only=True)
class CGLS(IterativeMethod):
    """Conjugate gradients for least squares: x = argmin |A x - y|^2 + damping |x|^2.

    Undamped, the first steps hold what the data tell best and later ones fit the noise: stop by the discrepancy
    principle, or after a few steps. The residual never rises. Unlike `pinv`, which solves the normal equations, it
    works on A and A^H, which keeps twice the digits and has the residual for nothing.

    For every linear operator. Shapes: y as the operator gives it -> x (batch, channel, *space).

    Parameters
    ----------
    damping
        Weight of |x|^2 (Tikhonov). It has the units of |A|^2.
    iterations
        Most steps to take, each of one projection and one back-projection.
    stop
        Rules to stop earlier by; see `recon.iteration.Stop`.
    start
        Method whose image is the first, such as fbp; by default an image of zeros.
    constraint
        ``none`` or ``real`` images; bounds are for sirt, pdhg, pwls and tv.
    output
        What becomes of a complex image: ``as_is``, its ``magnitude`` or its ``real`` part.

    References
    ----------
    Hestenes and Stiefel, J. Res. Natl. Bur. Stand. 49:409, 1952, doi:10.6028/jres.049.044;
    Bjorck, Numerical Methods for Least Squares Problems, 1996, doi:10.1137/1.9781611971484 (section 7.4)
    """

    damping: Annotated[float, Ge(0)] = 0.0
    iterations: Annotated[int, Ge(1)] = 20
    constraint: Literal["none", "real"] = "none"

    def _steps(self, problem: Problem, step: Step) -> Iterator[Step]:
        x, r = step.x, step.residual
        s = problem.adjoint(r) - self.damping * x
        p, energy = s, inner(s, s)
        while True:
            q = problem.forward(p)
            curvature = inner(q, q) + self.damping * inner(p, p)
            # |s|^2 in exact arithmetic; at the solution, where s is rounding errors, this never steps uphill.
            length = _ratio(inner(p, s), curvature)
            x = x + per_item(length, x) * p
            r = r - per_item(length, r) * q
            s = problem.adjoint(r) - self.damping * x
            before, energy = energy, inner(s, s)
            p = s + per_item(_ratio(energy, before), s) * p
            yield Step(problem, x, r)

    def _objective(self, problem: Problem, x: Tensor, residual: Tensor) -> Tensor:
        return super()._objective(problem, x, residual) + self.damping / 2 * inner(x, x)


def _ratio(a: Tensor, b: Tensor) -> Tensor:
    """Return a / b, and 0 where b is: there the solution is found."""
    return torch.where(b > 0, a / torch.where(b > 0, b, 1), 0)
