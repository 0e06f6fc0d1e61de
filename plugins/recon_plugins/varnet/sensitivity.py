"""Coil sensitivities, learned."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from recon.kspace import root_sum_of_squares
from recon_plugins.varnet.norm_unet import NormUNet

__all__ = ["SensitivityModel", "central_block"]


class SensitivityModel(nn.Module):
    """Coil sensitivities from the fully sampled centre of k-space: a U-Net on each coil's low-resolution image.

    The results are divided by their root sum of squares over the coils.

    Shapes: low-resolution coil images (batch, coil, H, W) complex -> sensitivities of the same shape.

    Parameters
    ----------
    chans, num_pools
        Of the U-Net.
    drop_prob
        Probability that a channel is dropped in training.
    """

    def __init__(self, *, chans: int, num_pools: int, drop_prob: float = 0.0) -> None:
        super().__init__()
        self.norm_unet = NormUNet(chans=chans, num_pools=num_pools, drop_prob=drop_prob)

    def forward(self, images: Tensor) -> Tensor:
        """Estimate the sensitivities."""
        maps: Tensor = self.norm_unet(images.flatten(0, 1).unsqueeze(1)).reshape(images.shape)
        norm = root_sum_of_squares(maps)
        return maps / norm.where(norm > 0, 1)


def central_block(mask: Tensor | None, size: Sequence[int], lines: int | None, device: torch.device) -> Tensor | None:
    """Return where the fully sampled centre of k-space is, as a boolean mask; None if that is everywhere.

    Along each axis on which the mask depends the block begins at (n - lines + 1) // 2. Nothing waits for the device.

    Parameters
    ----------
    mask
        Boolean, of a shape that broadcasts to (batch, coil, *size); None where all is measured.
    size
        (H, W) of k-space.
    lines
        Width of the block. None finds it, for each item: twice the number of lines to either side of the centre up to
        which all is measured, and at least 1.
    device
        Where the result is needed.
    """
    if mask is None:
        return None
    mask = mask.reshape(*[1] * (4 - mask.ndim), *mask.shape)
    axes = [axis for axis in (2, 3) if mask.shape[axis] > 1]
    if not axes:
        return None
    places = {axis: _along(torch.arange(mask.shape[axis], device=device), axis) for axis in axes}
    width: Tensor | int
    if lines is None:
        # How far each sample is from the centre: as many lines lie between. The nearest gap bounds the block.
        far = torch.zeros_like(mask, dtype=torch.long)
        for axis, place in places.items():
            middle = mask.shape[axis] // 2
            far = torch.maximum(far, torch.where(place < middle, middle - 1 - place, place - middle))
        nearest = far.masked_fill(mask, max(size)).amin((1, 2, 3), keepdim=True)
        width = (2 * nearest).clamp(min=1)
    else:
        width = lines
    block = torch.ones((), dtype=torch.bool, device=device)
    for axis, place in places.items():
        first = (mask.shape[axis] - width + 1) // 2  # negative where all is measured
        block = block & (place >= first) & (place < first + width)
    return block


def _along(values: Tensor, axis: int) -> Tensor:
    return values.reshape([-1 if other == axis else 1 for other in range(4)])
