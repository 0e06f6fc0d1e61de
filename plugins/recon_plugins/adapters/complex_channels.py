"""Real networks on complex images."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor, nn

from recon.errors import UsageError
from recon.schema import Part

__all__ = ["ComplexChannels"]


class ComplexChannels(nn.Module):
    """Lets a real network work on complex images.

    The network sees the real parts of all channels, then their imaginary parts, and answers likewise. A real image
    counts as one whose imaginary part is zero.

    Shapes: (batch, channel, *space) -> (batch, channel', *space), complex; the network's own are (batch, 2 channel,
    *space) -> (batch, 2 channel', *space), real.

    Parameters
    ----------
    model
        The network.

    Raises
    ------
    UsageError
        If the network answers with an odd number of channels.
    """

    def __init__(self, *, model: Annotated[nn.Module, Part("model")]) -> None:
        super().__init__()
        self.model = model
        self.channels_last = bool(getattr(model, "channels_last", False))

    def forward(self, y: Tensor) -> Tensor:
        """Apply the network to real and imaginary parts."""
        imaginary = y.imag if y.is_complex() else torch.zeros_like(y)
        real = y.real if y.is_complex() else y
        output = self.model(torch.cat([real, imaginary], dim=1))
        if output.shape[1] % 2:
            raise UsageError(
                f"complex_channels needs a model with an even number of output channels, got {output.shape[1]}: "
                "give it twice the complex channels"
            )
        return torch.complex(*output.to(real.dtype).chunk(2, dim=1))
