"""Normalised mean squared error."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from recon.interfaces import Metric
from recon_plugins.metrics.comparison import comparable

__all__ = ["NMSE"]


class NMSE(Metric):
    """Normalised squared error |x - t|^2 / |t|^2 over all channels and pixels of an item.

    Of complex images the magnitudes are compared.

    Shapes: (batch, channel, *space) -> (batch,).
    """

    higher_is_better: ClassVar[bool] = False

    @property
    def convention(self) -> str:
        """What the number means, in one line."""
        return "NMSE per item, |x - t|^2 / |t|^2, magnitude of complex images"

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the NMSE of each item."""
        prediction, target = comparable(prediction, target)
        return (prediction - target).square().flatten(1).sum(1) / target.square().flatten(1).sum(1)
