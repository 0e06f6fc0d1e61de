"""Total variation by primal-dual hybrid gradients."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from recon.differences import differences, differences_adjoint, modulus, total_variation
from recon.errors import UsageError
from recon.iteration import IterativeMethod, Problem, Step, inner, norm, per_item
from recon.operators import Operator
from recon.solvers import squared_norm
from recon_plugins.iterative.photons import count_weights

__all__ = ["PDHG"]


@dataclass(frozen=True, kw_only=True)
class PDHG(IterativeMethod):
    """Total variation by primal-dual hybrid gradients (Chambolle and Pock's algorithm).

    With `weight`, x = argmin 1/2 sum_i w_i |A x - y|_i^2 + weight TV(x), what `tv` solves, with w_i = 1 unless weights
    are given. With `noise`, x = argmin TV(x) subject to |A x - y| <= noise sqrt(n): nothing but the noise of the data
    needs to be known. TV(x) = sum_pixels (sum_axes |D_axis x|^2)^(1/2) with forward differences D (per pixel, zero
    across the border), each channel by itself, of moduli for complex images.

    No inner iteration: a step takes one projection and one back-projection. Step sizes come from |A| by power
    iteration, their balance between image and dual variables from the sizes of y and x, for each item, so that units
    do not matter. For every linear operator. Shapes: y as the operator gives it -> x (batch, channel, *space).

    Parameters
    ----------
    weight
        Weight of TV. It scales as |A|^2, as the image, and as the weights of the data.
    noise
        Instead of `weight`: standard deviation of a measured value (of the real and of the imaginary part of a complex
        one); zeros, as masks leave, count as not measured.
    photons
        Counts I0 of a ray that meets nothing: y are line integrals, and w_i = I0 exp(-y_i), the inverse of their
        variance. Other weights are given to the call, as ``weights=``.
    balance
        Multiple of the dual steps, and divisor of the image's. Convergence is within a factor of two of the best
        between 1/2 and 2 in most cases; more helps where TV dominates, less where the data do.
    iterations
        Most steps to take.
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
    Chambolle and Pock, J. Math. Imaging Vis. 40:120, 2011, doi:10.1007/s10851-010-0251-1;
    Sidky, Jorgensen and Pan, Phys. Med. Biol. 57:3065, 2012, doi:10.1088/0031-9155/57/10/3065 (for CT)
    """

    weight: Annotated[float, Gt(0)] | None = None
    noise: Annotated[float, Ge(0)] | None = None
    photons: Annotated[float, Gt(0)] | None = None
    balance: Annotated[float, Gt(0)] = 1.0
    iterations: Annotated[int, Gt(0)] = 300

    takes_weights: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if (self.weight is None) == (self.noise is None):
            raise UsageError(
                "pdhg takes either weight, that of total variation, or noise, the level that data are fitted to"
            )

    def _problem(self, y: Tensor, operator: Operator, weights: Tensor | None) -> Problem:
        if weights is None and self.photons is not None:
            weights = count_weights(y, self.photons)
        if weights is not None and self.weight is None:
            raise UsageError("pdhg fits to a noise level without weights: give weight instead of noise, or no weights")
        return super()._problem(y, operator, weights)

    def _objective(self, problem: Problem, x: Tensor, residual: Tensor) -> Tensor:
        variation = total_variation(x)
        return variation if self.weight is None else super()._objective(problem, x, residual) + self.weight * variation

    def _steps(self, problem: Problem, step: Step) -> Iterator[Step]:
        y, x = problem.y, step.x
        weight = 1.0 if self.weight is None else self.weight
        # Somewhat above |A|^2, which power iteration approaches from below.
        squared = 1.05 * squared_norm(problem.normal, x)
        squared = torch.where(squared > 0, squared, 1)
        rho = self._balanced(problem, squared)
        # tau (sigma |A|^2 + sigma_tv |D|^2) = 1, in equal parts.
        tau = per_item(1 / (2**0.5 * rho), x)
        sigma = per_item(rho / (2**0.5 * squared), y)
        sigma_tv = per_item(rho / (2**0.5 * 4 * (x.ndim - 2)), x)
        ax, dx = y - step.residual, differences(x)
        ahead, d_ahead = ax, dx
        q, p = torch.zeros_like(ax), torch.zeros_like(dx)
        while True:
            q = self._fitted(q + sigma * (ahead - y), sigma, problem)
            p = p + sigma_tv * d_ahead
            p /= (modulus(p) / weight).clamp_(min=1)
            x = self._project(x - tau * (problem.adjoint(q) + differences_adjoint(p)))
            ax_before, dx_before = ax, dx
            ax, dx = problem.forward(x), differences(x)
            ahead, d_ahead = 2 * ax - ax_before, 2 * dx - dx_before
            yield Step(problem, x, y - ax)

    def _fitted(self, q: Tensor, sigma: Tensor, problem: Problem) -> Tensor:
        """Return the proximal map of sigma F*, for the data term F of A x - y."""
        if self.noise is None:
            return q / (1 + (sigma if problem.weights is None else sigma / problem.weights))
        radius = self.noise * problem.measured.sqrt()
        length = norm(q)
        kept = (1 - sigma.flatten() * radius / torch.where(length > 0, length, 1)).clamp(min=0)
        return per_item(kept, q) * q

    def _balanced(self, problem: Problem, squared: Tensor) -> Tensor:
        """Return the ratio of dual to image steps, for |A| = 1: that of the sizes which dual and image will have.

        The image is about as large as the best multiple of A^H y. The dual of the data is the weighted residual, about
        a fifteenth of W y; where TV is minimised within a distance of the data it is a multiple of noise, whose
        adjoint is about as large as gradients of TV, and random signs tell how A treats noise. Both factors are tuned.
        """
        b = problem.backprojection
        length = inner(b, b)
        image = norm(b) * length / inner(b, problem.normal(b))
        if self.weight is None:
            signs = torch.randint(0, 2, b.shape[1:], generator=torch.Generator().manual_seed(0)) * 2 - 1
            dual = 6 * (b[0].numel() * problem.measured) ** 0.5 / norm(problem.forward(signs.to(b).expand_as(b)))
        else:
            dual = norm(problem.weighted(problem.y)) / 15
        rho = self.balance * squared.sqrt() * dual / image
        return torch.where(torch.isfinite(rho) & (rho > 0), rho, 1)
