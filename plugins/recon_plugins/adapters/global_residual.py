"""A network that adds to its input."""

from __future__ import annotations

from typing import Annotated

from torch import Tensor, nn

from recon.schema import Part

__all__ = ["GlobalResidual"]


class GlobalResidual(nn.Module):
    """f(y) = y + g(y), in the precision of y.

    Shapes: those of the network, whose output has the shape of its input.

    Parameters
    ----------
    model
        The network g.

    References
    ----------
    Jin et al., IEEE Trans. Image Process. 2017, doi:10.1109/TIP.2017.2713099
    """

    def __init__(self, *, model: Annotated[nn.Module, Part("model")]) -> None:
        super().__init__()
        self.model = model
        self.channels_last = bool(getattr(model, "channels_last", False))

    def forward(self, y: Tensor) -> Tensor:
        """Add what the network predicts."""
        return y + self.model(y).to(y.dtype)
