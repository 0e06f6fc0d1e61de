"""Hounsfield units, in which files hold CT images, and linear attenuation in 1/mm, in which everything computes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeVar

from recon.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

__all__ = ["AIR", "WATER", "check_water", "from_hu", "to_hu"]

WATER = 0.0193
"""Attenuation of water in 1/mm at 70 keV, about the effective energy of a 120 kV beam behind a patient.

From NIST's tables (doi:10.18434/T4D01F); 0.0206 at 60 keV and 0.0184 at 80 keV. Other programs take other energies
(LoDoPaB-CT has 0.02): a file keeps the value that it was converted with, so that there and back is exact.
"""
AIR = 0.0
"""Attenuation of air in 1/mm. That of real air, 2.1e-5 at 70 keV, moves HU by up to one part in a thousand."""

Values = TypeVar("Values", float, "NDArray[Any]", "Tensor")
"""A number, an array or a tensor."""


def to_hu(mu: Values, *, water: float = WATER, air: float = AIR) -> Values:
    """Turn attenuation into Hounsfield units: HU = 1000 (mu - water) / (water - air).

    Parameters
    ----------
    mu
        Attenuation in 1/mm: a number, an array or a tensor.
    water, air
        Attenuation of water and of air in 1/mm, which become 0 and -1000 HU.

    Raises
    ------
    UsageError
        Unless 0 <= air < water.
    """
    check_water(water, air)
    return (mu - water) * (1000 / (water - air))


def from_hu(hu: Values, *, water: float = WATER, air: float = AIR) -> Values:
    """Turn Hounsfield units into attenuation in 1/mm: mu = water + HU (water - air) / 1000; undoes `to_hu`.

    Raises
    ------
    UsageError
        Unless 0 <= air < water.
    """
    check_water(water, air)
    return hu * ((water - air) / 1000) + water


def check_water(water: float, air: float) -> None:
    """Raise UsageError unless 0 <= air < water, with the likely mistake where water is given in 1/cm or 1/m."""
    if not (math.isfinite(water) and 0 <= air < water):
        raise UsageError(f"attenuation needs 0 <= air < water in 1/mm, got water {water:g} and air {air:g}")
    if water >= 0.1:
        raise UsageError(f"water {water:g} 1/mm looks like 1/cm or 1/m: diagnostic beams have 0.015 to 0.03 1/mm")
