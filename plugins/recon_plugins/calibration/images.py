"""Low-resolution images of the coils."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from recon.kspace import root_sum_of_squares
from recon_plugins.calibration.grid import axes_of, evaluate

__all__ = ["bright", "coil_images", "unit"]


def coil_images(centre: Tensor, size: tuple[int, ...]) -> Tensor:
    """Return the coils' images from the centre of k-space, weighted by a Hann window where it is not all of k-space.

    Without the window, the cut edges of k-space would ring through the image. The scale is arbitrary, the same for all
    coils of an item.

    Shapes: centre (batch, coil, *block) -> (batch, coil, *size).
    """
    scale = centre.abs().amax(tuple(range(1, centre.ndim)), keepdim=True)
    centre = centre / torch.where(scale > 0, scale, 1)
    for axis, n in zip(range(2, centre.ndim), size, strict=True):
        have = centre.shape[axis]
        if have < n:
            k = torch.arange(have, device=centre.device, dtype=scale.dtype) - have // 2
            window = 0.5 + 0.5 * torch.cos(2 * math.pi * k / (have + 1))
            centre = centre * window.reshape(-1, *[1] * (centre.ndim - 1 - axis))
    return evaluate(centre, axes_of(size, 1, centre.device), size)


def bright(images: Tensor, share: float) -> Tensor:
    """Return where the root sum of squares is above `share` of its largest value. Shapes: (batch, coil, ...)."""
    combined = root_sum_of_squares(images)
    return combined > share * combined.amax(tuple(range(1, images.ndim)), keepdim=True)


def unit(maps: Tensor) -> Tensor:
    """Divide by the norm over coils (axis 1); zeros stay zeros."""
    length = root_sum_of_squares(maps)
    return maps / torch.where(length > 0, length, 1)
