"""The single-coil Fourier operator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

import torch
from torch import Tensor

from recon.errors import UsageError
from recon.kspace import as_complex, fft_centred, ifft_centred
from recon.operators import LinearOperator, Shape
from recon_plugins.fourier.sampling import ColumnSampling

__all__ = ["Fourier"]

MaskLike = Tensor | Sequence[Any] | Mapping[str, Any] | ColumnSampling


class Fourier(LinearOperator):
    """Undersampled Fourier transform y = M F x, with F centred and orthonormal.

    Shapes: x (batch, channel, *space) -> y (batch, channel, *k), real or complex -> complex; each channel is
    transformed by itself. Frequencies that were not measured are +0 in y, and ignored by the adjoint F^H M y, the
    zero-filled reconstruction.

    `normal` works without shifting anything but the mask: F^H M F is a circular convolution, which commutes with the
    shifts of a centred transform, so they cancel. It is also the identity along axes on which the mask does not depend,
    so that it transforms only along the axes where the mask's size is not 1: column masks cost one-dimensional
    transforms (a third of the time), no mask none at all. Both are exact.

    Parameters
    ----------
    mask
        Where k-space is measured: None (everywhere, unless the data bring masks, see `per_item`); a tensor or nested
        list of 0 and 1, of shape (W,) for columns, (*k) with sizes of 1 where it does not vary, or (batch, 1, *k)
        for a mask per item; or the settings of a `ColumnSampling`, such as ``{"kind": "random", "acceleration": 4,
        "center_fraction": 0.08, "seed": 0}``.
    resample
        Whether `sample` draws a new mask by the settings given as `mask`.
    dimensions
        Number of spatial axes, the last ones.
    """

    complex_input = True
    complex_output = True
    per_item: tuple[str, ...] = ("mask",)

    def __init__(self, *, mask: MaskLike | None = None, resample: bool = False, dimensions: Literal[2, 3] = 2) -> None:
        super().__init__()
        if dimensions not in (2, 3):
            raise UsageError(f"dimensions must be 2 or 3, not {dimensions}")
        if resample and not isinstance(mask, (Mapping, ColumnSampling)):
            raise UsageError("resample=True needs the settings of a sampling as mask, such as {kind: random}")
        self.resample = resample
        self.dimensions = dimensions
        self.mask: Tensor | ColumnSampling | None
        if mask is None:
            self.mask = None
        elif isinstance(mask, (Mapping, ColumnSampling)):
            self.mask = ColumnSampling.parse(mask)
        else:
            self.register_buffer("mask", _boolean(mask, dimensions), persistent=False)
        self.input_shape = self.output_shape = (None, *self._space())

    def forward(self, x: Tensor) -> Tensor:
        """Measure. Shapes: x (batch, channel, *space) -> y (batch, channel, *k)."""
        return self._masked(fft_centred(x, self.dimensions))

    def adjoint(self, y: Tensor) -> Tensor:
        """Reconstruct with zeros where nothing was measured.

        Shapes: y (batch, channel, *k) -> x (batch, channel, *space).
        """
        return ifft_centred(self._masked(as_complex(y)), self.dimensions)

    def normal(self, x: Tensor) -> Tensor:
        """Apply F^H M F without shifts, along the axes on which the mask depends."""
        x = as_complex(x)
        mask = self.mask_for(x.shape[-self.dimensions :], x.device)
        if mask is None or x.numel() == 0:
            return x
        axes = [axis for axis in range(-min(self.dimensions, mask.ndim), 0) if mask.shape[axis] > 1]
        k = torch.fft.fftn(x, dim=axes, norm="ortho") if axes else x
        k = _where(torch.fft.ifftshift(mask, axes) if axes else mask, k)
        return torch.fft.ifftn(k, dim=axes, norm="ortho") if axes else k

    def norm(self, *, iterations: int = 30, like: Tensor | None = None, free: int = 1) -> float:  # noqa: ARG002
        """Return the spectral norm: 1, or 0 where the mask is empty, as F is orthonormal and M a projection."""
        empty = isinstance(self.mask, Tensor) and not bool(self.mask.any())
        return 0.0 if empty else 1.0

    def sample(self, generator: torch.Generator) -> Self:
        """Draw a new mask if `resample`; otherwise return the operator itself."""
        if not (self.resample and isinstance(self.mask, ColumnSampling)):
            return self
        return self.with_(mask=self.mask.draw(generator))

    def mask_for(self, size: Sequence[int], device: torch.device | str = "cpu") -> Tensor | None:
        """Return the boolean mask that applies to k-space of the given spatial size, or None if all is measured."""
        if isinstance(self.mask, ColumnSampling):
            return self.mask.columns(size[-1], device)
        return self.mask

    def acceleration(self, size: Sequence[int]) -> float:
        """Return the true acceleration for k-space of the given spatial size: its points over those measured."""
        mask = self.mask_for(size)
        return 1.0 if mask is None else mask.numel() / max(1, int(mask.sum()))

    def _masked(self, y: Tensor) -> Tensor:
        mask = self.mask_for(y.shape[-self.dimensions :], y.device)
        return y if mask is None else _where(mask, y)

    def _space(self) -> Shape:
        shape = self.mask.shape[-self.dimensions :] if isinstance(self.mask, Tensor) else ()
        return (*[None] * (self.dimensions - len(shape)), *(n if n > 1 else None for n in shape))


def _where(mask: Tensor, y: Tensor) -> Tensor:
    try:
        mask = mask.expand(y.shape)
    except RuntimeError:
        shapes = f"mask of shape {tuple(mask.shape)} does not fit k-space of shape {tuple(y.shape)}"
        raise UsageError(shapes) from None
    # Not a product: that would leave -0 where nothing was measured, and so the sign of what is to be unknown.
    return torch.where(mask, y, 0)


def _boolean(mask: Tensor | Sequence[Any], dimensions: int) -> Tensor:
    try:
        tensor = torch.as_tensor(mask)
    except (ValueError, TypeError) as error:
        raise UsageError(f"mask is not an array of 0 and 1: {error}") from None
    if not (1 <= tensor.ndim <= dimensions or tensor.ndim == dimensions + 2):
        shape = "(W,), (H, W)" if dimensions == 2 else "(W,), (H, W), (D, H, W)"
        raise UsageError(f"mask of shape {tuple(tensor.shape)} must have a shape {shape} or (batch, 1, *k)")
    if tensor.dtype == torch.bool:
        return tensor
    if not bool(((tensor == 0) | (tensor == 1)).all()):
        raise UsageError("mask must hold only 0 (not measured) and 1 (measured)")
    return tensor.bool()
