"""Convolution with a given kernel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Gt, Len
from torch import Tensor
from torch.nn import functional as F

from recon.errors import ParameterError
from recon.operators import LinearOperator, Table, check_shape

__all__ = ["Boundary", "Convolution", "Size"]

Size = Annotated[tuple[Annotated[int, Gt(0)], ...], Len(1, 3)]
Boundary = Literal["zero", "circular", "reflect"]

CONV: dict[int, Callable[..., Tensor]] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
CONV_TRANSPOSE: dict[int, Callable[..., Tensor]] = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


class Convolution(LinearOperator):
    """Convolution as networks define it: y[o, i] = sum_cj k[o, c, j] x[c, stride i + j - p], the kernel not flipped.

    The adjoint is the transposed convolution with the conjugate kernel, followed by the adjoint of the padding, which
    folds what lies outside the image back to where it came from. In one to three dimensions.

    Shapes: (batch, in, n_1, ...) -> (batch, out, m_1, ...) with m = (n + p + q - k) // stride + 1 for p samples of
    padding before the axis and q behind it.

    Parameters
    ----------
    size
        Spatial size of the image.
    kernel
        (k_1, ...), applied to every channel by itself, or (out, in, k_1, ...); real or complex, as a tensor or as
        nested lists.
    stride
        Step between the samples of the result.
    padding
        ``same`` pads by k - 1 in all, so that at stride 1 the size stays, with the centre of the kernel,
        (k - 1) // 2, on the first sample; ``valid`` is none; a number is that much on either side.
    boundary
        What padding is filled with: zeros, the other end of the image, or its mirror image about the last sample.
    """

    def __init__(
        self,
        *,
        size: Size,
        kernel: Tensor | Sequence[Any],
        stride: Annotated[int, Gt(0)] = 1,
        padding: Literal["same", "valid"] | Annotated[int, Ge(0)] = "same",
        boundary: Boundary = "zero",
    ) -> None:
        super().__init__()
        self.size, self.stride, self.padding, self.boundary = tuple(size), stride, padding, boundary
        self.kernel = kernel
        values = torch.as_tensor(kernel, dtype=None if isinstance(kernel, Tensor) else torch.float64)
        axes = len(self.size)
        if values.ndim not in (axes, axes + 2):
            raise self._problem("kernel", f"has {values.ndim} axes; an image of {axes} takes {axes} or {axes + 2}")
        self._per_channel = values.ndim == axes
        self.weights = Table(values[None, None] if self._per_channel else values)
        lengths = self.weights.exact.shape[2:]
        self._pads = [_pad_lengths(k, padding) for k in lengths]
        padded = [n + sum(pad) for n, pad in zip(self.size, self._pads, strict=True)]
        for n, pads in zip(self.size, self._pads, strict=True):
            reach = {"zero": max(pads), "circular": n, "reflect": n - 1}[boundary]
            if max(pads) > reach:
                problem = f"{boundary} padding of an axis of {n} reaches {reach} samples, not {max(pads)}: take 'zero'"
                raise self._problem("padding", problem)
        if any(k > n for k, n in zip(lengths, padded, strict=True)):
            raise self._problem("kernel", f"{tuple(lengths)} is larger than the padded image, {tuple(padded)}")
        # What a strided kernel never reaches at the far end; the transposed convolution leaves zeros there.
        self._unreached = [(n - k) % stride for k, n in zip(lengths, padded, strict=True)]
        out, into = (None, None) if self._per_channel else values.shape[:2]
        self.input_shape = (into, *self.size)
        self.output_shape = (out, *((n - k) // stride + 1 for k, n in zip(lengths, padded, strict=True)))
        self.complex_output = values.is_complex()

    def forward(self, x: Tensor) -> Tensor:
        """Pad and convolve."""
        check_shape(self, x, self.input_shape)
        return self._map(self._pad(x), transposed=False)

    def adjoint(self, y: Tensor) -> Tensor:
        """Apply the transposed convolution, and fold the padding back."""
        check_shape(self, y, self.output_shape)
        return self._unpad(self._map(y, transposed=True))

    def _map(self, x: Tensor, *, transposed: bool) -> Tensor:
        kernel: Tensor = self.weights(x)
        if x.is_complex() and not kernel.is_complex():
            return torch.complex(self._map(x.real, transposed=transposed), self._map(x.imag, transposed=transposed))
        x = x.to(kernel.dtype)
        space = x.shape[2:]
        images = x.reshape(-1, 1, *space) if self._per_channel else x
        axes = len(space)
        if not transposed:
            y = CONV[axes](images, kernel, stride=self.stride)
        elif self.stride == 1:
            # The same as the transposed convolution, which on CPUs is up to 16 times slower.
            turned = kernel.conj().transpose(0, 1).flip(tuple(range(2, 2 + axes)))
            y = CONV[axes](images, turned, padding=tuple(k - 1 for k in kernel.shape[2:]))
        else:
            y = CONV_TRANSPOSE[axes](images, kernel.conj(), stride=self.stride, output_padding=self._unreached)
        return y.reshape(*x.shape[:2], *y.shape[2:]) if self._per_channel else y

    def _pad(self, x: Tensor) -> Tensor:
        for axis, (n, (left, right)) in enumerate(zip(self.size, self._pads, strict=True), start=2):
            if self.boundary == "zero":
                x = _pad_axis(x, axis, left, right)
            elif left or right:
                first, last = self._sources(n, left, right)
                x = torch.cat(
                    [self._turn(x.narrow(axis, first, left), axis), x, self._turn(x.narrow(axis, last, right), axis)],
                    axis,
                )
        return x

    def _unpad(self, y: Tensor) -> Tensor:
        for axis, (n, (left, right)) in enumerate(zip(self.size, self._pads, strict=True), start=2):
            before, image, behind = torch.split(y, [left, n, right], dim=axis)
            if self.boundary != "zero":
                for part, start in zip((before, behind), self._sources(n, left, right), strict=True):
                    length = part.shape[axis]
                    if length:
                        image = image + _pad_axis(self._turn(part, axis), axis, start, n - start - length)
            y = image
        return y

    def _sources(self, n: int, left: int, right: int) -> tuple[int, int]:
        """Return where the samples begin that fill the padding before and behind an axis of length n."""
        return (n - left, 0) if self.boundary == "circular" else (1, n - 1 - right)

    def _turn(self, x: Tensor, axis: int) -> Tensor:
        return x.flip(axis) if self.boundary == "reflect" else x

    def _problem(self, name: str, message: str) -> ParameterError:
        return ParameterError(type(self).__name__, [((name,), message)])


def _pad_lengths(k: int, padding: str | int) -> tuple[int, int]:
    if padding == "same":
        return (k - 1) // 2, k // 2
    return (0, 0) if padding == "valid" else (int(padding), int(padding))


def _pad_axis(x: Tensor, axis: int, left: int, right: int) -> Tensor:
    return F.pad(x, (0, 0) * (x.ndim - 1 - axis) + (left, right))
