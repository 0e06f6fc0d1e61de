"""The SENSE model without shifts of coil images, a few coils at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

__all__ = ["Folded", "combine", "expand"]

IN_CACHE = 2**17
"""Number of points of coil images that are worked on at once on a core: 1 MiB in single precision."""
ON_GPU = 2**24
"""The same for a GPU, where more keep it busy."""


def expand(maps: Tensor, x: Tensor) -> Tensor:
    """Return what the coils see. Shapes: maps (batch or 1, set, coil, *space), x (batch, set, *space)."""
    return maps[:, 0] * x if maps.shape[1] == 1 else (maps * x[:, :, None]).sum(1)


def combine(maps: Tensor, images: Tensor) -> Tensor:
    """Apply the adjoint of `expand` to coil images (batch, coil, *space)."""
    return (maps.conj() * images[:, None]).sum(2)


@dataclass(frozen=True, kw_only=True)
class Folded:
    """Forward, adjoint and normal operator of the SENSE model for data that autograd does not follow.

    A centred transform is diag(e) F diag(e) of the plain one, with the phases e = exp(2 pi i h (k - h / 2) / n) along
    each axis of size n, where h = n // 2. The phases of image space commute with the maps, so they act once on the
    combined image and coil images need not be shifted. In F^H M F both pairs of phases cancel.

    Coil images are made, used and dropped a few at a time, as many as stay in the processor's second cache: half the
    time of all coils at once, and no scratch memory of their size.

    Parameters
    ----------
    maps
        Sensitivities (batch or 1, set, coil, [1,] *space), complex.
    mask
        Boolean mask that can be broadcast to (batch, coil, [time,] *k), or None.
    dimensions
        Number of spatial axes.
    """

    maps: Tensor
    mask: Tensor | None
    dimensions: int

    def forward(self, x: Tensor) -> Tensor:
        """Measure. Shapes: x (batch, set, *space) -> y (batch, coil, *k)."""
        phases = _phases(tuple(x.shape[-self.dimensions :]), x.dtype, x.device)
        x = x * phases
        y = x.new_empty(len(x), self.maps.shape[2], *x.shape[2:])
        for items, coils in self._pieces(x):
            k = torch.fft.fftn(expand(self._part(items, coils), x[items]), dim=self._space, norm="ortho").mul_(phases)
            if (mask := self._mask(items)) is not None:
                k.masked_fill_(~mask, 0)  # not a product, which would leave -0
            y[items, coils] = k
        return y

    def adjoint(self, y: Tensor) -> Tensor:
        """Combine the coils' zero-filled images. Shapes: y (batch, coil, *k) -> x (batch, set, *space)."""
        phases = _phases(tuple(y.shape[-self.dimensions :]), y.dtype, y.device)
        total = y.new_zeros(len(y), self.maps.shape[1], *y.shape[2:])  # conj(x phases)
        for items, coils in self._pieces(y):
            mask, k = self._mask(items), y[items, coils]
            # F^H k = conj(F conj(k)); ignores what stands where nothing was measured, NaN too
            k = (k.clone() if mask is None else torch.where(mask, k, 0)).conj_physical_().mul_(phases)
            self._add(total, items, coils, torch.fft.fftn(k, dim=self._space, norm="ortho"))
        return total.mul_(phases).conj_physical_()

    def normal(self, x: Tensor) -> Tensor:
        """Apply A^H A, with transforms only along the axes on which the mask depends."""
        axes, weights = self._weights(x)
        total = torch.zeros_like(x)  # conj of the result
        for items, coils in self._pieces(x):
            k = expand(self._part(items, coils), x[items])
            k = torch.fft.fftn(k, dim=axes) if axes else k
            # M conj(k) / n as a product of real numbers, so that F^H needs no inverse: F^H k = conj(F conj(k)).
            torch.view_as_real(k).mul_(weights[items] if len(weights) > 1 else weights)
            self._add(total, items, coils, torch.fft.fftn(k, dim=axes) if axes else k)
        return total.conj_physical_()

    @property
    def _space(self) -> tuple[int, ...]:
        return tuple(range(-self.dimensions, 0))

    def _pieces(self, data: Tensor) -> Iterator[tuple[slice, slice]]:
        """Yield slices of items and coils whose coil images stay in cache, or fill a GPU."""
        batch, coils, image = len(data), self.maps.shape[2], math.prod(data.shape[2:])
        room = (ON_GPU if data.is_cuda else IN_CACHE * torch.get_num_threads()) // max(1, image)
        several = max(1, min(batch, room // coils))
        for start in range(0, batch, several):
            step = min(coils, max(1, room // several))
            for first in range(0, coils, step):
                yield slice(start, start + several), slice(first, first + step)

    def _part(self, items: slice, coils: slice) -> Tensor:
        return (self.maps[items] if len(self.maps) > 1 else self.maps)[:, :, coils]

    def _add(self, total: Tensor, items: slice, coils: slice, images: Tensor) -> None:
        """Add the coils' share of the combined image; `images` and `total` are conjugate."""
        maps = self._part(items, coils)
        if maps.shape[2] == 1:
            total[items].addcmul_(maps[:, :, 0], images)
        else:
            total[items] += (maps * images[:, None]).sum(2)

    def _mask(self, items: slice) -> Tensor | None:
        mask = self.mask
        own = mask is not None and mask.ndim == self.maps.ndim - 1 and len(mask) > 1
        return mask[items] if own and mask is not None else mask

    def _weights(self, x: Tensor) -> tuple[list[int], Tensor]:
        """Return the axes to transform along and, for the k-space there, M / n and -M / n of every complex number.

        Shape of the second: (batch or 1, 1, [time,] *k, 2) for real and imaginary part.
        """
        mask = torch.ones((), dtype=torch.bool, device=x.device) if self.mask is None else self.mask
        mask = mask.reshape(*[1] * (x.ndim - mask.ndim), *mask.shape)
        axes = [axis for axis in self._space if mask.shape[axis] > 1]
        mask = torch.fft.ifftshift(mask, axes) if axes else mask
        scale = mask.to(x.real.dtype) / math.prod(x.shape[axis] for axis in axes)
        # Whole along the last axis, so that the product runs over rows and not over pairs of numbers.
        return axes, torch.stack([scale, -scale], -1).expand(*scale.shape[:-1], x.shape[-1], 2).contiguous()


@lru_cache(maxsize=16)
def _phases(size: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    total = torch.zeros((), dtype=torch.float64)
    for n in size:
        half = n // 2
        # The angle is a multiple of pi / n: taken modulo 2 pi in whole numbers, it is exact.
        turn = (half * (2 * torch.arange(n) - half)) % (2 * n)
        total = total[..., None] + turn.double() * (math.pi / n)
    return torch.polar(torch.ones_like(total), total).to(dtype).to(device)
