"""Simultaneous iterative reconstruction."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Gt, Lt
from torch import Tensor

from recon.iteration import IterativeMethod, Problem, Step
from recon_plugins.iterative.bounds import check_upper, clamp
from recon_plugins.iterative.sums import column_sums, inverse, needs_nonnegative, row_sums

__all__ = ["SIRT"]


@dataclass(frozen=True, kw_only=True)
class SIRT(IterativeMethod):
    """Simultaneous iterative reconstruction: x <- P(x + relaxation C A^T R (y - A x)).

    R and C divide by the sums over rows A 1 and columns A^T 1, P projects on the constraint. It converges to an image
    of least (y - A x)^T R (y - A x); early steps hold the low frequencies, so that stopping early is what smooths.

    For operators of nonnegative weights, such as projectors. Shapes: y as the operator gives it ->
    x (batch, channel, *space).

    Parameters
    ----------
    relaxation
        Length of the steps, below 2.
    upper
        Largest value that an image may have.
    iterations
        Most steps to take, each of one projection and one back-projection.
    stop
        Rules to stop earlier by; see `recon.iteration.Stop`.
    start
        Method whose image is the first, such as fbp; by default an image of zeros.
    constraint
        ``none``; ``real`` images; ``nonnegative`` (and real) images.
    output
        What becomes of a complex image: ``as_is``, its ``magnitude`` or its ``real`` part.

    References
    ----------
    Gilbert, J. Theor. Biol. 36:105, 1972, doi:10.1016/0022-5193(72)90180-4;
    Gregor and Benson, IEEE Trans. Med. Imaging 27:918, 2008, doi:10.1109/TMI.2008.923696 (these weights)
    """

    relaxation: Annotated[float, Gt(0), Lt(2)] = 1.0
    upper: float | None = None

    def _steps(self, problem: Problem, step: Step) -> Iterator[Step]:
        needs_nonnegative(problem, "sirt")
        check_upper(self.upper, problem)
        rows = inverse(row_sums(problem.operator, step.x))
        columns = self.relaxation * inverse(column_sums(problem.operator, problem.y))
        while True:
            step = Step(problem, self._project(step.x + columns * problem.adjoint(rows * step.residual)))
            yield step

    def _objective(self, problem: Problem, x: Tensor, residual: Tensor) -> Tensor:
        rows = inverse(row_sums(problem.operator, x))
        return (rows * residual.abs().square()).flatten(1).sum(1) / 2

    def _project(self, x: Tensor) -> Tensor:
        return clamp(x, self.constraint, self.upper)
