"""Consistency with the measurement."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from recon.interfaces import Loss
from recon.operators import LinearOperator
from recon_plugins.losses.pixel import difference, squared

__all__ = ["MeasurementConsistency"]


class MeasurementConsistency(Loss):
    """Distance of the reconstruction's measurement to the true one: the mean of |A x - y|^2 or |A x - y|.

    It needs no ground truth, and cannot see what A does not measure. The operator is applied in full precision also
    under autocast.

    Shapes: prediction (batch, channel, *space), measurement as the operator gives it -> scalar.

    Parameters
    ----------
    norm
        "l2" for squares, "l1" for absolute values.

    Raises
    ------
    UsageError
        If A x has another shape than the measurement.
    """

    def __init__(self, *, norm: Literal["l2", "l1"] = "l2") -> None:
        super().__init__()
        self.norm = norm

    def forward(self, prediction: Tensor, measurement: Tensor, operator: LinearOperator) -> Tensor:  # type: ignore[override]
        """Return the loss."""
        with torch.autocast(prediction.device.type, enabled=False):
            if prediction.dtype in (torch.float16, torch.bfloat16):
                prediction = prediction.float()
            error = difference(operator(prediction), measurement)
            return squared(error).mean() if self.norm == "l2" else error.abs().mean()
