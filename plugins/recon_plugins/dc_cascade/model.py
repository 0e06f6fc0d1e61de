"""The cascade of networks and data consistency."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Gt
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint as recompute

from recon.interfaces import OperatorModel
from recon.kspace import as_complex, crop_centred
from recon.methods import Output, finish
from recon.operators import LinearOperator
from recon.schema import Part
from recon.sensitivities import with_sensitivities

__all__ = ["DCCascade"]

CONVOLUTION = {2: nn.Conv2d, 3: nn.Conv3d}


class DCCascade(OperatorModel):
    """The cascade of Schlemper et al.: from x = A^H y, a residual network C_k and data consistency in turns.

        x <- x + C_k(x)        x <- x + w A^H (y - A x)

    For one coil the second step replaces the measured frequencies (w = 1), or averages them with the measured ones as
    noise asks for (w < 1, learned, one for each cascade). For coils with sensitivities of unit norm it does so in the
    k-space of each coil and combines them. |A| is to be at most 1, as of `fourier` and `multicoil_fourier`.

    C_k has convolutions of width 3 with zero padding and biases, ReLU behind all but the last; real and imaginary part
    are channels. The published network D5C5 has 5 cascades of 5 convolutions. Initial weights: He's.

    Shapes: y as the operator gives it -> x (batch, 1, *space), complex unless `output` says otherwise.

    Parameters
    ----------
    cascades
        Number of cascades.
    convolutions
        Convolutions of each.
    features
        Channels between them.
    dims
        Spatial axes.
    consistency
        ``hard``: w = 1; ``learned``: w is trained, from 0.88.
    scale
        Value of the image that the networks see as 1; by default the largest magnitude of each zero-filled image.
    maps
        Calibration that estimates coil sensitivities, such as ``espirit``, for operators that bring none; None if the
        operator is to be used as it is. No gradient reaches them.
    output
        What becomes of the complex image: ``as_is``, its ``magnitude``, its ``real`` part.
    crop
        Size of the middle of the image that is returned, along axes that are longer; by default all of it.
    checkpoint
        Whether training computes the cascades again on the way back instead of keeping their insides: about
        1 / `cascades` of the memory, a third more time.

    References
    ----------
    Schlemper et al., IEEE Trans. Med. Imaging 37:491, 2018, doi:10.1109/TMI.2017.2760978
    """

    crops_to_target = True

    def __init__(
        self,
        *,
        cascades: Annotated[int, Ge(1)] = 5,
        convolutions: Annotated[int, Ge(2)] = 5,
        features: Annotated[int, Ge(1)] = 64,
        dims: Literal[2, 3] = 2,
        consistency: Literal["hard", "learned"] = "hard",
        scale: Annotated[float, Gt(0)] | None = None,
        maps: Annotated[Any, Part("method")] = None,
        output: Output = "as_is",
        crop: tuple[Annotated[int, Ge(1)], ...] | None = None,
        checkpoint: bool = False,
    ) -> None:
        super().__init__()
        self.cascades = cascades
        self.convolutions = convolutions
        self.features = features
        self.dims = dims
        self.consistency = consistency
        self.scale = scale
        self.maps = maps
        self.output = output
        self.crop = None if crop is None else tuple(crop)
        self.checkpoint = checkpoint
        self.networks = nn.ModuleList(_network(convolutions, features, dims) for _ in range(cascades))
        if consistency == "learned":
            self.log_weights = nn.Parameter(torch.full((cascades,), 2.0))

    def forward(self, y: Tensor, operator: LinearOperator) -> Tensor:
        """Reconstruct; the operator is applied in full precision also under autocast."""
        with torch.autocast(y.device.type, enabled=False):
            operator = with_sensitivities(operator, y, self.maps)
            b = as_complex(operator.adjoint(y))
            scale: Tensor | float
            if self.scale is None:
                largest = b.detach().abs().amax(tuple(range(1, b.ndim)), keepdim=True)
                scale = largest.where(largest > 0, 1)
            else:
                scale = self.scale
            x = b = b / scale
        for index in range(self.cascades):
            if self.checkpoint and torch.is_grad_enabled():
                x = recompute(self._cascade, index, x, b, operator, use_reentrant=False)
            else:
                x = self._cascade(index, x, b, operator)
        x = finish(x * scale, self.output)
        if self.crop is not None:
            x = crop_centred(x, [min(pair) for pair in zip(self.crop, x.shape[2:], strict=True)]).contiguous()
        return x

    def _cascade(self, index: int, x: Tensor, b: Tensor, operator: LinearOperator) -> Tensor:
        change = self.networks[index](torch.cat([x.real, x.imag], 1)).to(x.real.dtype)
        with torch.autocast(x.device.type, enabled=False):
            x = x + torch.complex(*change.chunk(2, 1))
            gap = b - operator.normal(x)
            return x + (gap * self.log_weights[index].sigmoid() if self.consistency == "learned" else gap)


def _network(convolutions: int, features: int, dims: int) -> nn.Sequential:
    widths = (2, *[features] * (convolutions - 1), 2)
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layer = CONVOLUTION[dims](inputs, outputs, 3, padding=1)
        nn.init.kaiming_normal_(layer.weight)
        nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1])
