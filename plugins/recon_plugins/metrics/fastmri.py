"""fastMRI's metrics of a volume."""

from __future__ import annotations

import torch
from torch import Tensor

from recon_plugins.metrics.image_metric import ImageMetric
from recon_plugins.metrics.nmse import NMSE
from recon_plugins.metrics.psnr import PSNR
from recon_plugins.metrics.ssim import SSIM

__all__ = ["FastMRINMSE", "FastMRIPSNR", "FastMRISSIM"]

# Each is the general metric with a volume's slices as channels. The evaluation of fastMRI crops both volumes to their
# centre (W, W) before, W being the target's width; that is left to who loads them.


class _OfVolume(ImageMetric):
    """A metric whose range is that of the volume, which data may tell of a single slice."""

    def prepared(
        self, prediction: Tensor, target: Tensor, maximum: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        x, t, data_range = super().prepared(prediction, target)
        return x, t, data_range if maximum is None else maximum.to(t.dtype).reshape(-1)


class FastMRIPSNR(_OfVolume, PSNR):
    """fastMRI's PSNR: over the whole volume, whose maximum is the peak.

    Shapes: (batch, slice, height, width) -> (batch,): an item is a volume. A single slice is a volume of one,
    whose range is the `maximum` that data bring of its volume, as in fastMRI's validation.

    References
    ----------
    Zbontar et al., 2018, arXiv:1811.08839
    """

    def __init__(self) -> None:
        super().__init__(data_range="target_max")

    @property
    def convention(self) -> str:
        """What the number means, in one line."""
        return "fastMRI PSNR in dB per volume, data range the target volume's maximum, magnitude, not rounded"


class FastMRISSIM(_OfVolume, SSIM):
    """fastMRI's SSIM: of each slice with the volume's maximum as range, averaged over the slices.

    Shapes: (batch, slice, height, width) -> (batch,): an item is a volume. A single slice is a volume of one,
    whose range is the `maximum` that data bring of its volume, as in fastMRI's validation.

    References
    ----------
    Zbontar et al., 2018, arXiv:1811.08839
    """

    def __init__(self) -> None:
        super().__init__(variant="uniform7", data_range="target_max")

    def forward(self, prediction: Tensor, target: Tensor, maximum: Tensor | None = None) -> Tensor:
        """Return the SSIM of each volume."""
        with torch.autocast(prediction.device.type, enabled=False):
            x, t, data_range = self.prepared(prediction, target, maximum)
            # Slice by slice, what is computed stays in a processor's cache: half the time, a fraction of the memory.
            slices = zip(x.split(1, 1), t.split(1, 1), strict=True)
            values = [self._similarity(a, b, data_range).flatten(1).mean(1) for a, b in slices]
            return torch.stack(values).mean(0)

    @property
    def convention(self) -> str:
        """What the number means, in one line."""
        return (
            "fastMRI SSIM per volume: mean over slices, uniform window 7, sample covariance, data range the target "
            "volume's maximum, magnitude, not rounded"
        )


class FastMRINMSE(NMSE):
    """fastMRI's NMSE: squared error over squared norm of the whole volume.

    Shapes: (batch, slice, height, width) -> (batch,): an item is a volume. A single slice is a volume of one.

    References
    ----------
    Zbontar et al., 2018, arXiv:1811.08839
    """

    @property
    def convention(self) -> str:
        """What the number means, in one line."""
        return "fastMRI NMSE per volume, |x - t|^2 / |t|^2, magnitude"
