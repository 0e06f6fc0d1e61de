"""Gaussian blur."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Gt
from torch import Tensor

from recon.errors import ParameterError
from recon.operators import Separable

from .operators import Boundary, Convolution, Size

__all__ = ["GaussianBlur"]

Positive = Annotated[float, Gt(0)]


class GaussianBlur(Separable):
    """Blur with a sampled and normalised Gaussian, exp(-t^2 / (2 sigma^2)) along each axis.

    One matrix per axis, made in double precision; the adjoint applies their transposes.

    Shapes: (batch, channel, *size) -> (batch, channel, *ceil(size / stride)).

    Parameters
    ----------
    size
        Spatial size of the image, of one to three axes.
    sigma
        Standard deviation in pixels, for all axes or for each.
    truncate
        Radius of the kernel in sigmas, rounded to whole pixels.
    stride
        Step between the samples of the result, the first of which is the image's first.
    boundary
        What continues the image: zeros, its other end, or its mirror image about the last sample.
    """

    def __init__(
        self,
        *,
        size: Size,
        sigma: Positive | tuple[Positive, ...],
        truncate: Positive = 4.0,
        stride: Annotated[int, Gt(0)] = 1,
        boundary: Boundary = "reflect",
    ) -> None:
        sigmas = tuple(sigma) if isinstance(sigma, (tuple, list)) else (sigma,) * len(size)
        if len(sigmas) != len(size):
            raise ParameterError(type(self).__name__, [(("sigma",), f"needs one value or {len(size)}, got {sigma}")])
        matrices = []
        for n, value in zip(size, sigmas, strict=True):
            kernel = _gaussian(value, truncate)
            radius = len(kernel) // 2
            if radius > {"zero": radius, "circular": n, "reflect": n - 1}[boundary]:
                problem = f"{value} blurs over {radius} pixels, too far for {boundary!r} on an axis of {n}: take 'zero'"
                raise ParameterError(type(self).__name__, [(("sigma",), problem)])
            matrices.append(Convolution(size=(n,), kernel=kernel, stride=stride, boundary=boundary).matrix())
        super().__init__(matrices=matrices)
        self.size, self.sigma, self.truncate = tuple(size), sigma, truncate
        self.stride, self.boundary = stride, boundary


def _gaussian(sigma: float, truncate: float) -> Tensor:
    radius = int(truncate * sigma + 0.5)
    t = torch.arange(-radius, radius + 1, dtype=torch.float64)
    return torch.softmax(-(t**2) / (2 * sigma**2), 0)
