"""The VDSR network."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge
from monai.networks.blocks.convolutions import Convolution
from torch import Tensor, nn

__all__ = ["VDSR"]


class VDSR(nn.Module):
    """Super-resolution f(y) = y + R(y) of an image y that is already interpolated to its full size.

    R is 20 convolutions 3x3 with zero padding and a ReLU between any two: 665,921 parameters, 664,704 without biases.
    One network serves several scales. Weights start as He's normal numbers, as in the paper. The sum is done in the
    precision of y.

    Shapes: y (batch, channel, height, width) -> (batch, channel, height, width); intensities in [0, 1]. The published
    network works on luminance.

    Parameters
    ----------
    channels
        Channels of the image.
    layers
        Convolutions.
    features
        Channels between the convolutions.
    bias
        Whether the convolutions have biases, as in the paper.

    References
    ----------
    Kim et al., CVPR 2016, doi:10.1109/CVPR.2016.182
    """

    channels_last: bool = True
    """Plain convolutions run faster in that memory format."""

    def __init__(
        self,
        *,
        channels: Annotated[int, Ge(1)] = 1,
        layers: Annotated[int, Ge(2)] = 20,
        features: Annotated[int, Ge(1)] = 64,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.channels = channels
        self.layers = layers
        self.features = features
        self.bias = bias
        widths = [channels] + [features] * (layers - 1)
        hidden = [Convolution(2, width, features, act="relu", norm=None, bias=bias) for width in widths[:-1]]
        self.body = nn.Sequential(*hidden, Convolution(2, features, channels, conv_only=True, bias=bias))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new weights: normal with variance 2 / fan-in; biases zero."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, y: Tensor) -> Tensor:
        """Add the missing detail: y + R(y)."""
        return y + self.body(y).to(y.dtype)
