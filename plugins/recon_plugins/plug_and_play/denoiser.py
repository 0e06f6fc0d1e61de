"""A network as a denoiser of images in any units."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import torch
from annotated_types import Gt
from torch import Tensor, nn

from recon.errors import UsageError
from recon.interfaces import OperatorModel
from recon.operators import Identity, Operator
from recon.schema import Part
from recon_plugins.plug_and_play.weights import load_weights

__all__ = ["Denoiser"]

EPSILON = 1e-12


class Denoiser:
    """A trained network that denoises images: the method of the operator that measures the image itself.

    Denoisers know images in [0, 1], others come in 1/mm or in no unit at all. With the range [low, high] of an image

        D(x) = low + (high - low) f((x - low) / (high - low)),

    without clipping. A network trained for one noise level sigma_0 denoises another one, sigma, on the image scaled to
    have sigma_0, D_sigma(z) = (sigma / sigma_0) f(z sigma_0 / sigma) with z in [0, 1]; one that is told the level gets
    it as a last channel of that value. A small sigma stretches the image far beyond the [0, 1] that the network was
    trained on: DnCNN for 25 / 255 helps down to about half of that, and at 8 / 255 is worse than nothing.

    Channels, and slices of volumes, are denoised one by one; a network with an attribute ``dims = 3`` gets volumes.
    It computes in its own precision, in evaluation mode and without gradients, and follows the image's device.

    Shapes: y (batch, channel, *space) -> the same.

    Parameters
    ----------
    model
        The network f: images (batch, 1, *space) -> the same.
    weights
        File with its weights (safetensors, or a state dict of torch.save; read at the first call); or, without a model,
        the run folder of a training. None if the model, given in Python, has its weights.
    noise_level
        Noise level sigma_0 that the network was trained for, in its range [0, 1], such as 25 / 255; ``map`` if it takes
        the level as a channel; None if it is blind, or has a strength of its own.
    sigma
        Noise level sigma to remove, in the range [0, 1]; by default sigma_0. A network with a map needs it.
    value_range
        Values [low, high] of the image that the network sees as 0 and 1; ``auto`` takes, at each call and of each item,
        0 or the least value, whichever is less, and the largest.
    complex_as
        ``parts`` denoises real and imaginary part each by itself, with [-m, m] for their largest modulus m as ``auto``;
        ``magnitude`` denoises the magnitude and keeps the phase.

    Raises
    ------
    UsageError
        If there is neither model nor run folder, or sigma is given for a network that cannot be told; when called, if
        the operator is not the identity.
    CheckpointError
        At the first call, if the weights cannot be read or are of another network.

    References
    ----------
    Xu et al., IEEE Signal Process. Lett. 27:1155, 2020, doi:10.1109/LSP.2020.3006390 (scaling to other noise levels)
    """

    def __init__(
        self,
        *,
        model: Annotated[nn.Module | None, Part("model")] = None,
        weights: Path | None = None,
        noise_level: Annotated[float, Gt(0)] | Literal["map"] | None = None,
        sigma: Annotated[float, Gt(0)] | None = None,
        value_range: tuple[float, float] | Literal["auto"] = "auto",
        complex_as: Literal["parts", "magnitude"] = "parts",
    ) -> None:
        if model is None and weights is None:
            raise UsageError("denoiser needs a model, or a run folder as weights")
        if isinstance(model, OperatorModel):
            raise UsageError(f"{type(model).__name__} reconstructs with an operator: a denoiser maps images to images")
        if noise_level is None and sigma is not None:
            raise UsageError("sigma needs noise_level: what the network was trained for, or 'map'")
        if noise_level == "map" and sigma is None:
            raise UsageError("a network with a noise map needs sigma")
        if value_range != "auto" and not value_range[0] < value_range[1]:
            raise UsageError(f"value_range must rise, got {list(value_range)}")
        self.model = model
        self.weights = None if weights is None else Path(weights)
        self.noise_level = noise_level
        self.sigma = sigma
        self.value_range = value_range
        self.complex_as = complex_as
        self._network: nn.Module | None = None

    def at(self, sigma: float) -> Self:
        """Return the denoiser for a noise level, in the range [0, 1]; it shares the network.

        Raises
        ------
        UsageError
            If the network cannot be told one.
        """
        if self.noise_level is None:
            raise UsageError("sigma needs a denoiser with noise_level: what it was trained for, or 'map'")
        other = copy.copy(self)
        other._network = self._loaded()
        other.sigma = sigma
        return other

    @torch.no_grad()
    def __call__(self, y: Tensor, operator: Operator | None = None) -> Tensor:
        """Denoise."""
        if operator is not None and not isinstance(operator.noiseless, Identity):
            raise UsageError(
                f"a denoiser takes images, not measurements of {type(operator.noiseless).__name__}: "
                "use plug_and_play with it"
            )
        if not y.is_complex():
            return self._scaled(y, *self._range(y, signed=False))
        if self.complex_as == "magnitude":
            magnitude = y.abs()
            denoised = self._scaled(magnitude, *self._range(magnitude, signed=False))
            return torch.where(magnitude > 0, y / magnitude.clamp(min=EPSILON), 1) * denoised
        parts = torch.view_as_real(y.resolve_conj()).movedim(-1, 0)
        limits = self._range(torch.cat(list(parts), 1), signed=True)
        return torch.complex(*(self._scaled(part, *limits) for part in parts))

    def _range(self, x: Tensor, *, signed: bool) -> tuple[Tensor, Tensor]:
        """Return the lower end and the width of the range, (batch, 1, ...)."""
        shape = (-1, *[1] * (x.ndim - 1))
        if self.value_range != "auto":
            low = x.new_full((len(x),), self.value_range[0])
            high = x.new_full((len(x),), self.value_range[1])
        else:
            flat = x.flatten(1)
            high = flat.abs().amax(1) if signed else flat.amax(1)
            low = -high if signed else flat.amin(1).clamp(max=0)
        width = high - low
        return low.reshape(shape), torch.where(width > 0, width, 1).reshape(shape)

    def _scaled(self, x: Tensor, low: Tensor, width: Tensor) -> Tensor:
        z = (x - low) / width
        if self.noise_level == "map" or self.sigma is None or self.noise_level is None:
            return low + width * self._denoised(z)
        factor = self.noise_level / self.sigma
        return low + width * (self._denoised(z * factor) / factor)

    def _denoised(self, z: Tensor) -> Tensor:
        """Apply the network to each channel, and to each slice where it knows no volumes."""
        network = self._loaded().to(z.device)
        axes = getattr(network, "dims", 2)
        like = next(network.parameters(), z)
        images = z.reshape(-1, 1, *z.shape[z.ndim - axes :]).to(like.dtype)
        if self.noise_level == "map":
            images = torch.cat([images, torch.full_like(images, float(self.sigma or 0))], 1)
        training = network.training
        network.eval()
        try:
            result: Tensor = network(images)
        finally:
            network.train(training)
        return result.reshape(z.shape).to(z.dtype)

    def _loaded(self) -> nn.Module:
        if self._network is None:
            network = self.model if self.weights is None else load_weights(self.model, self.weights)
            if network is None or isinstance(network, OperatorModel):
                raise UsageError(f"{self.weights} is not a denoiser: its network works with an operator")
            self._network = network
        return self._network

    def __getstate__(self) -> dict[str, Any]:
        """Leave weights that a file has out of pickles."""
        return self.__dict__ if self.weights is None else {**self.__dict__, "_network": None}

    def __repr__(self) -> str:
        """Show the arguments."""
        model = None if self.model is None else type(self.model).__name__
        names = ("noise_level", "sigma", "value_range", "complex_as")
        rest = ", ".join(f"{name}={getattr(self, name)!r}" for name in names)
        return f"Denoiser(model={model}, weights={None if self.weights is None else str(self.weights)!r}, {rest})"
