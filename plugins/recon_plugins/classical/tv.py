"""Reconstruction with total variation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from annotated_types import Gt
from torch import Tensor

from recon.operators import Operator
from recon_plugins.classical.methods import Output, finish, linear

__all__ = ["TVMethod", "differences", "total_variation"]


@dataclass(frozen=True, kw_only=True)
class TVMethod:
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
    constraint
        ``none``; ``real`` images; ``nonnegative`` (and real) images.
    inner_iterations
        Steps of the proximal map in each outer one.
    output
        What becomes of a complex image: ``as_is``, its ``magnitude`` or its ``real`` part.

    References
    ----------
    Rudin, Osher and Fatemi, Physica D 60:259, 1992, doi:10.1016/0167-2789(92)90242-F;
    Beck and Teboulle, IEEE Trans. Image Process. 18:2419, 2009, doi:10.1109/TIP.2009.2028250 (the algorithm);
    O'Donoghue and Candes, Found. Comput. Math. 15:715, 2015, doi:10.1007/s10208-013-9150-3 (the restarts)
    """

    weight: Annotated[float, Gt(0)]
    iterations: Annotated[int, Gt(0)] = 100
    constraint: Literal["none", "real", "nonnegative"] = "none"
    inner_iterations: Annotated[int, Gt(0)] = 10
    output: Output = "as_is"

    @torch.no_grad()
    def __call__(self, y: Tensor, operator: Operator) -> Tensor:
        """Reconstruct."""
        a = linear(operator)
        real = self.constraint != "none"
        b = a.adjoint(y)
        dtype = b.dtype
        b = _real(b, real)

        def normal(x: Tensor) -> Tensor:
            return _real(a.normal(x.to(dtype)), real)

        return finish(self._minimise(normal, b), self.output)

    @torch.no_grad()
    def objective(self, x: Tensor, y: Tensor, operator: Operator) -> Tensor:
        """Return 1/2 |A x - y|^2 + weight TV(x) of each item."""
        residual = linear(operator)(x) - y
        value: Tensor = residual.abs().square().flatten(1).sum(1) / 2 + self.weight * total_variation(x)
        return value

    def _minimise(self, normal: Callable[[Tensor], Tensor], b: Tensor) -> Tensor:
        shape = (-1, *[1] * (b.ndim - 1))

        # Somewhat above |A|^2, which power iteration approaches from below.
        lipschitz = 1.05 * _squared_norm(normal, b).reshape(shape)
        lipschitz = torch.where(lipschitz > 0, lipschitz, 1)
        # The best multiple of A^H y.
        curvature = _inner(b, normal(b)).reshape(shape)
        scale = torch.where(curvature > 0, _inner(b, b).reshape(shape) / torch.where(curvature > 0, curvature, 1), 0)
        x = self._project(scale * b)
        nx = normal(x)
        slope = _modulus(differences(x))
        z, nz = x, nx
        t = torch.ones_like(lipschitz)
        dual = b.new_zeros((b.ndim - 2, *b.shape))
        for _ in range(self.iterations):
            new, dual = self._proximal(z - (nz - b) / lipschitz, self.weight / lipschitz, dual)
            n_new = normal(new)
            new_slope = _modulus(differences(new))
            # The change of the objective, as such: its two values would agree in all the digits that they have.
            smooth = _inner(new - x, (n_new + nx) / 2 - b)
            lower = (smooth + self.weight * (new_slope - slope).flatten(1).sum(1) <= 0).reshape(shape)
            # A refused step was too long, or its proximal map not yet exact enough: the dual gets better as it waits.
            d, nd = new - z, n_new - nz
            too_long = ~lower & ((_inner(d, nd) > _inner(d, d) * lipschitz.flatten()).reshape(shape))
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
        return x

    def _project(self, x: Tensor) -> Tensor:
        return x.clamp(min=0) if self.constraint == "nonnegative" else x

    def _proximal(self, v: Tensor, weight: Tensor, dual: Tensor) -> tuple[Tensor, Tensor]:
        """Minimise 1/2 |x - v|^2 + weight TV(x) under the constraint, from the given dual variable."""
        step = 1 / (4 * (v.ndim - 2) * weight)
        p = q = dual
        t = 1.0
        for _ in range(self.inner_iterations):
            ahead = q + step * differences(self._project(v - weight * _differences_adjoint(q)))
            new = ahead / _modulus(ahead).clamp_(min=1)
            t_next = (1 + (1 + 4 * t**2) ** 0.5) / 2
            p, q, t = new, new + (t - 1) / t_next * (new - p), t_next
        return self._project(v - weight * _differences_adjoint(p)), p


def total_variation(x: Tensor) -> Tensor:
    """Return the isotropic total variation of each item. Shapes: x (batch, channel, *space) -> (batch,)."""
    value: Tensor = _modulus(differences(x)).flatten(1).sum(1)
    return value


def differences(x: Tensor) -> Tensor:
    """Return the forward differences along all spatial axes, the last of each axis zero.

    Shapes: x (batch, channel, *space) -> (axes, batch, channel, *space).
    """
    result = x.new_zeros((x.ndim - 2, *x.shape))
    for axis, part in enumerate(result, start=2):
        torch.sub(x.narrow(axis, 1, x.shape[axis] - 1), x.narrow(axis, 0, x.shape[axis] - 1), out=_head(part, axis))
    return result


def _differences_adjoint(p: Tensor) -> Tensor:
    result = torch.zeros_like(p[0])
    for axis, part in enumerate(p, start=2):
        result -= part
        result.narrow(axis, 1, part.shape[axis] - 1).add_(_head(part, axis))
    return result


def _modulus(p: Tensor) -> Tensor:
    """Return the length of the vectors along the first axis, of few components: many times as fast as `vector_norm`."""
    squares = torch.zeros_like(p[0].real)
    for part in p:
        for component in (part.real, part.imag) if part.is_complex() else (part,):
            squares.addcmul_(component, component)
    return squares.sqrt_()


def _head(x: Tensor, axis: int) -> Tensor:
    return x.narrow(axis, 0, x.shape[axis] - 1)


def _real(x: Tensor, real: bool) -> Tensor:
    return x.real if real and x.is_complex() else x


def _inner(a: Tensor, b: Tensor) -> Tensor:
    return (a.conj() * b).real.flatten(1).sum(1)


def _squared_norm(normal: Callable[[Tensor], Tensor], like: Tensor, iterations: int = 20) -> Tensor:
    """Estimate |A|^2 item by item, from a start that is the same for all batches."""
    start = torch.randn(like.shape[1:], generator=torch.Generator().manual_seed(0), dtype=like.dtype)
    x = start.to(like.device).expand_as(like)
    for _ in range(iterations):
        norm = torch.linalg.vector_norm(x.flatten(1), dim=1).reshape(-1, *[1] * (x.ndim - 1))
        x = normal(x / torch.where(norm > 0, norm, 1))
    value: Tensor = torch.linalg.vector_norm(x.flatten(1), dim=1)
    return value
