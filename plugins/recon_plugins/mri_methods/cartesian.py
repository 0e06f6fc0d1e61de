"""What methods that work on Cartesian k-space have in common."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from recon.errors import UsageError
from recon.interfaces import Calibrated, CoilOperator, Method
from recon.kspace import root_sum_of_squares
from recon.methods import linear
from recon.operators import LinearOperator, Operator
from recon.sensitivities import MapsLike, estimated_maps
from recon_plugins.mri_methods.sense import combined

__all__ = ["calibrated", "cartesian", "combined_image"]


def cartesian(operator: Operator, y: Tensor) -> tuple[LinearOperator, Tensor | None]:
    """Return the operator without noise and its mask, (*k) or (batch, 1, *k); None where all is measured.

    Raises
    ------
    UsageError
        If the operator does not measure Cartesian k-space, or that of dynamic images.
    """
    coils: Any = linear(operator)
    if not hasattr(coils, "mask_for") or getattr(coils, "time", False):
        raise UsageError(
            f"this method fills Cartesian k-space of a static image, which {type(coils).__name__} does not measure: "
            "take cg_sense or l1_wavelet"
        )
    if y.ndim != coils.dimensions + 2:
        raise UsageError(f"k-space of {coils.dimensions} axes is (batch, coil, *k), not {tuple(y.shape)}")
    return coils, coils.mask_for(y.shape[2:], y.device)


def calibrated(method: Method | None, data: Tensor) -> Method | None:
    """Return a method that takes its calibration from `data`, if it takes any."""
    return method.with_calibration(data) if isinstance(method, Calibrated) else method


@torch.no_grad()
def combined_image(
    k: Tensor, y: Tensor, operator: Operator, maps: MapsLike | None, calibration: Tensor | None
) -> Tensor:
    """Return the image (batch, 1, *space) of full k-space: by sensitivities, or by the root sum of squares.

    Parameters
    ----------
    k
        Full k-space (batch, coil, *k).
    y, operator
        The measurement and its operator; one that brings sensitivities combines by them.
    maps, calibration
        As for `SenseMethod`; without maps, an operator of coil images combines by the root sum of squares.
    """
    coils: Any = linear(operator)
    full = coils.with_(mask=None, resample=False)
    if isinstance(coils, CoilOperator):
        if maps is None:
            return root_sum_of_squares(full.adjoint(k))
        full = full.with_maps(estimated_maps(y, linear(operator), maps, calibration=calibration))
        return combined(full.adjoint(k))
    x: Tensor = full.adjoint(k)
    return x
