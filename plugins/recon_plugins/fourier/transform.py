"""The field's Fourier transform: centred, orthonormal."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["as_complex", "fft_centred", "ifft_centred"]


def as_complex(x: Tensor) -> Tensor:
    """Return `x` as a complex tensor of its own precision; half precision becomes complex64, which FFTs need."""
    if x.is_complex():
        return x
    return x.to(torch.complex128 if x.dtype == torch.float64 else torch.complex64)


def fft_centred(x: Tensor, axes: int = 2) -> Tensor:
    """Transform image to k-space over the last `axes` axes; the zero frequency lies at index n // 2.

    y[k] = prod(n)^(-1/2) sum_r x[r] exp(-2 pi i sum_d (k_d - n_d // 2) (r_d - n_d // 2) / n_d).
    """
    return _centred(torch.fft.fftn, x, axes)


def ifft_centred(y: Tensor, axes: int = 2) -> Tensor:
    """Transform k-space to image: the inverse, and adjoint, of `fft_centred`."""
    return _centred(torch.fft.ifftn, y, axes)


def _centred(transform: Callable[..., Tensor], x: Tensor, axes: int) -> Tensor:
    dim = tuple(range(-axes, 0))
    x = as_complex(x)
    if x.numel() == 0:  # MKL refuses an empty batch
        return x
    return torch.fft.fftshift(transform(torch.fft.ifftshift(x, dim), dim=dim, norm="ortho"), dim)
