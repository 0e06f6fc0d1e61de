"""Hounsfield units as an operator."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge, Gt
from torch import Tensor

from recon.io.hounsfield import AIR, WATER, check_water, from_hu, to_hu
from recon.operators import Operator

__all__ = ["Attenuation"]


class Attenuation(Operator):
    """Attenuation of an image in Hounsfield units: mu = water + HU (water - air) / 1000, in 1/mm.

    An affine map, so ``Radon(...) @ Attenuation()`` has no adjoint: convert images once where a method needs a linear
    operator. The functions behind it are `recon.io.hounsfield.from_hu` and `to_hu`.

    Shapes: HU (batch, ...) -> 1/mm of the same shape.

    Parameters
    ----------
    water, air
        Attenuation of water (0 HU) and of air (-1000 HU) in 1/mm; by default water at 70 keV, and none.

    Raises
    ------
    UsageError
        Unless air < water, or if water looks like 1/cm.

    References
    ----------
    Hubbell and Seltzer, NIST Standard Reference Database 126, doi:10.18434/T4D01F
    """

    input_unit = "HU"

    def __init__(self, *, water: Annotated[float, Gt(0)] = WATER, air: Annotated[float, Ge(0)] = AIR) -> None:
        super().__init__()
        check_water(water, air)
        self.water = water
        self.air = air

    def forward(self, x: Tensor) -> Tensor:
        """Turn HU into 1/mm."""
        return from_hu(x, water=self.water, air=self.air)

    def inverse(self, mu: Tensor) -> Tensor:
        """Turn 1/mm into HU."""
        return to_hu(mu, water=self.water, air=self.air)
