"""Sums of ellipses, whose pixels, line integrals and Fourier transform are known in closed form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Ellipses"]


@dataclass(frozen=True, slots=True, eq=False)
class Ellipses:
    """A sum of ellipses in the plane; x to the right, y upwards, the usual field of view is [-1, 1] in both.

    Parameters
    ----------
    parameters
        One row (value, semi-axis a, semi-axis b, centre x, centre y, angle of a to x in radians) per ellipse.
    """

    parameters: Tensor

    def image(self, size: Sequence[int], *, oversampling: int = 1) -> Tensor:
        """Render on square pixels of side 2 / min(size), the origin in the middle of the image; float64 (H, W).

        Row 0 is at the top. Pixel j of n has its centre at (j - (n - 1) / 2) pixel sides.

        Parameters
        ----------
        size
            (H, W).
        oversampling
            Points per pixel and axis that are averaged; 1 takes the value at the pixel's centre.
        """
        height, width = size
        side = 2 / min(height, width) / oversampling
        y, x = ((torch.arange(n * oversampling).double() - (n * oversampling - 1) / 2) * side for n in (height, width))
        picture = torch.zeros(height * oversampling, width * oversampling, dtype=torch.float64)
        for value, a, b, x0, y0, angle in self.parameters.double():
            u, v = x - x0, -y[:, None] - y0
            cos, sin = angle.cos(), angle.sin()
            inside = ((u * cos + v * sin) / a) ** 2 + ((v * cos - u * sin) / b) ** 2 <= 1
            picture += value * inside
        return picture.reshape(height, oversampling, width, oversampling).mean((1, 3))

    def line_integrals(self, angles: Tensor, offsets: Tensor) -> Tensor:
        """Integrate along the lines x cos(angle) + y sin(angle) = offset; float64 (angles, offsets).

        An ellipse gives 2 a b value sqrt(r^2 - s^2) / r^2, where r is its half-width seen along the line and s the
        line's distance from its centre.
        """
        value, a, b, x0, y0, tilt = self.parameters.double().T[..., None, None]
        angle, offset = angles.double()[:, None], offsets.double()
        r2 = (a * (angle - tilt).cos()) ** 2 + (b * (angle - tilt).sin()) ** 2
        s = offset - x0 * angle.cos() - y0 * angle.sin()
        return (2 * a * b * value * (r2 - s**2).clamp(min=0).sqrt() / r2).sum(0)

    def fourier(self, kx: Tensor, ky: Tensor) -> Tensor:
        """Return the continuous transform of the image at frequencies in cycles per unit length; complex128.

        An ellipse gives value a b J1(2 pi q) / q exp(-2 pi i k.c), q being the length of k in units where it is a disc.
        """
        value, a, b, x0, y0, tilt = self.parameters.double().T[(..., *[None] * kx.ndim)]
        kx, ky = kx.double(), ky.double()
        cos, sin = tilt.cos(), tilt.sin()
        q = torch.hypot(a * (kx * cos + ky * sin), b * (ky * cos - kx * sin))
        disc = torch.where(q > 1e-12, torch.special.bessel_j1(2 * torch.pi * q) / q.clamp(min=1e-12), torch.pi)
        return (value * a * b * disc * torch.exp(-2j * torch.pi * (kx * x0 + ky * y0))).sum(0)
