"""The learned primal-dual network."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from recon.errors import UsageError
from recon.interfaces import OperatorModel, describe
from recon.operators import LinearOperator
from recon_plugins.learned_primal_dual.norms import operator_norm

__all__ = ["LearnedPrimalDual"]

CONVOLUTION = {2: nn.Conv2d, 3: nn.Conv3d}


class LearnedPrimalDual(OperatorModel):
    """Unrolled primal-dual iterations whose two proximal maps are small networks, each iteration with its own.

    With B = A / |A| and g = y / (|A| scale), from memories h = 0 (dual, in data space) and f = 0 (primal, images):

        h <- h + D_k(h, B f[1], g)        f <- f + P_k(f, B^H h[0])        result: scale f[0]

    D_k and P_k are three convolutions of width 3 with zero padding and a PReLU with a slope a channel behind the first
    two. As published (10 iterations, 5 memories each, 32 features): 253,220 parameters, Glorot's uniform weights, zero
    biases and slopes. Of MRI, real and imaginary part are channels of their own.

    |A| makes the network indifferent to the operator's units. It is estimated by 20 steps of power iteration, from the
    same start everywhere, once for each operator and image size, and remembered as long as the operator lives. It is no
    part of the weights: another operator, or another size, has its own. Where every step brings a new operator (a new
    mask each batch), give `norm`.

    Shapes: y (batch, channel, *data) -> x (batch, channel, *space), data and space of `dims` axes each.

    Parameters
    ----------
    iterations
        Unrolled iterations.
    primal, dual
        Memories f and h, images and measurements each.
    features
        Channels between the convolutions.
    channels
        Channels of the image.
    data_channels
        Channels of the measurement, such as receiver coils; by default those of the image.
    complex
        Whether images and measurements are complex; real measurements then count as complex ones.
    dims
        Spatial axes of image and of measurement.
    scale
        Value of the image that the network sees as 1, such as the attenuation of water.
    norm
        The number |A|; by default estimated.
    checkpoint
        Whether training computes the iterations again on the way back instead of keeping their insides: about
        1 / `iterations` of the memory, a third more time.

    Raises
    ------
    UsageError
        If measurement or image have other channels or axes than the network.

    References
    ----------
    Adler and Oektem, IEEE Trans. Med. Imaging 37:1322, 2018, doi:10.1109/TMI.2018.2799231
    """

    def __init__(
        self,
        *,
        iterations: Annotated[int, Ge(1)] = 10,
        primal: Annotated[int, Ge(1)] = 5,
        dual: Annotated[int, Ge(1)] = 5,
        features: Annotated[int, Ge(1)] = 32,
        channels: Annotated[int, Ge(1)] = 1,
        data_channels: Annotated[int, Ge(1)] | None = None,
        complex: bool = False,  # noqa: A002 - the field's word
        dims: Literal[2, 3] = 2,
        scale: Annotated[float, Gt(0)] = 1.0,
        norm: Annotated[float, Gt(0)] | None = None,
        checkpoint: bool = False,
    ) -> None:
        super().__init__()
        self.iterations = iterations
        self.primal = primal
        self.dual = dual
        self.features = features
        self.channels = channels
        self.data_channels = data_channels
        self.complex = complex
        self.dims = dims
        self.scale = scale
        self.norm = norm
        self.checkpoint = checkpoint
        image = channels * (2 if complex else 1)
        data = (data_channels or channels) * (2 if complex else 1)
        self.dual_steps = nn.ModuleList(
            _Step((dual + 2) * data, features, dual * data, dims) for _ in range(iterations)
        )
        self.primal_steps = nn.ModuleList(
            _Step((primal + 1) * image, features, primal * image, dims) for _ in range(iterations)
        )

    def forward(self, y: Tensor, operator: LinearOperator) -> Tensor:
        """Reconstruct; the operator is applied in full precision also under autocast."""
        y, like = self._inputs(y, operator)
        norm = self.norm
        if norm is None:
            with torch.autocast(y.device.type, enabled=False):
                norm = operator_norm(operator, like)
        data = self._parts(y / (norm * self.scale))
        f = self._parts(like).repeat(1, self.primal, *[1] * self.dims)
        h = torch.zeros_like(data).repeat(1, self.dual, *[1] * self.dims)
        for index in range(self.iterations):
            if self.checkpoint and torch.is_grad_enabled():
                f, h = checkpoint(self._iterate, index, f, h, data, operator, norm, use_reentrant=False)
            else:
                f, h = self._iterate(index, f, h, data, operator, norm)
        return self._whole(f.narrow(1, 0, f.shape[1] // self.primal)) * self.scale

    def _iterate(
        self, index: int, f: Tensor, h: Tensor, data: Tensor, operator: LinearOperator, norm: float
    ) -> tuple[Tensor, Tensor]:
        """Update the dual, then the primal memory. The second primal memory is measured, the first one is the image."""
        width, channels = h.shape[1] // self.dual, f.shape[1] // self.primal
        measured = self._applied(operator.forward, f.narrow(1, min(1, self.primal - 1) * channels, channels), norm)
        h = h + self.dual_steps[index](torch.cat([h, measured, data], 1)).to(h.dtype)
        returned = self._applied(operator.adjoint, h.narrow(1, 0, width), norm)
        return f + self.primal_steps[index](torch.cat([f, returned], 1)).to(f.dtype), h

    def _applied(self, side: Callable[[Tensor], Tensor], x: Tensor, norm: float) -> Tensor:
        """Apply the operator or its adjoint, divided by the norm, to real channels."""
        with torch.autocast(x.device.type, enabled=False):
            return self._parts(side(self._whole(x)) / norm)

    def _inputs(self, y: Tensor, operator: LinearOperator) -> tuple[Tensor, Tensor]:
        """Return the measurement in the precision of the network, and zero images."""
        dtype = next(self.parameters()).dtype
        if y.is_complex() and not self.complex:
            raise UsageError(f"this learned_primal_dual is real and got a {describe(y)}: build it with complex=True")
        y = y.to(dtype.to_complex() if self.complex else dtype)
        shape = operator.input_shape
        if shape is None or None in shape:
            with torch.autocast(y.device.type, enabled=False), torch.no_grad():
                like = torch.zeros_like(operator.adjoint(y))
        else:
            like = y.new_zeros((len(y), *(n for n in shape if n is not None)))
        wanted = {"measurement": (y, self.data_channels or self.channels), "image": (like, self.channels)}
        for name, (x, channels) in wanted.items():
            if x.ndim != self.dims + 2 or x.shape[1] != channels:
                raise UsageError(
                    f"this learned_primal_dual takes a {name} (batch, {channels}, {self.dims} axes), got "
                    f"{tuple(x.shape)}: set channels, data_channels and dims to what the operator has"
                )
        return y, like.to(y.dtype)

    def _parts(self, x: Tensor) -> Tensor:
        """Return real channels: of complex ones the real parts, then the imaginary parts."""
        if not self.complex:
            return x
        return torch.cat([x.real, x.imag] if x.is_complex() else [x, torch.zeros_like(x)], 1)

    def _whole(self, x: Tensor) -> Tensor:
        return torch.complex(*x.chunk(2, 1)) if self.complex else x.contiguous()


class _Step(nn.Module):
    """Three convolutions, with a PReLU behind the first two; what a memory changes by."""

    def __init__(self, inputs: int, features: int, outputs: int, dims: int) -> None:
        super().__init__()
        widths = (inputs, features, features, outputs)
        self.convolutions = nn.ModuleList(CONVOLUTION[dims](m, n, 3, padding=1) for m, n in pairwise(widths))
        self.activations = nn.ModuleList(nn.PReLU(features, init=0.0) for _ in range(2))
        for convolution in self.convolutions:
            nn.init.xavier_uniform_(convolution.weight)  # type: ignore[arg-type]
            nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        for convolution, activation in zip(self.convolutions[:-1], self.activations, strict=True):
            x = activation(convolution(x))
        result: Tensor = self.convolutions[-1](x)
        return result
