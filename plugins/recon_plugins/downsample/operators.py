"""Downsampling: the forward models of super-resolution."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt, Len
from torch import Tensor
from torch.nn import functional as F

from recon.errors import ParameterError
from recon.operators import LinearOperator, Separable, check_shape

__all__ = ["Downsample"]

Size = Annotated[tuple[Annotated[int, Gt(0)], ...], Len(1, 3)]
POOL: dict[int, Callable[..., Tensor]] = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


class Downsample(LinearOperator):
    """Make an image smaller by a whole factor r. The two methods are two different tasks: tables do not compare.

    ``average``: y is the mean over each block of r x r pixels, as a larger detector element measures; the adjoint
    spreads each value over its block, divided by r^d.

    ``bicubic``: equal to MATLAB's ``imresize(x, 1/r, 'bicubic')`` before any rounding, as published super-resolution
    tables ask: Keys' cubic (a = -1/2) stretched by r against aliasing, on the image continued by its mirror image. One
    matrix per axis, made in double precision; the adjoint applies their transposes.

    Shapes: (batch, channel, *size) -> (batch, channel, *ceil(size / r)).

    Parameters
    ----------
    size
        Spatial size of the large image, of one to three axes.
    factor
        The factor r; ``average`` asks that it divides the size.
    method
        ``average`` or ``bicubic``.

    References
    ----------
    Keys, IEEE Trans. Acoust. Speech Signal Process. 1981, doi:10.1109/TASSP.1981.1163711
    """

    def __init__(
        self, *, size: Size, factor: Annotated[int, Ge(1)], method: Literal["average", "bicubic"] = "average"
    ) -> None:
        super().__init__()
        self.size, self.factor, self.method = tuple(size), factor, method
        if method == "average" and any(n % factor for n in self.size):
            problem = f"{factor} does not divide the size {self.size}: crop the image, or take method='bicubic'"
            raise ParameterError(type(self).__name__, [(("factor",), problem)])
        self.bicubic = Separable(matrices=[_bicubic(n, factor) for n in self.size]) if method == "bicubic" else None
        self.input_shape = (None, *self.size)
        self.output_shape = (None, *(-(-n // factor) for n in self.size))

    def forward(self, x: Tensor) -> Tensor:
        """Make the image smaller."""
        check_shape(self, x, self.input_shape)
        return self.bicubic.forward(x) if self.bicubic is not None else self._pool(x)

    def adjoint(self, y: Tensor) -> Tensor:
        """Apply the transpose: an image of the large size."""
        check_shape(self, y, self.output_shape)
        return self.bicubic.adjoint(y) if self.bicubic is not None else self._spread(y)

    def _pool(self, x: Tensor) -> Tensor:
        if x.is_complex():
            return torch.complex(self._pool(x.real), self._pool(x.imag))
        return POOL[len(self.size)](x, self.factor)

    def _spread(self, y: Tensor) -> Tensor:
        if y.is_complex():
            return torch.complex(self._spread(y.real), self._spread(y.imag))
        return F.interpolate(y / self.factor ** len(self.size), scale_factor=self.factor, mode="nearest")


def _bicubic(n: int, factor: int) -> Tensor:
    """Return the (ceil(n / factor), n) matrix of MATLAB's bicubic imresize along one axis."""
    # The kernel reaches 2 factor to either side: margins of 3 factor keep torch's own border handling out of sight,
    # and, being a multiple of factor, keep the sampling grid where it was.
    index = torch.arange(-3 * factor, n + 4 * factor) % (2 * n)
    mirrored = torch.eye(n, dtype=torch.float64)[:, torch.minimum(index, 2 * n - 1 - index)]
    small = F.interpolate(
        mirrored[None, None],
        scale_factor=(1.0, 1 / factor),
        mode="bicubic",
        antialias=True,
        align_corners=False,
        recompute_scale_factor=False,
    )
    return small[0, 0, :, 3 : 3 - (-n // factor)].T.contiguous()
