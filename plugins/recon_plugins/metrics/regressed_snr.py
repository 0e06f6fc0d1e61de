"""Signal-to-noise ratio after the best affine fit."""

from __future__ import annotations

import torch
from torch import Tensor

from recon.interfaces import Metric
from recon_plugins.metrics.comparison import comparable

__all__ = ["RegressedSNR"]


class RegressedSNR(Metric):
    """Regressed signal-to-noise ratio, 10 log10(|t|^2 / min_(a,b) |t - (a x + b)|^2) in dB, over an item's pixels.

    The prediction's scale and offset do not count: they are fitted to the target by least squares first. FBPConvNet's
    figures are of this kind, and not to be compared with the PSNR: the numerator is the target's energy, not its peak.
    Of complex images the magnitudes are compared. An exact fit has an infinite SNR.

    Shapes: (batch, channel, *space) -> (batch,).

    References
    ----------
    Jin et al., IEEE Trans. Image Process. 2017, doi:10.1109/TIP.2017.2713099
    """

    @property
    def convention(self) -> str:
        """What the number means, in one line."""
        return (
            "regressed SNR in dB per item, 10 log10(|t|^2 / |t - (a x + b)|^2), a and b fitted by least squares, "
            "magnitude of complex images"
        )

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the SNR of each item."""
        prediction, target = comparable(prediction, target)
        x, t = prediction.flatten(1), target.flatten(1)
        # With both means taken off, b is gone and a is one division; sums of squares would lose digits.
        x, centred = x - x.mean(1, keepdim=True), t - t.mean(1, keepdim=True)
        variance = x.square().sum(1)
        a = (x * centred).sum(1) / torch.where(variance > 0, variance, 1)
        error = (centred - a[:, None] * x).square().sum(1)
        return 10 * torch.log10(t.square().sum(1) / error)
