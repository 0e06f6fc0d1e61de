"""Instance normalisation around a network."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Gt
from torch import Tensor, nn

from recon.errors import UsageError
from recon.schema import Part

__all__ = ["Normalised"]


class Normalised(nn.Module):
    """A network that sees every item with mean 0 and standard deviation 1, and whose answer is scaled back.

    f(y) = s g((y - m) / (s + eps)) + m, with the mean m and the deviation s (n - 1 in its denominator) over channels
    and space, as for fastMRI's networks. A real network need not know an image's units then.

    Shapes: those of the network.

    Parameters
    ----------
    model
        The network g.
    eps
        Number added to the deviation; fastMRI's 1e-11.
    clamp
        Largest absolute value that the network sees, in deviations; fastMRI trains with 6. None for no limit. The
        image is real then: put `complex_channels` outside.

    Raises
    ------
    UsageError
        If `clamp` is set and the image is complex.
    """

    def __init__(
        self,
        *,
        model: Annotated[nn.Module, Part("model")],
        eps: Annotated[float, Gt(0)] = 1e-11,
        clamp: Annotated[float, Gt(0)] | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.eps = eps
        self.clamp = clamp
        self.channels_last = bool(getattr(model, "channels_last", False))

    def forward(self, y: Tensor) -> Tensor:
        """Normalise, apply the network, scale back."""
        axes = tuple(range(1, y.ndim))
        mean = y.mean(axes, keepdim=True)
        deviation = y.std(axes, correction=min(1, y[:1].numel() - 1), keepdim=True)  # 0 for a single value
        x = (y - mean) / (deviation + self.eps)
        if self.clamp is not None:
            if x.is_complex():
                raise UsageError("normalised cannot clamp a complex image: put complex_channels around it")
            x = x.clamp(-self.clamp, self.clamp)
        return self.model(x) * deviation + mean
