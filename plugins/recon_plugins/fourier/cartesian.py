"""What Cartesian Fourier operators have in common: the mask and the transform of coil images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

import torch
from torch import Tensor

from recon.errors import UsageError
from recon.kspace import as_complex, fft_centred, ifft_centred
from recon.operators import LinearOperator, Shape
from recon_plugins.fourier.rules import as_sampling
from recon_plugins.fourier.sampling import Sampling, calibration_region

__all__ = ["Cartesian", "MaskLike"]

MaskLike = Tensor | Sequence[Any] | Mapping[str, Any] | Sampling


class Cartesian(LinearOperator):
    """Base of the operators that measure points of a Cartesian grid of k-space: M F of every coil image by itself.

    Parameters
    ----------
    mask, resample, dimensions, time
        As for `Fourier`.
    """

    complex_input = True
    complex_output = True
    per_item: tuple[str, ...] = ("mask",)

    def __init__(
        self,
        *,
        mask: MaskLike | None = None,
        resample: bool = False,
        dimensions: Literal[2, 3] = 2,
        time: bool = False,
    ) -> None:
        super().__init__()
        if dimensions not in (2, 3):
            raise UsageError(f"dimensions must be 2 or 3, not {dimensions}")
        if resample and not isinstance(mask, (Mapping, Sampling)):
            raise UsageError("resample=True needs the settings of a sampling as mask, such as {kind: random}")
        self.resample = resample
        self.dimensions = dimensions
        self.time = time
        self.mask: Tensor | Sampling | None
        if mask is None:
            self.mask = None
        elif isinstance(mask, (Mapping, Sampling)):
            self.mask = as_sampling(mask)
            self.mask.check(dimensions, time)
        else:
            self.register_buffer("mask", _boolean(mask, self.axes), persistent=False)

    @property
    def axes(self) -> int:
        """Number of axes of k-space on which the mask may depend, the last ones: space, and time before it."""
        return self.dimensions + self.time

    def sample(self, generator: torch.Generator) -> Self:
        """Draw a new mask if `resample`; otherwise return the operator itself."""
        if not (self.resample and isinstance(self.mask, Sampling)):
            return self
        return self.with_(mask=self.mask.draw(generator))

    def mask_for(self, size: Sequence[int], device: torch.device | str = "cpu") -> Tensor | None:
        """Return the boolean mask that applies to k-space of the size ([time,] *space), or None if all is measured.

        It has the shape (*size) with sizes of 1 where it does not vary and without such axes in front, or
        (batch, 1, *size) where every item has its own.
        """
        if isinstance(self.mask, Sampling):
            return self.mask.mask(tuple(size)[-self.axes :], device)
        return self.mask

    def acceleration(self, size: Sequence[int]) -> float:
        """Return the true acceleration for k-space of the size ([time,] *space): its points over those measured."""
        mask = self.mask_for(size)
        return 1.0 if mask is None else mask.numel() / max(1, int(mask.sum()))

    def calibration_region(self, size: Sequence[int]) -> tuple[slice, ...]:
        """Return the block of k-space (*k) that is measured completely, in all frames and items, for `mask_for`'s size.

        It lies about the zero frequency; its slices are empty if that is not measured.
        """
        space = tuple(size)[-self.dimensions :]
        mask = self.mask_for(size)
        if mask is None:
            return tuple(slice(0, n) for n in space)
        mask = mask.reshape(-1, *[1] * (self.dimensions - mask.ndim), *mask.shape[-self.dimensions :]).all(0)
        block = calibration_region(mask)
        return tuple(slice(0, n) if part == slice(None) else part for part, n in zip(block, space, strict=True))

    def _measure(self, images: Tensor) -> Tensor:
        k = fft_centred(images, self.dimensions)
        mask = self._mask_like(k)
        # Not a product: that would leave -0 where nothing was measured, and so the sign of what is to be unknown.
        return k if mask is None else torch.where(mask, k, 0)

    def _zero_filled(self, y: Tensor) -> Tensor:
        y = as_complex(y)
        mask = self._mask_like(y)
        return ifft_centred(y if mask is None else torch.where(mask, y, 0), self.dimensions)

    def _gram(self, images: Tensor) -> Tensor:
        """Return F^H M F of coil images; see `Fourier`."""
        images = as_complex(images)
        mask = self._mask_like(images)
        if mask is None or images.numel() == 0:
            return images
        axes = [axis for axis in range(-min(self.dimensions, mask.ndim), 0) if mask.shape[axis] > 1]
        if not axes:
            return torch.where(mask, images, 0)
        k = torch.fft.fftn(images, dim=axes, norm="ortho")
        return torch.fft.ifftn(torch.where(torch.fft.ifftshift(mask, axes), k, 0), dim=axes, norm="ortho")

    def _mask_like(self, k: Tensor) -> Tensor | None:
        if k.ndim != self.axes + 2:
            axes = "time, *space" if self.time else "*space"
            raise UsageError(
                f"{type(self).__name__} with dimensions={self.dimensions} takes (batch, channel, {axes}), "
                f"not data of shape {tuple(k.shape)}"
            )
        mask = self.mask_for(k.shape[2:], k.device)
        if mask is not None:
            try:
                mask.expand(k.shape)
            except RuntimeError:
                shapes = f"mask of shape {tuple(mask.shape)} does not fit k-space of shape {tuple(k.shape)}"
                raise UsageError(shapes) from None
        return mask

    def _space(self) -> Shape:
        """Return the sizes of ([time,] *space) that the mask fixes."""
        shape = self.mask.shape[-self.axes :] if isinstance(self.mask, Tensor) else ()
        return (*[None] * (self.axes - len(shape)), *(n if n > 1 else None for n in shape))


def _boolean(mask: Tensor | Sequence[Any], axes: int) -> Tensor:
    try:
        tensor = torch.as_tensor(mask)
    except (ValueError, TypeError) as error:
        raise UsageError(f"mask is not an array of 0 and 1: {error}") from None
    if not (1 <= tensor.ndim <= axes or tensor.ndim == axes + 2):
        raise UsageError(
            f"mask of shape {tuple(tensor.shape)} must have a shape (W,) up to the {axes} axes of k-space, or "
            "(batch, 1, *k)"
        )
    if tensor.dtype == torch.bool:
        return tensor
    if not bool(((tensor == 0) | (tensor == 1)).all()):
        raise UsageError("mask must hold only 0 (not measured) and 1 (measured)")
    return tensor.bool()
