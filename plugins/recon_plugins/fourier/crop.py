"""Central crops, with zero filling as their adjoint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import torch
from annotated_types import Gt
from torch import Tensor

from recon.errors import UsageError
from recon.kspace import crop_centred
from recon.operators import LinearOperator
from recon.operators.base import check_shape

__all__ = ["Crop"]


class Crop(LinearOperator):
    """The central part of an image or of k-space. Its adjoint fills the rest with zeros.

    Shapes: x (batch, channel, *size) -> y (batch, channel, *part). Along an axis of n points the part starts at index
    (n - m) // 2, as fastMRI's does; what lies at n // 2 comes to lie at m // 2, except for an odd part of an even axis.

    Parameters
    ----------
    size
        Size of what is cropped: (height, width) or (depth, height, width).
    part
        Size of what is kept.

    Raises
    ------
    UsageError
        If the part has another number of axes, or is larger.
    """

    def __init__(self, *, size: Sequence[Annotated[int, Gt(0)]], part: Sequence[Annotated[int, Gt(0)]]) -> None:
        super().__init__()
        self.size, self.part = tuple(size), tuple(part)
        if len(self.size) != len(self.part) or any(m > n for m, n in zip(self.part, self.size, strict=True)):
            raise UsageError(f"the central {self.part} of data of size {self.size} cannot be taken")
        self.input_shape, self.output_shape = (None, *self.size), (None, *self.part)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the central part, as a view."""
        check_shape(self, x, self.input_shape)
        return crop_centred(x, self.part)

    def adjoint(self, y: Tensor) -> Tensor:
        """Fill with zeros. Shapes: y (batch, channel, *part) -> x (batch, channel, *size)."""
        check_shape(self, y, self.output_shape)
        margins = []
        for n, m in reversed(list(zip(self.size, self.part, strict=True))):
            before = (n - m) // 2
            margins += [before, n - m - before]
        return torch.nn.functional.pad(y, margins)

    def norm(self, *, iterations: int = 30, like: Tensor | None = None, free: int = 1) -> float:  # noqa: ARG002
        """Return the spectral norm, 1."""
        return 1.0
