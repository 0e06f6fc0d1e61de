"""From line integrals to photons."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from recon.errors import UsageError
from recon.operators import Operator

__all__ = ["BeerLambert", "Transmission", "check_draw", "counts"]


class BeerLambert(Operator):
    """Mean number of photons behind the object: N = photons exp(-y), for one energy and without scatter.

    Shapes: line integrals (batch, ...) -> counts of the same shape.

    Parameters
    ----------
    photons
        Photons that a ray starts with, which a bin counts where nothing is in the way.
    """

    def __init__(self, *, photons: Annotated[float, Gt(0)]) -> None:
        super().__init__()
        self.photons = photons

    def forward(self, x: Tensor) -> Tensor:
        """Attenuate."""
        return self.photons * torch.exp(-x)


class Transmission(Operator):
    """Counts of a CT detector: N ~ Poisson(photons exp(-y)) + Normal(0, electronic^2), independent in every bin.

    The draw has no derivative. It is a constant to autograd: the gradient is that of the mean, -photons exp(-y).

    Shapes: line integrals (batch, ...) -> counts of the same shape; with electronic noise they may fall below zero.

    Parameters
    ----------
    photons
        Photons that a ray starts with: about 1e6 in a normal scan, 1e4 in one of very low dose.
    electronic
        Standard deviation of the electronic noise, in photons.

    References
    ----------
    La Riviere, Bian and Vargas, IEEE Trans. Med. Imaging 25:1022, 2006, doi:10.1109/TMI.2006.875429
    """

    stochastic = True

    def __init__(self, *, photons: Annotated[float, Gt(0)], electronic: Annotated[float, Ge(0)] = 0.0) -> None:
        super().__init__()
        self.photons = photons
        self.electronic = electronic

    def forward(self, x: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Count.

        Raises
        ------
        UsageError
            For complex data, without a generator, or with one of another device than that of `x`.
        """
        generator = check_draw(self, x, generator)
        return counts(self.photons * torch.exp(-x), self.electronic, generator)

    @property
    def noiseless(self) -> BeerLambert:
        """The mean."""
        return BeerLambert(photons=self.photons)


def counts(mean: Tensor, electronic: float, generator: torch.Generator) -> Tensor:
    """Draw counts of that mean; their gradient is the mean's."""
    drawn = torch.poisson(mean.detach(), generator=generator)
    if electronic:
        drawn += electronic * torch.randn(mean.shape, generator=generator, dtype=mean.dtype, device=mean.device)
    # mean - mean is zero and leaves whole numbers whole; its gradient is not.
    return drawn + (mean - mean.detach())


def check_draw(operator: Operator, x: Tensor, generator: torch.Generator | None) -> torch.Generator:
    """Return the generator; UsageError if it is missing or of another device, or if the data are complex."""
    name = type(operator).__name__
    if x.is_complex():
        raise UsageError(f"{name} takes real line integrals or images, got {str(x.dtype)[6:]}")
    if generator is None:
        raise UsageError(f"{name} draws random numbers: call it with generator=torch.Generator(device)")
    if generator.device.type != x.device.type:
        raise UsageError(f"the generator is on {generator.device}, the data on {x.device}: make it on {x.device}")
    return generator
