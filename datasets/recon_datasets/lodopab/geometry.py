"""The geometry and the units of LoDoPaB-CT."""

from __future__ import annotations

import math
from typing import Any, Literal

from torch import Tensor

__all__ = ["BINS", "FIELD_MM", "MU_MAX", "PER_FILE", "SIZE", "VIEWS", "Units", "operator_config", "scales", "upright"]

Units = Literal["1/mm", "normalised"]

SIZE = 362
"""Rows and columns of an image."""
VIEWS, BINS = 1000, 513
FIELD_MM = 260.0
"""Edge of the square image."""
MU_MAX = (3071 * (20 - 0.02) / 1000 + 20) / 1000
"""Attenuation in 1/mm that an image stores as 1: that of 3071 HU, with 20 / m for water and 0.02 / m for air."""
PER_FILE = 128
"""Samples in each file but the last of a part."""


def operator_config(units: Units = "1/mm") -> dict[str, Any]:
    """Return the `radon` operator whose sinogram of an image is its noiseless observation.

    Views lie at theta_k = (k + 1/2) pi / 1000; 513 bins span the diagonal of the square of 0.26 m. Lengths are mm, or
    metres for normalised images, whose observations are stored that way.

    Parameters
    ----------
    units
        As for `LoDoPaB`.
    """
    edge = FIELD_MM if units == "1/mm" else FIELD_MM / 1000
    return {
        "use": "radon",
        "size": (SIZE, SIZE),
        "angles": [(k + 0.5) * math.pi / VIEWS for k in range(VIEWS)],
        "pixel": edge / SIZE,
        "bins": BINS,
        "bin_size": edge * math.sqrt(2) / BINS,
    }


def scales(units: Units) -> tuple[float, float]:
    """Return the factors on stored images and observations.

    An observation is the integral of the normalised image over metres: times 1000 over mm, times `MU_MAX` in 1/mm.
    """
    return (MU_MAX, 1000 * MU_MAX) if units == "1/mm" else (1.0, 1.0)


def upright(stored: Tensor) -> Tensor:
    """Turn stored images (..., x, y), x to the right and y up, into images (..., row, column) with row 0 on top."""
    return stored.transpose(-1, -2).flip(-2)
