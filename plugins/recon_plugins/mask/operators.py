"""Masks: what inpainting has to undo."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt, Le, Len
from torch import Tensor

from recon.errors import ParameterError
from recon.operators import LinearOperator, check_shape

__all__ = ["BoxMask", "Mask", "RandomMask"]

Size = Annotated[tuple[Annotated[int, Gt(0)], ...], Len(2)]


class Mask(LinearOperator):
    """Keep what a mask keeps, set the rest to zero: an orthogonal projection, so that A = A^H = A^H A.

    Lost samples become +0.0 whatever they were: neither the sign of a negative value nor a NaN survives.

    Shapes: (batch, channel, *space) -> the same.

    Parameters
    ----------
    mask
        True or non-zero where samples are kept: (rows, columns) for all channels alike, or (channel, *space), where
        a single channel stands for all. As a tensor or as nested lists.
    """

    mask: Tensor

    def __init__(self, *, mask: Tensor | Sequence[Any]) -> None:
        super().__init__()
        values = torch.as_tensor(mask) != 0
        if values.ndim < 2:
            raise ParameterError(type(self).__name__, [(("mask",), "needs the axes (rows, columns) or (channel, ...)")])
        self.register_buffer("mask", values)
        channel, *space = values.shape if values.ndim > 2 else (1, *values.shape)
        self.input_shape = self.output_shape = (None if channel == 1 else channel, *space)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the mask."""
        check_shape(self, x, self.input_shape)
        return torch.where(self.mask.to(x.device), x, 0)

    def adjoint(self, y: Tensor) -> Tensor:
        """Apply the mask."""
        return self.forward(y)

    def normal(self, x: Tensor) -> Tensor:
        """Apply the mask, once."""
        return self.forward(x)


class RandomMask(Mask):
    """Keep pixels drawn at random, exactly the given fraction of them, in all channels alike.

    The operator itself is the draw of `seed`; ``sample(generator)`` draws another one.

    Shapes: (batch, channel, *size) -> the same.

    Parameters
    ----------
    size
        Spatial size of the image.
    fraction
        Fraction of the pixels that is kept, rounded to whole pixels.
    seed
        Which draw this operator is.
    """

    def __init__(
        self, *, size: Size, fraction: Annotated[float, Ge(0), Le(1)], seed: Annotated[int, Ge(0)] = 0
    ) -> None:
        size = tuple(size)
        super().__init__(mask=_random(size, fraction, torch.Generator().manual_seed(seed)))
        self.size, self.fraction, self.seed = size, fraction, seed

    def sample(self, generator: torch.Generator) -> Mask:
        """Draw a new mask."""
        return Mask(mask=_random(self.size, self.fraction, generator).to(self.mask.device, non_blocking=True))


class BoxMask(Mask):
    """Cut a box out of the image, in all channels alike.

    Shapes: (batch, channel, *size) -> the same.

    Parameters
    ----------
    size
        Spatial size of the image.
    box
        Size of the hole along each axis.
    corner
        First index of the hole along each axis. None puts the hole in the middle, and lets ``sample(generator)``
        draw its place uniformly.
    """

    def __init__(self, *, size: Size, box: Size, corner: tuple[Annotated[int, Ge(0)], ...] | None = None) -> None:
        size, box = tuple(size), tuple(box)
        place = tuple((n - b) // 2 for n, b in zip(size, box, strict=False)) if corner is None else tuple(corner)
        fits = len(size) == len(box) == len(place)
        if not fits or any(c < 0 or c + b > n for n, b, c in zip(size, box, place, strict=True)):
            problem = f"a box of {box} at {place} does not lie in an image of {size}"
            raise ParameterError(type(self).__name__, [(("box",), problem)])
        super().__init__(mask=_hole(size, box, place))
        self.size, self.box, self.corner = size, box, None if corner is None else place

    def sample(self, generator: torch.Generator) -> Mask:
        """Draw a new place for the hole, unless its corner was given."""
        if self.corner is not None:
            return self
        device = generator.device
        free = [n - b + 1 for n, b in zip(self.size, self.box, strict=True)]
        place: list[int | Tensor] = [torch.randint(n, (), generator=generator, device=device) for n in free]
        return Mask(mask=_hole(self.size, self.box, place).to(self.mask.device, non_blocking=True))


def _random(size: Sequence[int], fraction: float, generator: torch.Generator) -> Tensor:
    count = math.prod(size)
    order = torch.randperm(count, generator=generator, device=generator.device)
    return (order < round(fraction * count)).reshape(1, *size)


def _hole(size: Sequence[int], box: Sequence[int], corner: Sequence[int | Tensor]) -> Tensor:
    hole: Tensor = torch.tensor(True)  # joins the first axis on whatever device that is
    for n, b, c in zip(size, box, corner, strict=True):
        index = torch.arange(n, device=c.device if isinstance(c, Tensor) else None)
        hole = hole[..., None] & (index >= c) & (index < c + b)
    return ~hole[None]
