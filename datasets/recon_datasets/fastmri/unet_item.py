"""The item that fastMRI's U-Net is trained on, made from the sampled columns alone."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["UNetItem", "unet_crop", "unet_item", "zero_filled"]

EPSILON = 1e-11
LARGEST = 6.0


@dataclass(frozen=True, slots=True)
class UNetItem:
    """Normalised image and reference (h, w), by which mean and deviation, and the reference as it was."""

    image: Tensor
    target: Tensor | None
    mean: Tensor
    std: Tensor
    reference: Tensor | None


def unet_item(kspace: Tensor, columns: Tensor | None, size: tuple[int, int], target: Tensor | None) -> UNetItem:
    """Normalise the zero-filled image, and the reference by the image's mean and deviation.

    As fastMRI 0.3 does: (x - m) / (s + 1e-11), clamped to +-6, with m the mean and s the unbiased standard deviation of
    the zero-filled image cropped to `size`.

    Parameters
    ----------
    kspace
        (coil, H, W); not written to.
    columns
        Indices of the columns to use; None for all.
    size
        (h, w) of the middle of the image, see `unet_crop`.
    target
        Reference (h', w'), at least of that size, or None.
    """
    image = zero_filled(kspace, columns, size)
    mean = image.mean(dtype=torch.float64).float()
    image -= mean
    std = (torch.linalg.vector_norm(image, dtype=torch.float64) / max(1, image.numel() - 1) ** 0.5).float()
    scale = std + EPSILON
    image = image.div_(scale).clamp_(-LARGEST, LARGEST)
    if target is None:
        return UNetItem(image, None, mean, std, None)
    top, left = ((have - want) // 2 for have, want in zip(target.shape, size, strict=True))
    reference = target[top : top + size[0], left : left + size[1]]
    normalised = torch.sub(reference, mean).div_(scale).clamp_(-LARGEST, LARGEST)
    return UNetItem(image, normalised, mean, std, reference)


def unet_crop(size: tuple[int, int], crop: tuple[int, int]) -> tuple[int, int]:
    """Return what is cropped to: `crop`, or a square of k-space's width where that is narrower, as fastMRI does."""
    width = size[1]
    return (width, width) if width < crop[1] else crop


def zero_filled(kspace: Tensor, columns: Tensor | None, size: tuple[int, int]) -> Tensor:
    """Return the root sum of squares of the middle of the zero-filled coil images, (h, w).

    Columns that were not sampled are neither read nor transformed along the readout, nor are rows that the crop leaves
    out transformed along the phase. Nothing is shifted: in k-space a shift is a phase of the image, which its
    magnitude does not have, and in the image it is a choice of rows and columns.

    Parameters
    ----------
    kspace
        (coil, H, W), centred; not written to.
    columns
        Indices of the columns to use; None for all.
    size
        (h, w), at most (H, W).
    """
    coils, height, width = kspace.shape
    rows, left = size[0], height // 2 - (height - size[0]) // 2  # rows of the crop before the centre
    chosen = None if columns is None or len(columns) == width else columns
    wide = torch.zeros(rows, width, dtype=torch.complex64)
    power = torch.empty(rows, 2 * width)
    for coil in range(coils):  # one at a time, they stay in the processor's cache
        lines = kspace[coil] if chosen is None else kspace[coil].index_select(1, chosen)
        lines = torch.fft.ifft(lines, dim=0, norm="forward")
        for to, part in ((wide[:left], lines[height - left :]), (wide[left:], lines[: rows - left])):
            if chosen is None:
                to.copy_(part)
            else:
                to.index_copy_(1, chosen, part)
        image = torch.view_as_real(torch.fft.ifft(wide, dim=1, norm="forward")).view(rows, 2 * width)
        power = power.addcmul_(image, image) if coil else torch.mul(image, image, out=power)
    power = power.view(rows, width, 2)
    first = width // 2 - (width - size[1]) // 2
    image = torch.empty(size)
    for to, part in ((image[:, :first], power[:, width - first :]), (image[:, first:], power[:, : size[1] - first])):
        torch.add(part[..., 0], part[..., 1], out=to)
    return image.div_(height * width).sqrt_()
