"""Homodyne detection of partial Fourier data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Self

import torch
from torch import Tensor

from recon.interfaces import Method
from recon.kspace import ifft_centred, root_sum_of_squares
from recon.operators import Operator
from recon.schema import Part
from recon_plugins.mri_methods.cartesian import calibrated
from recon_plugins.mri_methods.partial_fourier import PartialFourier

__all__ = ["Homodyne"]


@dataclass(frozen=True, kw_only=True)
class Homodyne:
    """Homodyne detection: the image of partial Fourier data, from its phase in low resolution.

    k-space whose conjugate was not measured counts twice, with a ramp over the part that is measured on both sides; the
    phase of that part is taken off, and the real part is the image: x_c = Re(exp(-i phase_c) F^H W y_c), exact where
    the phase of the image is that of the symmetric part. What counts twice has twice the noise: where that matters more
    than resolution, `pocs` with a few steps is nearer to the full scan.

    For Cartesian k-space of which one side of one axis is missing; along the others nothing may be. Shapes:
    y (batch, coil, *k) -> x (batch, 1, *space), real: the root sum of squares over the coils; of a single coil with its
    sign.

    Parameters
    ----------
    fill
        Method that fills in missing lines first, for data that are undersampled too: ``grappa``.

    References
    ----------
    Noll, Nishimura and Macovski, IEEE Trans. Med. Imaging 10:154, 1991, doi:10.1109/42.79473
    """

    fill: Annotated[Method | None, Part("method")] = None

    def with_calibration(self, data: Tensor) -> Self:
        """Return the method that fills in by what `data` tell, k-space of the shape of the measurement."""
        return replace(self, fill=calibrated(self.fill, data))

    @torch.no_grad()
    def __call__(self, y: Tensor, operator: Operator) -> Tensor:
        """Reconstruct."""
        data = PartialFourier.of(y, operator, self.fill)
        axes = data.k.ndim - 2
        if data.axis is None:
            return root_sum_of_squares(ifft_centred(data.k, axes))
        # From 0 to 2 over the symmetric part, so that the weights of k and of -k add up to 2.
        f, h = data.frequencies(), data.half_width
        weight = (1 + f / h).clamp(0, 2)
        images = ifft_centred(data.k * data.along(weight), axes)
        real = (images * data.phase().conj()).real
        return real if real.shape[1] == 1 else root_sum_of_squares(real)
