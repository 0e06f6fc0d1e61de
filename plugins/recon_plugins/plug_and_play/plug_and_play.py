"""Plug-and-play reconstruction: a denoiser as the prior."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, cast

import torch
from annotated_types import Gt
from torch import Tensor

from recon.errors import UsageError
from recon.interfaces import Method
from recon.iteration import IterativeMethod, Problem, Step, inner, per_item
from recon.operators import Identity
from recon.schema import Part
from recon.solvers import conjugate_gradient, squared_norm

__all__ = ["PlugAndPlay"]

TOLERANCE = 1e-6


@dataclass(frozen=True, kw_only=True)
class PlugAndPlay(IterativeMethod):
    """Data consistency and a denoiser D in turn, for the data term |A x - y|^2 / 2.

    With rho = weight |A|^2 and the data step S(z) = argmin_x |A x - y|^2 / 2 + rho |x - z|^2 / 2, which conjugate
    gradients solve from the last image on, (A^H A + rho) x = A^H y + rho z:

    - ``admm``: x = S(z - u), z = D(x + u), u <- u + x - z; z is the image (Venkatakrishnan 2013);
    - ``proximal_gradient``: z = D(v - A^H (A v - y) / rho), v = z plus Nesterov's momentum, dropped when it points the
      wrong way; needs no inner solver (Kamilov 2017);
    - ``hqs``: x = S_k(z), z = D_k(x): half-quadratic splitting; with `sigma` as a pair, the denoiser's level falls from
      the first to the last, evenly in the logarithm, and rho_k = weight |A|^2 (sigma_last / sigma_k)^2 rises with it
      (DPIR, Zhang 2022);
    - ``red``: x = S(D(x)), whose fixed point solves A^H (A x - y) + rho (x - D(x)) = 0 (Romano 2017).

    Where D is the proximal map of g / rho, ``admm`` and ``proximal_gradient`` minimise |A x - y|^2 / 2 + g(x), whatever
    the weight is. Of a network no such g is known, and nothing promises convergence; a small weight trusts the data
    more. Of a network for one noise level, ``red`` with a small weight does best where little noise is to be removed:
    it shows x, not the denoised image. Start from `start`, such as `{use: fbp}`, or from zero.

    The denoiser is any method for the identity: `denoiser` for a network with its weights and the range of its images,
    `network` for a run folder, `tv` for a classical one. Complex images reach it as they are.

    Shapes: y as the operator gives it -> x (batch, channel, *space).

    Parameters
    ----------
    denoiser
        The denoiser D.
    algorithm
        How the two are combined.
    weight
        rho / |A|^2; by default 1 with ``proximal_gradient``, where less may diverge, and 0.1 with the others.
    sigma
        Noise level that the denoiser is to remove, in its own range (DPIR's 49 / 255 to the noise of the first image);
        a pair (first, last) with ``hqs``. By default its own. Only `denoiser` can be told.
    inner_iterations
        Most steps of the conjugate gradients in each data step.
    iterations
        Steps of the outer iteration.
    stop
        Rules to stop earlier by; see `recon.iteration.Stop`.
    start
        Method whose image is the first; by default an image of zeros.
    constraint
        ``none``; ``real`` images; ``nonnegative`` (and real) images, cut off behind the denoiser.
    output
        What becomes of a complex image: ``as_is``, its ``magnitude`` or its ``real`` part.

    Raises
    ------
    UsageError
        If sigma is a pair without ``hqs``, or given for a denoiser that cannot be told; if the weight is below 1 with
        ``proximal_gradient``.

    References
    ----------
    Venkatakrishnan, Bouman and Wohlberg, GlobalSIP 2013, doi:10.1109/GlobalSIP.2013.6737048 (ADMM);
    Kamilov, Mansour and Wohlberg, IEEE Signal Process. Lett. 24:1872, 2017, doi:10.1109/LSP.2017.2763583 (FISTA);
    Zhang et al., IEEE Trans. Pattern Anal. Mach. Intell. 44:6360, 2022, doi:10.1109/TPAMI.2021.3088914 (DPIR);
    Romano, Elad and Milanfar, SIAM J. Imaging Sci. 10:1804, 2017, doi:10.1137/16M1102884 (RED)
    """

    denoiser: Annotated[Method, Part("method")]
    algorithm: Literal["admm", "proximal_gradient", "hqs", "red"] = "admm"
    weight: Annotated[float, Gt(0)] | None = None
    sigma: Annotated[float, Gt(0)] | tuple[Annotated[float, Gt(0)], Annotated[float, Gt(0)]] | None = None
    inner_iterations: Annotated[int, Gt(0)] = 10
    iterations: Annotated[int, Gt(0)] = 30

    def __post_init__(self) -> None:
        """Refuse what the algorithm cannot do."""
        if self.algorithm == "proximal_gradient" and self.weight is not None and self.weight < 1:
            raise UsageError(f"proximal_gradient may diverge with weight {self.weight:g}: take 1 or more, or admm")
        if self.algorithm != "hqs" and isinstance(self.sigma, (tuple, list)):
            raise UsageError("a falling sigma needs algorithm hqs: give one number")
        if self.sigma is not None and not hasattr(self.denoiser, "at"):
            raise UsageError(f"{type(self.denoiser).__name__} cannot be told sigma: use `denoiser` with a noise_level")

    def _steps(self, problem: Problem, step: Step) -> Iterator[Step]:
        b = problem.backprojection
        squared = per_item(squared_norm(problem.normal, b), b)
        default = 1.0 if self.algorithm == "proximal_gradient" else 0.1
        rho = (default if self.weight is None else self.weight) * torch.where(squared > 0, squared, 1)
        steps = {
            "admm": self._admm,
            "proximal_gradient": self._proximal_gradient,
            "hqs": self._half_quadratic,
            "red": self._red,
        }[self.algorithm]
        for x in steps(problem, step.x, rho):
            yield Step(problem, x)

    def _admm(self, problem: Problem, z: Tensor, rho: Tensor) -> Iterator[Tensor]:
        denoise = self._denoiser(self._levels()[0])
        x, u = z, torch.zeros_like(z)
        while True:
            x = self._data_step(problem, z - u, rho, x)
            z = denoise(x + u)
            u = u + x - z
            yield z

    def _proximal_gradient(self, problem: Problem, z: Tensor, rho: Tensor) -> Iterator[Tensor]:
        denoise = self._denoiser(self._levels()[0])
        v, t = z, torch.ones_like(rho)
        while True:
            new = denoise(v - (problem.normal(v) - problem.backprojection) / rho)
            onwards = per_item(inner(v - new, new - z) <= 0, z)
            t_next = torch.where(onwards, (1 + (1 + 4 * t**2).sqrt()) / 2, 1)
            v = new + torch.where(onwards, (t - 1) / t_next, 0) * (new - z)
            z, t = new, t_next
            yield z

    def _half_quadratic(self, problem: Problem, z: Tensor, rho: Tensor) -> Iterator[Tensor]:
        levels, x = self._levels(), z
        last = levels[-1]
        for level in itertools.chain(levels, itertools.repeat(last)):
            ratio = 1.0 if level is None or last is None else (last / level) ** 2
            x = self._data_step(problem, z, rho * ratio, x)
            z = self._denoiser(level)(x)
            yield z

    def _red(self, problem: Problem, x: Tensor, rho: Tensor) -> Iterator[Tensor]:
        denoise = self._denoiser(self._levels()[0])
        while True:
            x = self._data_step(problem, denoise(x), rho, x)
            yield self._project(x)

    def _levels(self) -> Sequence[float | None]:
        """Return the noise level of each step; None for the denoiser's own."""
        if not isinstance(self.sigma, (tuple, list)):
            return [self.sigma] * self.iterations
        first, last = (math.log(level) for level in self.sigma)
        shares = [k / max(1, self.iterations - 1) for k in range(self.iterations)]
        return [math.exp(first + share * (last - first)) for share in shares[:-1]] + [self.sigma[1]]

    def _denoiser(self, level: float | None) -> Callable[[Tensor], Tensor]:
        method: Any = self.denoiser if level is None else cast("Any", self.denoiser).at(level)

        def denoise(x: Tensor) -> Tensor:
            return self._project(method(x, Identity()).to(x))

        return denoise

    def _data_step(self, problem: Problem, z: Tensor, rho: Tensor, x: Tensor) -> Tensor:
        """Solve (A^H A + rho) x = A^H y + rho z, from x on."""

        def matrix(x: Tensor) -> Tensor:
            return problem.normal(x) + rho * x

        b = problem.backprojection + rho * z
        return conjugate_gradient(matrix, b, x0=x, iterations=self.inner_iterations, tolerance=TOLERANCE)
