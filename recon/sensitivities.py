"""From an operator of coil images to one of the image that all coils see."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from recon.building import build
from recon.interfaces import Calibrated, CoilOperator, Method
from recon.methods import linear
from recon.operators import LinearOperator, Operator

__all__ = ["MapsLike", "estimated_maps", "with_sensitivities"]

MapsLike = Method | Mapping[str, Any] | str
"""A calibration: the method itself, its name, or its config."""


def with_sensitivities(
    operator: Operator, y: Tensor, maps: MapsLike | None, *, calibration: Tensor | None = None
) -> LinearOperator:
    """Return the operator of the image that all coils see: itself, where it does not measure coil images.

    Parameters
    ----------
    operator
        The measurement's operator. One that brings its sensitivities, or that knows no coils, is returned as it is.
    y
        The measurement, one channel a coil.
    maps
        Calibration that estimates the sensitivities, without gradients; None returns the operator as it is.
    calibration
        k-space to calibrate from, of the shape of `y`; None for `y` itself.
    """
    coils = linear(operator)
    if maps is None or not isinstance(coils, CoilOperator) or getattr(coils, "maps", None) is not None:
        return coils
    return coils.with_maps(estimated_maps(y, coils, maps, calibration=calibration))


@torch.no_grad()
def estimated_maps(y: Tensor, operator: Operator, maps: MapsLike, *, calibration: Tensor | None = None) -> Tensor:
    """Return the sensitivities (batch, [set,] coil, *space) that a calibration finds; as for `with_sensitivities`."""
    method: Method = build("method", maps)  # type: ignore[call-overload]  # objects pass through
    if calibration is not None and isinstance(method, Calibrated):
        method = method.with_calibration(calibration)
    return method(y, operator)
