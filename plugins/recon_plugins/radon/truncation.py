"""Objects that reach beyond the detector."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

__all__ = ["truncated_fraction", "warn_if_truncated"]

EDGE = 0.05
"""What the object's line integrals at the detector's edge may reach, as a share of the largest."""


def truncated_fraction(y: Tensor) -> float:
    """Return the share of views at whose edge line integrals exceed 5 % of the sinogram's largest: the object goes on.

    Edges are averaged over a hundredth of the detector. Shapes: y (batch, channel, A, D).
    """
    width = max(1, y.shape[-1] // 100)
    edges = torch.stack([y[..., :width].mean(-1), y[..., -width:].mean(-1)]).abs().amax(0)
    return float((edges > EDGE * y.abs().amax((-2, -1), keepdim=True).squeeze(-1)).double().mean())


def warn_if_truncated(y: Tensor) -> None:
    """Warn with that share, unless gradients are wanted or looking would make a GPU wait in every training step."""
    waits = y.device.type != "cpu" and torch.is_grad_enabled()
    if y.requires_grad or waits or torch.compiler.is_compiling():
        return
    fraction = truncated_fraction(y)
    if fraction > 0.01:
        warnings.warn(
            f"the object reaches beyond the detector in {fraction:.0%} of the views, which brightens the image towards "
            "the edge of what is seen: use padding='edge', or a wider detector",
            stacklevel=3,
        )
