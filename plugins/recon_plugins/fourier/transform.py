"""The field's Fourier transform: centred, orthonormal."""

from __future__ import annotations

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
    dim = tuple(range(-axes, 0))
    y: Tensor = torch.fft.fftshift(torch.fft.fftn(torch.fft.ifftshift(as_complex(x), dim), dim=dim, norm="ortho"), dim)
    return y


def ifft_centred(y: Tensor, axes: int = 2) -> Tensor:
    """Transform k-space to image: the inverse, and adjoint, of `fft_centred`."""
    dim = tuple(range(-axes, 0))
    x: Tensor = torch.fft.fftshift(torch.fft.ifftn(torch.fft.ifftshift(as_complex(y), dim), dim=dim, norm="ortho"), dim)
    return x
