"""A U-Net on complex images of zero mean and unit deviation."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recon import build

__all__ = ["NormUNet"]

MULTIPLE = 16
"""Sizes are padded to multiples of this, whatever the number of poolings: published weights were trained so."""


class NormUNet(nn.Module):
    """fastMRI's U-Net around which complex images are normalised and padded, with its state-dict keys.

    Real and imaginary part are two channels. Each has its mean subtracted and is divided by its deviation (n - 1 in the
    denominator), which is undone at the output. Zeros fill up to a multiple of 16 along both axes. The U-Net follows
    autocast; all else is computed in the precision of the image.

    Shapes: (batch, 1, H, W) complex -> the same.

    Parameters
    ----------
    chans, num_pools
        Channels of the U-Net's first level, and times that it halves the image.
    drop_prob
        Probability that a channel is dropped in training.
    """

    def __init__(self, *, chans: int, num_pools: int, drop_prob: float = 0.0) -> None:
        super().__init__()
        self.unet = build(
            "model",
            "unet",
            in_channels=2,
            out_channels=2,
            chans=chans,
            num_pool_layers=num_pools,
            drop_prob=drop_prob,
        )

    def forward(self, image: Tensor) -> Tensor:
        """Normalise, pad, apply the U-Net, undo."""
        x = torch.cat([image.real, image.imag], 1)
        deviation, mean = torch.std_mean(x, (2, 3), keepdim=True)
        x = (x - mean) / deviation.where(deviation > 0, 1)  # an empty image stays one
        height, width = x.shape[2:]
        rows, columns = -height % MULTIPLE, -width % MULTIPLE
        top, left = rows // 2, columns // 2
        x = self.unet(F.pad(x, (left, columns - left, top, rows - top)))
        x = x[..., top : top + height, left : left + width].to(mean.dtype) * deviation + mean
        return torch.complex(x[:, :1], x[:, 1:])
