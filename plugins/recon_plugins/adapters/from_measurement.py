"""Networks that work on a first image, made from the measurement with the help of the operator."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge
from torch import Tensor, nn

from recon.errors import UsageError
from recon.interfaces import OperatorModel
from recon.operators import LinearOperator
from recon.schema import Part

__all__ = ["FromAdjoint", "FromMethod", "FromPinv"]

Network = Annotated[nn.Module, Part("model")]
Seen = Literal["complex", "magnitude", "real", "rss"]
Size = tuple[Annotated[int, Ge(1)], ...]


class _FromMeasurement(OperatorModel):
    """f(y) = g(first image), with what the network is to see of it."""

    def __init__(self, model: nn.Module, part: Seen, crop: Size | None) -> None:
        super().__init__()
        self.model = model
        self.part = part
        self.crop = None if crop is None else tuple(crop)
        self.channels_last = bool(getattr(model, "channels_last", False))

    @abstractmethod
    def first_image(self, y: Tensor, operator: LinearOperator) -> Tensor:
        """Make the image that the network starts from."""

    def forward(self, y: Tensor, operator: LinearOperator) -> Tensor:
        """Make the first image, in full precision also under autocast, and apply the network."""
        with torch.autocast(y.device.type, enabled=False):
            x = self._seen(self.first_image(y, operator))
        result: Tensor = self.model(x)
        return result

    def _seen(self, x: Tensor) -> Tensor:
        """Return the part of the first image that the network sees."""
        if self.crop is not None:
            space = x.shape[2:]
            if len(space) != len(self.crop) or any(n < wanted for n, wanted in zip(space, self.crop, strict=True)):
                raise UsageError(f"crop {list(self.crop)} does not fit the first image of size {list(space)}")
            for axis, (n, wanted) in enumerate(zip(space, self.crop, strict=True), start=2):
                x = x.narrow(axis, (n - wanted) // 2, wanted)
        if self.part == "rss":
            return torch.linalg.vector_norm(x, dim=1, keepdim=True)
        if x.is_complex() and self.part != "complex":
            return x.abs() if self.part == "magnitude" else x.real.contiguous()
        return x.contiguous()


class FromAdjoint(_FromMeasurement):
    """A network on the adjoint's image: f(y) = g(A^H y), zero-filled in MRI, back-projected in CT.

    Shapes: y as the operator gives it -> x (batch, channel, *space).

    Parameters
    ----------
    model
        The network g, which takes images.
    part
        What the network sees of a complex image: all of it, its magnitude, or its real part, where real images stay as
        they are; or "rss", the root of the sum of squares over the channels, which combines coils.
    crop
        Size of the middle of the image that the network sees, and returns; by default all of it.
    """

    def __init__(self, *, model: Network, part: Seen = "complex", crop: Size | None = None) -> None:
        super().__init__(model, part, crop)

    def first_image(self, y: Tensor, operator: LinearOperator) -> Tensor:
        """Return A^H y."""
        return operator.adjoint(y)


class FromPinv(_FromMeasurement):
    """A network on the least-squares image: f(y) = g(x), x minimising |A x - y|^2 + damping |x|^2.

    Shapes: y as the operator gives it -> x (batch, channel, *space).

    Parameters
    ----------
    model
        The network g, which takes images.
    part
        What the network sees of a complex image: all of it, its magnitude, or its real part, where real images stay as
        they are; or "rss", the root of the sum of squares over the channels, which combines coils.
    crop
        Size of the middle of the image that the network sees, and returns; by default all of it.
    iterations, tolerance, damping
        As for `LinearOperator.pinv`. Tolerance 0 takes all iterations and never waits for the device.
    """

    def __init__(
        self,
        *,
        model: Network,
        part: Seen = "complex",
        crop: Size | None = None,
        iterations: Annotated[int, Ge(1)] = 50,
        tolerance: Annotated[float, Ge(0)] = 1e-6,
        damping: Annotated[float, Ge(0)] = 0.0,
    ) -> None:
        super().__init__(model, part, crop)
        self.iterations = iterations
        self.tolerance = tolerance
        self.damping = damping

    def first_image(self, y: Tensor, operator: LinearOperator) -> Tensor:
        """Solve the least-squares problem by conjugate gradients."""
        return operator.pinv(y, iterations=self.iterations, tolerance=self.tolerance, damping=self.damping)


class FromMethod(_FromMeasurement):
    """A network on the image of a reconstruction method: f(y) = g(method(y, A)).

    Shapes: y as the operator gives it -> x (batch, channel, *space).

    Parameters
    ----------
    method
        The method, such as filtered back-projection.
    model
        The network g, which takes images.
    part
        What the network sees of a complex image: all of it, its magnitude, or its real part, where real images stay as
        they are; or "rss", the root of the sum of squares over the channels, which combines coils.
    crop
        Size of the middle of the image that the network sees, and returns; by default all of it.
    """

    def __init__(
        self,
        *,
        method: Annotated[Any, Part("method")],
        model: Network,
        part: Seen = "complex",
        crop: Size | None = None,
    ) -> None:
        super().__init__(model, part, crop)
        self.method = method

    def first_image(self, y: Tensor, operator: LinearOperator) -> Tensor:
        """Apply the method."""
        return self.method(y, operator)
