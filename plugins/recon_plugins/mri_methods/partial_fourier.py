"""Partial Fourier: which part of k-space is measured, and the phase that its symmetric part tells."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from recon.calibration import central_block
from recon.errors import UsageError
from recon.interfaces import Method
from recon.kspace import as_complex, ifft_centred
from recon.operators import Operator
from recon_plugins.mri_methods.cartesian import cartesian

__all__ = ["PartialFourier"]


@dataclass(frozen=True, kw_only=True)
class PartialFourier:
    """k-space of which one side is missing along one axis, and that only.

    Parameters
    ----------
    k
        k-space (batch, coil, *k), zeros where nothing was measured.
    axis
        The axis, counted from the first of k-space; None where nothing is missing.
    start, stop
        What is measured of it: indices from `start` up to, not including, `stop`.
    """

    k: Tensor
    axis: int | None
    start: int
    stop: int

    @classmethod
    def of(cls, y: Tensor, operator: Operator, fill: Method | None = None) -> PartialFourier:
        """Look at a measurement, after a method such as `grappa` has filled it in.

        Raises
        ------
        UsageError
            If k-space is not Cartesian, or more is missing than one side of one axis, or the centre.
        """
        _, mask = cartesian(operator, y)
        if fill is not None:
            filled = getattr(fill, "fill", None)
            if filled is None:
                raise UsageError(f"{type(fill).__name__} does not fill in k-space: take grappa")
            y = filled(y, operator)
            mask = (y != 0).flatten(0, 1).any(0)
        elif mask is not None:
            y = torch.where(mask, y, 0)
            mask = mask.flatten(0, -len(y.shape[2:]) - 1).any(0) if mask.ndim > y.ndim - 2 else mask
        size = y.shape[2:]
        if mask is None:
            return cls(k=as_complex(y), axis=None, start=0, stop=0)
        mask = mask.reshape([1] * (len(size) - mask.ndim) + list(mask.shape)).expand(size)
        block = central_block(mask, size)
        short = [axis for axis, n in enumerate(size) if block[axis].stop - block[axis].start < n]
        inside = torch.zeros_like(mask)
        inside[block] = True
        if len(short) > 1 or bool((mask & ~inside).any()):
            raise UsageError(
                "partial Fourier fills one missing side of one axis of k-space; these data are undersampled otherwise "
                "too: set fill to grappa, or take cg_sense or l1_wavelet"
            )
        if not short:
            return cls(k=as_complex(y), axis=None, start=0, stop=0)
        (axis,) = short
        return cls(k=as_complex(y), axis=axis, start=block[axis].start, stop=block[axis].stop)

    @property
    def size(self) -> int:
        """Number of samples along the axis."""
        return self.k.shape[2 + (self.axis or 0)]

    @property
    def half_width(self) -> int:
        """Largest h for which frequencies -h to h are all measured.

        Raises
        ------
        UsageError
            If the centre lies at the edge of what is measured.
        """
        centre = self.size // 2
        h = min(centre - self.start, self.stop - 1 - centre)
        if h < 1:
            raise UsageError("partial Fourier needs frequencies on both sides of the centre of k-space")
        return h

    def along(self, values: Tensor) -> Tensor:
        """Reshape one value for each sample of the axis, to multiply k-space by."""
        shape = [1] * self.k.ndim
        shape[2 + (self.axis or 0)] = -1
        return values.to(self.k.real).reshape(shape)

    def frequencies(self) -> Tensor:
        """Return the frequencies of the axis, with the sign that makes the missing side the negative one."""
        centre = self.size // 2
        f = torch.arange(self.size, device=self.k.device) - centre
        return f if centre - self.start <= self.stop - 1 - centre else -f

    def phase(self) -> Tensor:
        """Return exp(i phase) of the images of the symmetric part of k-space, tapered by a Hann window."""
        f, h = self.frequencies(), self.half_width
        window = torch.where(f.abs() <= h, 0.5 + 0.5 * torch.cos(torch.pi * f / (h + 1)), 0)
        low = ifft_centred(self.k * self.along(window), self.k.ndim - 2)
        size = low.abs()
        return torch.where(size > 0, low / torch.where(size > 0, size, 1), 1)
