"""Reconstruction with total variation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Gt
from torch import Tensor

from recon.differences import differences, modulus, total_variation, total_variation_proximal
from recon.iteration import IterativeMethod, Problem, Step, inner, per_item
from recon.solvers import squared_norm

__all__ = ["TVMethod"]


@dataclass(frozen=True, kw_only=True)
class TVMethod(IterativeMethod):
    """Least squares with isotropic total variation: x = argmin 1/2 |A x - y|^2 + weight TV(x).

    TV(x) = sum_pixels (sum_axes |D_axis x|^2)^(1/2) with forward differences D (per pixel, not per mm; zero across the
    border), over all spatial axes, each channel by itself; for complex images the moduli are those of complex numbers.

    Solved by accelerated proximal gradients. A step that would raise the objective is refused and the momentum dropped,
    so that the objective never rises. The proximal map is computed by accelerated projected gradients on its dual, from
    where the last one ended. Each item of the batch has its own step sizes. An iteration takes one
    `operator.normal`. The result carries no gradients.

    Shapes: y as the operator gives it -> x (batch, channel, *space).

    Parameters
    ----------
    weight
        Weight of TV. It scales with |A|^2 and with the image: double the image's values and the weight doubles.
    iterations
        Steps of the outer iteration.
    inner_iterations
        Steps of the proximal map in each outer one.
    constraint
        ``none``; ``real`` images; ``nonnegative`` (and real) images.
    stop
        Rules to stop earlier by; see `recon.iteration.Stop`.
    start
        Method whose image is the first; by default the best multiple of A^H y.
    output
        What becomes of a complex image: ``as_is``, its ``magnitude`` or its ``real`` part.

    References
    ----------
    Rudin, Osher and Fatemi, Physica D 60:259, 1992, doi:10.1016/0167-2789(92)90242-F;
    Beck and Teboulle, IEEE Trans. Image Process. 18:2419, 2009, doi:10.1109/TIP.2009.2028250 (the algorithm);
    O'Donoghue and Candes, Found. Comput. Math. 15:715, 2015, doi:10.1007/s10208-013-9150-3 (the restarts)
    """

    weight: Annotated[float, Gt(0)]
    inner_iterations: Annotated[int, Gt(0)] = 10

    def _objective(self, problem: Problem, x: Tensor, residual: Tensor) -> Tensor:
        return super()._objective(problem, x, residual) + self.weight * total_variation(x)

    def _initial(self, problem: Problem) -> Tensor:
        b = problem.backprojection
        curvature = inner(b, problem.normal(b))
        scale = torch.where(curvature > 0, inner(b, b) / torch.where(curvature > 0, curvature, 1), 0)
        return per_item(scale, b) * b

    def _steps(self, problem: Problem, step: Step) -> Iterator[Step]:
        b = problem.backprojection
        # Somewhat above |A|^2, which power iteration approaches from below.
        lipschitz = 1.05 * per_item(squared_norm(problem.normal, b), b)
        lipschitz = torch.where(lipschitz > 0, lipschitz, 1)
        x = step.x
        nx = problem.normal(x)
        slope = modulus(differences(x))
        z, nz = x, nx
        t = torch.ones_like(lipschitz)
        dual = b.new_zeros((b.ndim - 2, *b.shape))
        while True:
            new, dual = total_variation_proximal(
                z - (nz - b) / lipschitz,
                self.weight / lipschitz,
                dual,
                project=self._project,
                iterations=self.inner_iterations,
            )
            n_new = problem.normal(new)
            new_slope = modulus(differences(new))
            # The change of the objective, as such: its two values would agree in all the digits that they have.
            smooth = inner(new - x, (n_new + nx) / 2 - b)
            lower = per_item(smooth + self.weight * (new_slope - slope).flatten(1).sum(1) <= 0, b)
            # A refused step was too long, or its proximal map not yet exact enough: the dual gets better as it waits.
            d, nd = new - z, n_new - nz
            too_long = ~lower & per_item(inner(d, nd) > inner(d, d) * lipschitz.flatten(), b)
            lipschitz = torch.where(too_long, 1.5 * lipschitz, lipschitz)
            t_next = torch.where(lower, (1 + (1 + 4 * t**2).sqrt()) / 2, 1)
            momentum = (t - 1) / t_next
            z = torch.where(lower, new + momentum * (new - x), x)
            nz = torch.where(lower, n_new + momentum * (n_new - nx), nx)
            x, nx, slope = (
                torch.where(lower, new, x),
                torch.where(lower, n_new, nx),
                torch.where(lower, new_slope, slope),
            )
            t = t_next
            yield Step(problem, x, refused=~lower.flatten())
