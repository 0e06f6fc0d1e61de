"""The SRCNN network."""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Ge, Len
from torch import Tensor, nn

from recon.errors import UsageError

__all__ = ["SRCNN"]


class SRCNN(nn.Module):
    """Super-resolution by three convolutions of an image that is already interpolated to its full size.

    conv-ReLU, conv-ReLU, conv, of kernel sizes 9-1-5 (8,129 parameters on luminance), 9-3-5 (24,513) or 9-5-5
    (57,281). Weights start as N(0, 0.001^2), biases as zero, as in the paper, which trained the last layer at a tenth
    of the others' learning rate.

    Shapes: y (batch, channel, height, width) -> the same; intensities in [0, 1]. The published network works on
    luminance.

    Parameters
    ----------
    channels
        Channels of the image.
    kernels
        Sizes of the three kernels, odd.
    features
        Channels between the convolutions.
    padding_mode
        What every convolution sees beyond the border. The authors' networks need "replicate": with "zeros" they lose
        2.8 dB on Set5, though other people's weights were trained that way.

    References
    ----------
    Dong et al., IEEE Trans. Pattern Anal. Mach. Intell. 2016, doi:10.1109/TPAMI.2015.2439281
    """

    channels_last: bool = True
    """Plain convolutions run faster in that memory format."""

    def __init__(
        self,
        *,
        channels: Annotated[int, Ge(1)] = 1,
        kernels: Annotated[tuple[Annotated[int, Ge(1)], ...], Len(3, 3)] = (9, 1, 5),
        features: Annotated[tuple[Annotated[int, Ge(1)], ...], Len(2, 2)] = (64, 32),
        padding_mode: Literal["replicate", "zeros", "reflect"] = "replicate",
    ) -> None:
        super().__init__()
        if any(size % 2 == 0 for size in kernels):
            raise UsageError(f"SRCNN needs kernels of odd size, not {tuple(kernels)}")
        self.channels = channels
        self.kernels = tuple(kernels)
        self.features = tuple(features)
        self.padding_mode = padding_mode
        widths = (channels, *self.features, channels)
        # Not MONAI's Convolution: it has no padding mode.
        self.conv1, self.conv2, self.conv3 = (
            nn.Conv2d(before, after, size, padding=size // 2, padding_mode=padding_mode)
            for before, after, size in zip(widths, widths[1:], self.kernels, strict=False)
        )
        self.activation = nn.ReLU(inplace=True)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new weights: normal of deviation 0.001; biases zero."""
        for convolution in (self.conv1, self.conv2, self.conv3):
            nn.init.normal_(convolution.weight, std=1e-3)
            if convolution.bias is not None:
                nn.init.zeros_(convolution.bias)

    def forward(self, y: Tensor) -> Tensor:
        """Sharpen the interpolated image."""
        features = self.activation(self.conv1(y))
        features = self.activation(self.conv2(features))
        return self.conv3(features)
