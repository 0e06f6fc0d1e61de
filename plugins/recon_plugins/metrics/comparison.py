"""What the metrics do alike before they compare two images."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from annotated_types import Gt
from torch import Tensor

from recon.errors import UsageError
from recon.interfaces import describe

__all__ = ["DataRange", "comparable", "cropped", "data_ranges", "range_text", "rounded"]

DataRange = Annotated[float, Gt(0)] | Literal["target_max", "target_range", "volume_max"]
"""A fixed number; or by item the target's maximum, its maximum minus its minimum, its volume's maximum as data tell."""


def comparable(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return both as real images of one shape and of at least single precision; complex ones as their magnitude.

    Raises
    ------
    UsageError
        If the shapes differ, or there is no spatial axis.
    """
    if prediction.shape != target.shape or prediction.ndim < 3:
        raise UsageError(
            f"a metric compares images (batch, channel, *space) of one shape, got a {describe(prediction)} "
            f"as prediction and a {describe(target)} as target"
        )
    prediction, target = (x.abs() if x.is_complex() else x for x in (prediction, target))
    dtype = torch.promote_types(torch.promote_types(prediction.dtype, target.dtype), torch.float32)
    return prediction.to(dtype), target.to(dtype)


def cropped(image: Tensor, border: int) -> Tensor:
    """Cut `border` pixels off every side of every spatial axis."""
    if border == 0:
        return image
    if min(image.shape[2:]) <= 2 * border:
        raise UsageError(f"shave={border} leaves nothing of an image of shape {tuple(image.shape)}")
    inside = slice(border, -border)
    return image[(slice(None), slice(None), *[inside] * (image.ndim - 2))]


def rounded(image: Tensor, data_range: float) -> Tensor:
    """Clip to [0, data_range] and round to 256 levels, halves upwards, as MATLAB's im2uint8 does."""
    return (image.clamp(0, data_range) * (255 / data_range) + 0.5).floor() * (data_range / 255)


def data_ranges(target: Tensor, data_range: float | str, maximum: Tensor | None = None) -> Tensor:
    """Return the data range of each item of the batch. Shapes: (batch, ...) -> (batch,).

    Raises
    ------
    UsageError
        If it is "volume_max" and there is no `maximum`.
    """
    if data_range == "volume_max":
        if maximum is None:
            raise UsageError("data_range: volume_max needs data whose items hold 'maximum'; take target_max otherwise")
        return maximum.to(target.dtype).reshape(-1).expand(len(target))
    flat = target.flatten(1)
    if data_range == "target_max":
        return flat.amax(1)
    if data_range == "target_range":
        return flat.amax(1) - flat.amin(1)
    return torch.full_like(flat[:, 0], float(data_range))


def range_text(data_range: float | str) -> str:
    """Name a data range in a convention line."""
    names = {
        "target_max": "the target's maximum",
        "target_range": "the target's maximum minus its minimum",
        "volume_max": "the volume's maximum",
    }
    return names[data_range] if isinstance(data_range, str) else f"{data_range:g}"
