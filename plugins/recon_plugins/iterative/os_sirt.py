"""Simultaneous iterative reconstruction by ordered subsets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Gt, Lt
from torch import Tensor

from recon.iteration import IterativeMethod, Problem, Step
from recon.methods import real_part
from recon_plugins.iterative.bounds import check_upper, clamp
from recon_plugins.iterative.subsets import split
from recon_plugins.iterative.sums import column_sums, inverse, needs_nonnegative, row_sums

__all__ = ["OSSIRT"]

KEPT_BYTES = 2**29
"""Column sums of the subsets are kept up to this size; beyond, they are computed anew at each turn."""


@dataclass(frozen=True, kw_only=True)
class OSSIRT(IterativeMethod):
    """Simultaneous iterative reconstruction by ordered subsets: a step of `sirt` for each subset of the views in turn.

    Early on a pass over the data gets about as far as so many steps of `sirt` as there are subsets; with noise, or with
    views that contradict each other, it ends in a cycle about the solution, the wider the more subsets. A subset for
    each view is SART. Each subset has every n-th view by angle, and the subsets take turns by the golden section, so
    that consecutive ones differ.

    For operators of views with nonnegative weights: radon, fan_beam, cone_beam and their kin. Shapes:
    y (batch, channel, A, ...) -> x (batch, channel, *space).

    Parameters
    ----------
    subsets
        Number of subsets; ``views``: each view is one (SART).
    relaxation
        Length of the steps, below 2; shorter ones narrow the final cycle.
    upper
        Largest value that an image may have.
    iterations
        Most passes over all data, each of one projection and one back-projection in all.
    stop
        Rules to stop earlier by; see `recon.iteration.Stop`. Those of the residual cost a projection for each pass.
    start
        Method whose image is the first, such as fbp; by default an image of zeros.
    constraint
        ``none``; ``real`` images; ``nonnegative`` (and real) images.
    output
        What becomes of a complex image: ``as_is``, its ``magnitude`` or its ``real`` part.

    References
    ----------
    Andersen and Kak, Ultrason. Imaging 6:81, 1984, doi:10.1177/016173468400600107 (SART);
    Hudson and Larkin, IEEE Trans. Med. Imaging 13:601, 1994, doi:10.1109/42.363108 (ordered subsets);
    Wang and Jiang, J. X-Ray Sci. Technol. 12:169, 2004 (OS-SART);
    Kohler, IEEE Nucl. Sci. Symp. 3961, 2004, doi:10.1109/NSSMIC.2004.1466745 (golden section access)
    """

    subsets: Annotated[int, Gt(0)] | Literal["views"] = 10
    relaxation: Annotated[float, Gt(0), Lt(2)] = 1.0
    upper: float | None = None
    iterations: Annotated[int, Gt(0)] = 10

    def _steps(self, problem: Problem, step: Step) -> Iterator[Step]:
        needs_nonnegative(problem, "os_sirt")
        check_upper(self.upper, problem)
        parts = split(problem.operator, None if self.subsets == "views" else self.subsets)
        y = real_part(problem.y) if problem.real else problem.y
        data = [y[:, :, group] for group, _ in parts]
        rows = [inverse(row_sums(operator, step.x)) for _, operator in parts]
        columns: list[Tensor | None] = [None] * len(parts)
        keep = len(parts) * step.x[0, 0].nbytes <= KEPT_BYTES
        x = step.x
        while True:
            for i, (_, operator) in enumerate(parts):
                column = columns[i]
                if column is None:
                    column = self.relaxation * inverse(column_sums(operator, data[i]))
                    columns[i] = column if keep else None
                x = self._project(x + column * operator.adjoint(rows[i] * (data[i] - operator(x))))
            yield Step(problem, x)

    def _project(self, x: Tensor) -> Tensor:
        return clamp(x, self.constraint, self.upper)
