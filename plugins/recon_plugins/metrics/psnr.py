"""Peak signal-to-noise ratio."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge
from torch import Tensor

from recon_plugins.metrics.comparison import DataRange
from recon_plugins.metrics.image_metric import ImageMetric

__all__ = ["PSNR"]


class PSNR(ImageMetric):
    """Peak signal-to-noise ratio, 10 log10(L^2 / mean |x - t|^2) in dB, over all channels and pixels of an item.

    The mean over a data set is meant as the mean of these dB, not as the dB of the mean error, which are up to 0.7 dB
    lower. Of complex images the magnitudes are compared. Equal images have an infinite PSNR.

    Shapes: (batch, channel, *space) -> (batch,).

    Parameters
    ----------
    data_range
        The peak L: a number, "target_max" or "target_range" (maximum minus minimum) per item, or "volume_max", the
        `maximum` that items bring.
    shave
        Pixels of border that do not count; the scale in super-resolution.
    quantise
        Whether both images are first clipped to [0, data_range] and rounded to 8 bits, as in the restoration papers.
    """

    def __init__(
        self, *, data_range: DataRange = 1.0, shave: Annotated[int, Ge(0)] = 0, quantise: bool = False
    ) -> None:
        super().__init__(data_range, shave, quantise)

    @property
    def convention(self) -> str:
        """What the number means, in one line."""
        return f"PSNR in dB per item, {self._details()}"

    def forward(self, prediction: Tensor, target: Tensor, maximum: Tensor | None = None) -> Tensor:
        """Return the PSNR of each item."""
        prediction, target, peak = self.prepared(prediction, target, maximum)
        error = (prediction - target).square().flatten(1).mean(1)
        return 20 * peak.log10() - 10 * error.log10()
