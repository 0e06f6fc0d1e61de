"""Noise of a CT scan, on line integrals."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from recon.errors import ParameterError
from recon.operators import Identity, Operator
from recon_plugins.ct_physics.log_transform import FLOOR, line_integrals
from recon_plugins.ct_physics.transmission import check_draw, counts

__all__ = ["LowDose"]

Photons = Annotated[float, Gt(0)]


class LowDose(Operator):
    """Line integrals as so many photons tell them: y' = -log(max(N + shift, floor) / photons).

    N are the counts of `Transmission`: N ~ Poisson(photons exp(-y)) + Normal(0, electronic^2).

    The variance of y' is about (1 + electronic^2 / N) / N; `LogTransform` tells its bias. Noise follows what it is
    composed with: ``LowDose(photons=1e4) @ Radon(...)``; without the noise this is the projector. The draw is a
    constant to autograd, which leaves the gradient photons exp(-y) / N, near 1, and 0 at the floor.

    Shapes: line integrals (batch, ...) -> the same.

    Parameters
    ----------
    photons
        Photons that a ray starts with; or a pair (low, high), between which each item of the batch draws its own,
        uniformly in the logarithm: a network trained so knows no dose by heart.
    electronic
        Standard deviation of the electronic noise, in photons.
    floor
        Least count, in photons.
    shift
        Counts added before the logarithm; 0.5 removes most of its bias.

    References
    ----------
    La Riviere, Bian and Vargas, IEEE Trans. Med. Imaging 25:1022, 2006, doi:10.1109/TMI.2006.875429;
    Leuschner et al., Sci. Data 8:109, 2021, doi:10.1038/s41597-021-00893-z (photons 4096, floor 0.1)
    """

    stochastic = True

    def __init__(
        self,
        *,
        photons: Photons | tuple[Photons, Photons],
        electronic: Annotated[float, Ge(0)] = 0.0,
        floor: Annotated[float, Gt(0)] = FLOOR,
        shift: Annotated[float, Ge(0)] = 0.0,
    ) -> None:
        super().__init__()
        low, high = photons if isinstance(photons, (tuple, list)) else (photons, photons)
        if not 0 < low <= high:
            raise ParameterError("LowDose", [(("photons",), f"needs 0 < low <= high, got {photons}")])
        self.photons = (low, high) if isinstance(photons, (tuple, list)) else photons
        self.electronic = electronic
        self.floor = floor
        self.shift = shift

    def forward(self, x: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Count the photons and take the logarithm.

        Raises
        ------
        UsageError
            For complex data, without a generator, or with one of another device than that of `x`.
        """
        generator = check_draw(self, x, generator)
        photons = self._draw_photons(x, generator)
        counted = counts(photons * torch.exp(-x), self.electronic, generator)
        return line_integrals(counted, photons, floor=self.floor, shift=self.shift)

    def _draw_photons(self, x: Tensor, generator: torch.Generator) -> Tensor | float:
        if not isinstance(self.photons, tuple):
            return self.photons
        low, high = map(math.log, self.photons)
        shape = (x.shape[0],) + (1,) * (x.ndim - 1)
        uniform = torch.rand(shape, generator=generator, dtype=x.dtype, device=x.device)
        return torch.exp(low + (high - low) * uniform)

    @property
    def noiseless(self) -> Identity:
        """The identity."""
        return Identity()
