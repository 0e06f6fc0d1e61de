"""k-space as the field writes it: centred orthonormal Fourier transforms, central crops, root sum of squares."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from recon.errors import UsageError

__all__ = ["as_complex", "crop_centred", "fft_centred", "ifft_centred", "root_sum_of_squares"]


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


def crop_centred(x: Tensor, size: Sequence[int]) -> Tensor:
    """Return the central part of the last axes as a view; it starts at index (n - size) // 2, as fastMRI's.

    Raises
    ------
    UsageError
        If an axis is shorter than what is asked of it.
    """
    for axis, wanted in zip(range(-len(size), 0), size, strict=True):
        have = x.shape[axis]
        if wanted > have:
            raise UsageError(f"the central {tuple(size)} of data of shape {tuple(x.shape)} cannot be taken")
        x = x.narrow(axis, (have - wanted) // 2, wanted)
    return x


def root_sum_of_squares(x: Tensor, dim: int = 1) -> Tensor:
    """Combine coil images: (sum_c |x_c|^2)^(1/2) over the axis `dim`, which is kept with size 1."""
    combined: Tensor = torch.linalg.vector_norm(x, dim=dim, keepdim=True)
    return combined


def _centred(transform: Callable[..., Tensor], x: Tensor, axes: int) -> Tensor:
    dim = tuple(range(-axes, 0))
    x = as_complex(x)
    if x.numel() == 0:  # MKL refuses an empty batch
        return x
    shifted: Tensor = torch.fft.fftshift(transform(torch.fft.ifftshift(x, dim), dim=dim, norm="ortho"), dim)
    return shifted
