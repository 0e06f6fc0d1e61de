"""The U-Net of fastMRI."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from annotated_types import Ge, Lt
from torch import Tensor, nn

from recon.errors import UsageError

__all__ = ["UNet"]

CONVOLUTION = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
INSTANCE_NORM = {1: nn.InstanceNorm1d, 2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}
DROPOUT = {1: nn.Dropout1d, 2: nn.Dropout2d, 3: nn.Dropout3d}
POOLING = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


class UNet(nn.Module):
    """The U-Net of fastMRI, with its state-dict keys and its output, so that its published weights load.

    Each level has two times conv 3 (no bias), instance normalisation (no weights), LeakyReLU 0.2, dropout of whole
    channels. Down: average pooling by 2. Up: transposed convolution 2 by 2 (no bias), normalisation, LeakyReLU, then
    the level's two convolutions on [up, skip]; odd sizes are mirrored at their end. Last a 1x1 convolution with bias.
    The output is not added to the input. 2,454,157 parameters with 18 channels, 7,756,097 with 32, 31,023,745 with 64,
    124,093,697 with 128. Weights start as torch's layers do.

    Shapes: (batch, in_channels, *space) -> (batch, out_channels, *space), of any size that leaves more than one pixel
    at the lowest level.

    Parameters
    ----------
    in_channels, out_channels
        Channels of input and output.
    chans
        Channels of the first level; each level down doubles them.
    num_pool_layers
        Times the image is halved.
    drop_prob
        Probability that a channel is dropped in training.
    dims
        Spatial dimensions; the published network has 2.

    Raises
    ------
    UsageError
        If an image is too small for the poolings.

    References
    ----------
    Ronneberger et al., MICCAI 2015, doi:10.1007/978-3-319-24574-4_28; Zbontar et al., 2018, arXiv:1811.08839
    """

    channels_last: bool = False
    """Instance normalisation makes that memory format a quarter slower on a CPU."""

    def __init__(
        self,
        *,
        in_channels: Annotated[int, Ge(1)] = 1,
        out_channels: Annotated[int, Ge(1)] = 1,
        chans: Annotated[int, Ge(1)] = 32,
        num_pool_layers: Annotated[int, Ge(1)] = 4,
        drop_prob: Annotated[float, Ge(0), Lt(1)] = 0.0,
        dims: Literal[1, 2, 3] = 2,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.chans = chans
        self.num_pool_layers = num_pool_layers
        self.drop_prob = drop_prob
        self.dims = dims
        widths = [chans * 2**level for level in range(num_pool_layers + 1)]
        before = [in_channels, *widths]
        self.down_sample_layers = nn.ModuleList(
            ConvBlock(before[level], widths[level], drop_prob, dims) for level in range(num_pool_layers)
        )
        self.conv = ConvBlock(widths[-2], widths[-1], drop_prob, dims)
        upwards = list(reversed(widths[:-1]))
        self.up_transpose_conv = nn.ModuleList(TransposeConvBlock(2 * width, width, dims) for width in upwards)
        blocks: list[nn.Module] = [ConvBlock(2 * width, width, drop_prob, dims) for width in upwards]
        blocks[-1] = nn.Sequential(blocks[-1], CONVOLUTION[dims](chans, out_channels, kernel_size=1))
        self.up_conv = nn.ModuleList(blocks)

    def forward(self, image: Tensor) -> Tensor:
        """Map an image to an image of the same size."""
        lowest = [size >> self.num_pool_layers for size in image.shape[2:]]
        if len(lowest) != self.dims or math.prod(lowest) < 2:
            raise UsageError(
                f"this U-Net needs images of {self.dims} axes that can be halved {self.num_pool_layers} times to more "
                f"than one pixel, got a tensor of shape {tuple(image.shape)}"
            )
        skips: list[Tensor] = []
        output = image
        for layer in self.down_sample_layers:
            output = layer(output)
            skips.append(output)
            output = POOLING[self.dims](output, kernel_size=2)
        output = self.conv(output)
        for transpose, layer in zip(self.up_transpose_conv, self.up_conv, strict=True):
            skip = skips.pop()
            output = transpose(output)
            missing = [int(a != b) for a, b in zip(output.shape[2:], skip.shape[2:], strict=True)]
            if any(missing):
                output = F.pad(output, [pad for size in reversed(missing) for pad in (0, size)], "reflect")
            output = layer(torch.cat([output, skip], dim=1))
        return output


# Plain layers, not MONAI's blocks: `layers.0` and `layers.4` must be the two convolutions, as in the published files.
class ConvBlock(nn.Module):
    """Two times conv 3, instance normalisation, LeakyReLU, dropout."""

    def __init__(self, in_chans: int, out_chans: int, drop_prob: float, dims: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for width in (in_chans, out_chans):
            layers += [
                CONVOLUTION[dims](width, out_chans, kernel_size=3, padding=1, bias=False),
                INSTANCE_NORM[dims](out_chans),
                nn.LeakyReLU(negative_slope=0.2, inplace=True),
                DROPOUT[dims](drop_prob),
            ]
        self.layers = nn.Sequential(*layers)

    def forward(self, image: Tensor) -> Tensor:
        """Apply the layers."""
        return self.layers(image)


class TransposeConvBlock(nn.Module):
    """Transposed conv 2 of stride 2, instance normalisation, LeakyReLU."""

    def __init__(self, in_chans: int, out_chans: int, dims: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            TRANSPOSED[dims](in_chans, out_chans, kernel_size=2, stride=2, bias=False),
            INSTANCE_NORM[dims](out_chans),
            nn.LeakyReLU(negative_slope=0.2, inplace=True),
        )

    def forward(self, image: Tensor) -> Tensor:
        """Apply the layers."""
        return self.layers(image)
