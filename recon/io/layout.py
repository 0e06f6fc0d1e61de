"""Arrays with named axes as operators and networks take them, and back."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from recon.errors import UsageError

__all__ = ["SPACE", "check_dims", "from_layout", "to_layout"]

SPACE = ("z", "y", "x")
"""Names of the spatial axes in the order in which arrays store them."""


def check_dims(dims: tuple[str, ...], shape: tuple[int, ...]) -> tuple[str, ...]:
    """Return the names of the axes of a tensor; the default for none are the last two or three of `SPACE`.

    Raises
    ------
    UsageError
        If they are not distinct names, one an axis, ending in ("y", "x") or ("z", "y", "x").
    """
    dims = tuple(dims) or SPACE[max(0, 3 - len(shape)) :]
    if len(dims) != len(shape) or not (dims[-2:] == SPACE[1:]) or len(set(dims)) != len(dims):
        raise UsageError(
            f"dims {dims} do not name the axes of a tensor of shape {tuple(shape)}: one distinct name "
            "per axis, the last ones ('z', 'y', 'x') or ('y', 'x')"
        )
    if "z" in dims[:-3] or (len(dims) > 2 and "z" in dims and dims[-3] != "z"):
        raise UsageError(f"dims {dims}: axis 'z' must stand right before 'y' and 'x'")
    return dims


def to_layout(data: Tensor, dims: tuple[str, ...], space: int) -> Tensor:
    """Rearrange `data` with named axes to (batch, channel, *space); see `Image.to_batch`."""
    own = 3 if "z" in dims else 2
    if space not in (2, 3) or space > own:
        raise UsageError(f"an image with axes {dims} has no {space} dimensions in space")
    data = data.movedim(dims.index("channel"), -own - 1) if "channel" in dims else data.unsqueeze(-own - 1)
    if space < own:  # (..., channel, z, y, x) -> (..., z, channel, y, x)
        data = data.movedim(-3, -4)
    return data.reshape(-1, *data.shape[-space - 1 :])


def from_layout(data: Tensor, dims: tuple[str, ...], shape: tuple[int, ...]) -> tuple[tuple[str, ...], Tensor]:
    """Undo `to_layout` for an image of axes `dims` and shape `shape`: new dims, with channels first, and data."""
    sizes = dict(zip(dims, shape, strict=True))
    space = data.ndim - 2
    own = 3 if "z" in dims else 2
    outer = tuple(name for name in dims[: len(dims) - space] if name != "channel")
    expected = [sizes[name] for name in outer]
    if (
        space not in (2, 3)
        or space > own
        or data.shape[0] != int(np.prod(expected))
        or data.shape[2:] != tuple(shape[-space:])
    ):
        raise UsageError(f"data of shape {tuple(data.shape)} do not lie on the grid of an image with {sizes}")
    data = data.movedim(1, 0).reshape(-1, *expected, *data.shape[2:])
    names = outer + dims[len(dims) - space :]
    if data.shape[0] == 1:
        return names, data[0]
    return ("channel", *names), data
