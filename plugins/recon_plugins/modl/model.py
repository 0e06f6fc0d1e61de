"""Model-based deep learning."""

from __future__ import annotations

import math
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint as recompute

from recon.interfaces import OperatorModel
from recon.kspace import crop_centred
from recon.methods import Output, finish
from recon.operators import LinearOperator
from recon.schema import Part
from recon.sensitivities import with_sensitivities
from recon_plugins.modl.implicit import regularised_solution

__all__ = ["MoDL"]


class MoDL(OperatorModel):
    """MoDL: from x = A^H y, a denoiser D and data consistency in turns, each turn with the same weights.

        z = D(x)        x = argmin |A x - y|^2 + w |x - z|^2 = (A^H A + w)^-1 (A^H y + w z)

    The inverse is applied by conjugate gradients, and so is that of the gradient: nothing of the iterations is kept,
    and the gradient is exact as far as they have converged. The weight w > 0 is learned. Operator and conjugate
    gradients are computed in full precision also under autocast.

    The denoiser sees images whose zero-filled form has the largest magnitude 1, whatever the units of y. Of complex
    images, let it be ``{use: complex_channels, model: ...}``; the published one is DnCNN's, with 5 convolutions.

    Shapes: y as the operator gives it -> x (batch, channel, *space).

    Parameters
    ----------
    model
        The denoiser D.
    iterations
        Turns.
    cg_iterations
        Conjugate gradients of each turn.
    weight
        The number w at the start of training, in units of |A|^2 = 1.
    maps
        Calibration that estimates coil sensitivities, such as ``espirit``, for operators that bring none (`fourier`,
        `nufft`); None if the operator is to be used as it is. No gradient reaches them.
    output
        What becomes of a complex image: ``as_is``, its ``magnitude``, its ``real`` part.
    crop
        Size of the middle of the image that is returned, along axes that are longer; by default all of it.
    checkpoint
        Whether training computes the denoiser again on the way back instead of keeping its insides: about
        1 / `iterations` of the memory, a third more time.

    References
    ----------
    Aggarwal et al., IEEE Trans. Med. Imaging 38:394, 2019, doi:10.1109/TMI.2018.2865356
    """

    crops_to_target = True

    def __init__(
        self,
        *,
        model: Annotated[nn.Module, Part("model")],
        iterations: Annotated[int, Ge(1)] = 10,
        cg_iterations: Annotated[int, Ge(1)] = 10,
        weight: Annotated[float, Gt(0)] = 0.05,
        maps: Annotated[Any, Part("method")] = None,
        output: Output = "as_is",
        crop: tuple[Annotated[int, Ge(1)], ...] | None = None,
        checkpoint: bool = False,
    ) -> None:
        super().__init__()
        self.model = model
        self.iterations = iterations
        self.cg_iterations = cg_iterations
        self.weight = weight
        self.maps = maps
        self.output = output
        self.crop = None if crop is None else tuple(crop)
        self.checkpoint = checkpoint
        self.log_weight = nn.Parameter(torch.tensor(math.log(weight)))

    def forward(self, y: Tensor, operator: LinearOperator) -> Tensor:
        """Reconstruct."""
        with torch.autocast(y.device.type, enabled=False):
            operator = with_sensitivities(operator, y, self.maps)
            b = operator.adjoint(y)
            scale = b.detach().abs().amax(tuple(range(1, b.ndim)), keepdim=True)
            b = b / scale.where(scale > 0, 1)
        x = b
        for _ in range(self.iterations):
            z = self._denoised(x).to(b.dtype)
            with torch.autocast(y.device.type, enabled=False):
                weight = self.log_weight.exp()
                x = regularised_solution(operator, b + weight * z, weight, iterations=self.cg_iterations)
        x = finish(x * scale, self.output)
        return x if self.crop is None else crop_centred(x, _at_most(self.crop, x)).contiguous()

    def _denoised(self, x: Tensor) -> Tensor:
        if self.checkpoint and torch.is_grad_enabled():
            result: Tensor = recompute(self.model, x, use_reentrant=False)
            return result
        return self.model(x)


def _at_most(crop: tuple[int, ...], x: Tensor) -> list[int]:
    return [min(pair) for pair in zip(crop, x.shape[-len(crop) :], strict=True)]
