"""Penalised weighted least squares."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from recon.errors import UsageError
from recon.iteration import IterativeMethod, Problem, Step, inner, per_item
from recon.methods import real_part
from recon.operators import LinearOperator, Operator
from recon.solvers import squared_norm
from recon_plugins.iterative.penalty import Penalty, PenaltyName
from recon_plugins.iterative.photons import count_weights
from recon_plugins.iterative.subsets import split
from recon_plugins.iterative.sums import is_nonnegative, row_sums

__all__ = ["PWLS"]


@dataclass(frozen=True, kw_only=True)
class PWLS(IterativeMethod):
    """Penalised weighted least squares: x = argmin 1/2 sum_i w_i |A x - y|_i^2 + weight R(x).

    Statistical reconstruction of transmission scans: with w_i the inverse variance of y_i, the first term is minus the
    log-likelihood to second order. R sums over forward differences t of neighbours along all spatial axes (per pixel,
    each channel by itself): ``quadratic`` t^2 / 2; ``huber`` t^2 / 2 up to |t| = delta and delta |t| - delta^2 / 2
    beyond, which keeps edges; ``tv`` the isotropic total variation.

    Separable quadratic surrogates: each step divides by A^T W A 1 and the penalty's curvature, pixel by pixel, with
    Nesterov's momentum, which starts anew when it leads uphill; operators with negative or complex weights take |A|^2
    instead. With subsets, each takes a step of its own in turn: early on about so many times as fast, in the end in a
    small cycle about the solution. Shapes: y as the operator gives it -> x (batch, channel, *space).

    Parameters
    ----------
    weight
        Weight of the penalty.
    photons
        Counts I0 of a ray that meets nothing: y are line integrals and w_i = N_i^2 / (N_i + electronic^2) with
        N_i = I0 exp(-y_i). None: w_i = 1, or as given to the call, as ``weights=``.
    electronic
        Standard deviation of the detector's own noise, in counts.
    penalty
        ``quadratic``, ``huber`` or ``tv``.
    delta
        Difference at which Huber's penalty goes from quadratic to linear, in the image's units.
    subsets
        Number of ordered subsets of the views; 1 for none.
    momentum
        Whether steps have momentum. Without, and without subsets, the objective never rises.
    iterations
        Most passes over the data, each of one projection and one back-projection in all.
    stop
        Rules to stop earlier by; see `recon.iteration.Stop`. With subsets, those of the residual cost a projection.
    start
        Method whose image is the first, such as fbp; by default an image of zeros.
    constraint
        ``none``; ``real`` images; ``nonnegative`` (and real) images.
    output
        What becomes of a complex image: ``as_is``, its ``magnitude`` or its ``real`` part.

    References
    ----------
    Sauer and Bouman, IEEE Trans. Signal Process. 41:534, 1993, doi:10.1109/78.193196;
    Erdogan and Fessler, Phys. Med. Biol. 44:2835, 1999, doi:10.1088/0031-9155/44/11/311 (surrogates, subsets);
    Kim, Ramani and Fessler, IEEE Trans. Med. Imaging 34:167, 2015, doi:10.1109/TMI.2014.2350962 (momentum);
    O'Donoghue and Candes, Found. Comput. Math. 15:715, 2015, doi:10.1007/s10208-013-9150-3 (restarts)
    """

    weight: Annotated[float, Ge(0)]
    photons: Annotated[float, Gt(0)] | None = None
    electronic: Annotated[float, Ge(0)] = 0.0
    penalty: PenaltyName = "quadratic"
    delta: Annotated[float, Gt(0)] | None = None
    subsets: Annotated[int, Gt(0)] = 1
    momentum: bool = True
    iterations: Annotated[int, Gt(0)] = 50

    takes_weights: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if (self.penalty == "huber") != (self.delta is not None):
            raise UsageError("pwls takes delta, the difference at which linear growth begins, with penalty huber only")
        if self.electronic and self.photons is None:
            raise UsageError("pwls takes electronic noise in counts together with photons")

    def _problem(self, y: Tensor, operator: Operator, weights: Tensor | None) -> Problem:
        if weights is None and self.photons is not None:
            weights = count_weights(y, self.photons, self.electronic)
        return super()._problem(y, operator, weights)

    @property
    def _penalty(self) -> Penalty:
        return Penalty(self.penalty, self.weight, self.delta)

    def _objective(self, problem: Problem, x: Tensor, residual: Tensor) -> Tensor:
        return super()._objective(problem, x, residual) + self._penalty.value(x)

    def _steps(self, problem: Problem, step: Step) -> Iterator[Step]:
        penalty = self._penalty
        curvature = _curvature(problem, step.x) + penalty.curvature(step.x)
        curvature = torch.where(curvature > 0, curvature, 1)
        if self.subsets > 1:
            yield from self._by_subsets(problem, step.x, penalty, curvature)
        x = z = step.x
        r = rz = step.residual
        t = torch.ones(len(x), dtype=curvature.dtype, device=x.device)
        while True:
            slope = penalty.gradient(z) - problem.adjoint(problem.weighted(rz))
            new = penalty.shrink(z - slope / curvature, curvature, self._project)
            r_new = problem.y - problem.forward(new)
            t, ahead = _momentum(t, inner(curvature * (z - new), new - x) > 0) if self.momentum else (t, 0 * t)
            # The residual is affine: that of z costs no projection.
            z = new + per_item(ahead, x) * (new - x)
            rz = r_new + per_item(ahead, r) * (r_new - r)
            x, r = new, r_new
            yield Step(problem, x, r)

    def _by_subsets(self, problem: Problem, x: Tensor, penalty: Penalty, curvature: Tensor) -> Iterator[Step]:
        parts = []
        weights = None if problem.weights is None else problem.weights.expand_as(problem.y)
        for group, operator in split(problem.operator, self.subsets):
            part = (operator, problem.y[:, :, group], None if weights is None else weights[:, :, group])
            parts.append(part)
        z, t = x, torch.ones(len(x), dtype=curvature.dtype, device=x.device)
        while True:
            for operator, y, w in parts:
                r = y - operator(z.to(problem.dtype))
                back = operator.adjoint(r if w is None else w * r)
                slope = penalty.gradient(z) - len(parts) * (real_part(back) if problem.real else back)
                new = penalty.shrink(z - slope / curvature, curvature, self._project)
                uphill = inner(curvature * (z - new), new - x) > 0
                t, ahead = _momentum(t, uphill) if self.momentum else (t, 0 * t)
                z = new + per_item(ahead, x) * (new - x)
                x = new
            yield Step(problem, x)


def _momentum(t: Tensor, restart: Tensor) -> tuple[Tensor, Tensor]:
    """Return Nesterov's next t, and how far to go beyond the new point; items that restart go nowhere."""
    after = (1 + (1 + 4 * t**2).sqrt()) / 2
    return torch.where(restart, 1, after), torch.where(restart, 0, (t - 1) / after)


def _curvature(problem: Problem, x: Tensor) -> Tensor:
    """Return a diagonal above A^H W A: A^T W A 1 for nonnegative A, else its norm for each item."""
    operator: LinearOperator = problem.operator
    if is_nonnegative(problem):
        ones = row_sums(operator, x)
        return operator.adjoint(ones if problem.weights is None else problem.weights * ones)
    # Somewhat above the norm, which power iteration approaches from below.
    value = 1.05 * squared_norm(lambda v: problem.adjoint(problem.weighted(problem.forward(v))), x, 30)
    return per_item(value, x)
