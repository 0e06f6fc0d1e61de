"""Additive Gaussian noise."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor

from recon.errors import ParameterError, UsageError
from recon.operators import Identity, Operator

__all__ = ["GaussianNoise"]

Sigma = Annotated[float, Ge(0)]


class GaussianNoise(Operator):
    """White Gaussian noise: y = x + e with e ~ N(0, sigma^2), independent in every sample.

    Complex data get independent noise of standard deviation sigma in the real and in the imaginary part, so that
    E |e|^2 = 2 sigma^2. Noise follows what it is composed with: ``GaussianNoise(sigma=0.01) @ A``.

    Shapes: (batch, ...) -> the same.

    Parameters
    ----------
    sigma
        Standard deviation in the units of the data; or a pair (low, high), between which each item of the batch
        draws its own uniformly, as blind denoisers are trained.
    """

    stochastic = True

    def __init__(self, *, sigma: Sigma | tuple[Sigma, Sigma]) -> None:
        super().__init__()
        low, high = sigma if isinstance(sigma, (tuple, list)) else (sigma, sigma)
        if not 0 <= low <= high:
            raise ParameterError("GaussianNoise", [(("sigma",), f"needs 0 <= low <= high, got {sigma}")])
        self.sigma = (low, high) if isinstance(sigma, (tuple, list)) else sigma

    def forward(self, x: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Add noise.

        Raises
        ------
        UsageError
            Without a generator, or with one of another device than that of `x`.
        """
        if generator is None:
            raise UsageError("GaussianNoise draws random numbers: call it with generator=torch.Generator(device)")
        if generator.device.type != x.device.type:
            raise UsageError(f"the generator is on {generator.device}, the data on {x.device}: make it on {x.device}")
        noise = torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)
        # torch's complex normal numbers have E |n|^2 = 1.
        return x + (2**0.5 if x.is_complex() else 1.0) * self._draw_sigma(x, generator) * noise

    def _draw_sigma(self, x: Tensor, generator: torch.Generator) -> Tensor | float:
        if not isinstance(self.sigma, tuple):
            return self.sigma
        low, high = self.sigma
        shape = (x.shape[0],) + (1,) * (x.ndim - 1)
        uniform = torch.rand(shape, generator=generator, dtype=x.real.dtype, device=x.device)
        return low + (high - low) * uniform

    @property
    def noiseless(self) -> Identity:
        """The identity."""
        return Identity()
