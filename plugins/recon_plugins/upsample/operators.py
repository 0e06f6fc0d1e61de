"""Upsampling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt, Len
from torch import Tensor
from torch.nn import functional as F

from recon.operators import LinearOperator, Separable, check_shape

__all__ = ["Upsample"]

Size = Annotated[tuple[Annotated[int, Gt(0)], ...], Len(1, 3)]
POOL: dict[int, Callable[..., Tensor]] = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


class Upsample(LinearOperator):
    """Make an image larger by a whole factor r, pixel centres aligned (``align_corners=False``).

    ``nearest`` repeats each pixel r x r times; its adjoint sums over the blocks. ``bilinear`` interpolates linearly
    along each axis. ``bicubic`` equals MATLAB's ``imresize(x, r, 'bicubic')`` before any rounding: Keys' cubic
    (a = -1/2) on the image continued by its mirror image, where torch's own default takes a = -3/4. The latter two are
    one matrix per axis, made in double precision; their adjoint applies the transposes.

    Shapes: (batch, channel, *size) -> (batch, channel, *(r size)).

    Parameters
    ----------
    size
        Spatial size of the small image, of one to three axes.
    factor
        The factor r.
    method
        ``nearest``, ``bilinear`` or ``bicubic``.

    References
    ----------
    Keys, IEEE Trans. Acoust. Speech Signal Process. 1981, doi:10.1109/TASSP.1981.1163711
    """

    def __init__(
        self,
        *,
        size: Size,
        factor: Annotated[int, Ge(1)],
        method: Literal["nearest", "bilinear", "bicubic"] = "bicubic",
    ) -> None:
        super().__init__()
        self.size, self.factor, self.method = tuple(size), factor, method
        matrix = {"bilinear": _linear, "bicubic": _bicubic}.get(method)
        self.smooth = Separable(matrices=[matrix(n, factor) for n in self.size]) if matrix else None
        self.input_shape = (None, *self.size)
        self.output_shape = (None, *(n * factor for n in self.size))

    def forward(self, x: Tensor) -> Tensor:
        """Make the image larger."""
        check_shape(self, x, self.input_shape)
        return self.smooth.forward(x) if self.smooth is not None else self._repeat(x)

    def adjoint(self, y: Tensor) -> Tensor:
        """Apply the transpose: an image of the small size."""
        check_shape(self, y, self.output_shape)
        return self.smooth.adjoint(y) if self.smooth is not None else self._gather(y)

    def _repeat(self, x: Tensor) -> Tensor:
        if x.is_complex():
            return torch.complex(self._repeat(x.real), self._repeat(x.imag))
        return F.interpolate(x, scale_factor=self.factor, mode="nearest")

    def _gather(self, y: Tensor) -> Tensor:
        if y.is_complex():
            return torch.complex(self._gather(y.real), self._gather(y.imag))
        axes = len(self.size)
        return POOL[axes](y, self.factor) * float(self.factor**axes)


def _linear(n: int, factor: int) -> Tensor:
    """Return the (factor n, n) matrix of linear interpolation along one axis."""
    eye = torch.eye(n, dtype=torch.float64)[None]
    return F.interpolate(eye, scale_factor=float(factor), mode="linear", align_corners=False)[0].T.contiguous()


def _bicubic(n: int, factor: int) -> Tensor:
    """Return the (factor n, n) matrix of MATLAB's bicubic imresize along one axis."""
    # The kernel reaches 2 samples to either side: margins of 3 keep torch's own border handling out of sight.
    index = torch.arange(-3, n + 3) % (2 * n)
    mirrored = torch.eye(n, dtype=torch.float64)[:, torch.minimum(index, 2 * n - 1 - index)]
    # With antialias=True torch takes a = -1/2; the kernel is not stretched when the image grows.
    large = F.interpolate(
        mirrored[None, None], scale_factor=(1.0, float(factor)), mode="bicubic", antialias=True, align_corners=False
    )
    return large[0, 0, :, 3 * factor : (3 + n) * factor].T.contiguous()
