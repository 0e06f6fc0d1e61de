"""The normal operator F^H W F of arbitrary frequencies: a convolution, so two FFTs of twice the size."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from recon_plugins.nufft.transform import to_image

__all__ = ["apply_toeplitz", "cheaper", "toeplitz_kernel"]

_CHUNK = 2**24
"""Values of the doubled grid that are transformed at once: coils of large volumes take turns."""


def toeplitz_kernel(
    points: Tensor, size: Sequence[int], *, eps: float, dtype: torch.dtype, weights: Tensor | None = None
) -> Tensor:
    """Return the eigenvalues of the circulant map that F^H W F is a corner of, for `apply_toeplitz`.

    (F^H W F x)_r = sum_s t_(r - s) x_s with t_m = 1 / N sum_j w_j exp(i w_j . m), -n < m < n, which one adjoint on
    twice the size gives to `eps`. With weights that are real, the eigenvalues are.

    Shapes: points (M, dimensions) in radians per pixel, weights (M,) -> (*2 size), real, not centred.

    Parameters
    ----------
    points, size
        Frequencies and size of the image.
    eps
        Relative accuracy of the kernel.
    dtype
        Complex type of the images.
    weights
        Real weights w of the samples; 1 by default.
    """
    one = torch.ones(len(points), dtype=dtype, device=points.device) if weights is None else weights.to(dtype)
    double = [2 * n for n in size]
    spread = to_image(one, points, size=double, eps=eps, scale=1 / math.prod(size))
    axes = tuple(range(-len(double), 0))
    # t is Hermitian but for its one-sided edge m = -n, which no image of this size meets.
    kernel: Tensor = torch.fft.fftn(torch.fft.ifftshift(spread, axes), dim=axes).real
    return kernel


def apply_toeplitz(kernel: Tensor, x: Tensor) -> Tensor:
    """Apply F^H W F. Shapes: kernel (*2 size) or (batch, 1, *2 size), x (batch, channel, *size) -> the same."""
    axes = x.ndim - 2
    if x.numel() == 0:
        return x
    channels = max(1, _CHUNK // math.prod(kernel.shape[-axes:]))
    if x.shape[0] * x.shape[1] <= channels:
        return _convolve(kernel, x, axes)
    of_items = kernel if kernel.ndim == x.ndim else [kernel] * len(x)
    return torch.stack(
        [
            torch.cat([_convolve(k, part, axes) for part in item.split(channels)])
            for k, item in zip(of_items, x, strict=True)
        ]
    )


def _convolve(kernel: Tensor, x: Tensor, axes: int) -> Tensor:
    size = x.shape[-axes:]
    # Zeros are not transformed: each axis is doubled just before its own transform, and cut just after.
    for axis in range(-1, -axes - 1, -1):
        x = torch.fft.fft(x, n=2 * size[axis], dim=axis)
    x = x * kernel
    for axis in range(-axes, 0):
        x = torch.fft.ifft(x, dim=axis).narrow(axis, 0, size[axis])
    return x


def cheaper(samples: int, size: Sequence[int], eps: float) -> bool:
    """Whether two FFTs of twice the size take less time than going to the samples and back.

    Measured with one thread on planes, with f = samples / pixels: at f = 1.25 and eps 1e-3 the samples take 0.8 of the
    FFTs' time, so they break even at about 1.5, and sooner where a small `eps` makes the libraries double the grid
    themselves. Volumes whose doubled grid would take more than half a GiB a coil go to the samples.
    """
    pixels = math.prod(size)
    if pixels * 2 ** len(size) > 2**26:
        return False
    fine = eps < 2e-5
    share = (0.0 if fine else 1.5) if len(size) == 2 else (0.7 if fine else 1.2)
    return samples > share * pixels
