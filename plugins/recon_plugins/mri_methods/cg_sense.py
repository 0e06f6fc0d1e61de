"""CG-SENSE."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt
from torch import Tensor

from recon.iteration import Problem, Step, inner
from recon.solvers import conjugate_gradient_steps
from recon_plugins.mri_methods.sense import SenseMethod

__all__ = ["CGSense"]


@dataclass(frozen=True, kw_only=True)
class CGSense(SenseMethod):
    """CG-SENSE: x = argmin |A x - y|^2 + damping |x|^2 by conjugate gradients on the normal equations.

    A step takes one `operator.normal`, which for Cartesian k-space shifts nothing and transforms only along the axes on
    which the mask depends; for any trajectory it is what the operator makes of it. Undamped, the first steps hold what
    the data tell best, and later ones amplify the noise: stop early, or damp.

    Shapes: y (batch, coil, *k) -> x (batch, 1, *space), or what an operator with its own sensitivities takes.

    Parameters
    ----------
    damping
        Weight of |x|^2 (Tikhonov), in units of |A|^2, which is 1 for Cartesian k-space.
    iterations
        Most steps to take.
    maps
        Calibration that estimates the sensitivities where the operator brings none: a method such as ``espirit``, by
        name or config.
    calibration
        k-space to estimate them from instead of y, of its shape, with zeros where nothing was measured.
    stop
        Rules to stop earlier by; see `recon.iteration.Stop`. Those of the residual cost a forward transform each step.
    start
        Method whose image is the first; by default an image of zeros.
    constraint
        ``none`` or ``real`` images.
    output
        What becomes of a complex image: ``as_is``, its ``magnitude`` or its ``real`` part.

    References
    ----------
    Pruessmann et al., Magn. Reson. Med. 46:638, 2001, doi:10.1002/mrm.1241
    """

    damping: Annotated[float, Ge(0)] = 0.0
    iterations: Annotated[int, Gt(0)] = 20
    constraint: Literal["none", "real"] = "none"

    def _steps(self, problem: Problem, step: Step) -> Iterator[Step]:
        def normal(x: Tensor) -> Tensor:
            return problem.normal(x).add(x, alpha=self.damping) if self.damping else problem.normal(x)

        x0 = step.x if bool(step.x.any()) else None
        for x in conjugate_gradient_steps(normal, problem.backprojection, x0=x0):
            yield Step(problem, x)

    def _objective(self, problem: Problem, x: Tensor, residual: Tensor) -> Tensor:
        return super()._objective(problem, x, residual) + self.damping / 2 * inner(x, x)
