"""A network behind an interpolation to full size."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Literal

import torch
from annotated_types import Ge
from torch import Tensor, nn

from recon import build
from recon.operators import Operator
from recon.schema import Part

__all__ = ["Upscaled"]


class Upscaled(nn.Module):
    """f(y) = g(U y), where U makes the image larger by a factor, by the operator `upsample`.

    SRCNN and VDSR work on such an image; published ones on a bicubic one. Images may have any size. U is applied in
    full precision also under autocast.

    Shapes: (batch, channel, *space) -> (batch, channel', *(factor space)).

    Parameters
    ----------
    model
        The network g, which keeps the size.
    factor
        The factor.
    method
        "bicubic" (equal to MATLAB's imresize), "bilinear" or "nearest".
    """

    def __init__(
        self,
        *,
        model: Annotated[nn.Module, Part("model")],
        factor: Annotated[int, Ge(1)],
        method: Literal["bicubic", "bilinear", "nearest"] = "bicubic",
    ) -> None:
        super().__init__()
        self.model = model
        self.factor = factor
        self.method = method
        self.channels_last = bool(getattr(model, "channels_last", False))

    def forward(self, y: Tensor) -> Tensor:
        """Interpolate, then apply the network."""
        with torch.autocast(y.device.type, enabled=False):
            x = _upsample(tuple(y.shape[2:]), self.factor, self.method, y.device)(y)
        return self.model(x)


@lru_cache(maxsize=64)
def _upsample(size: tuple[int, ...], factor: int, method: str, device: torch.device) -> Operator:
    return build("operator", "upsample", size=size, factor=factor, method=method).to(device)
