"""Networks that work on a first image, made from the measurement with the help of the operator."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge
from torch import Tensor, nn

from recon.interfaces import OperatorModel
from recon.operators import LinearOperator
from recon.schema import Part

__all__ = ["FromAdjoint", "FromMethod", "FromPinv"]

Network = Annotated[nn.Module, Part("model")]
Seen = Literal["complex", "magnitude", "real"]


class _FromMeasurement(OperatorModel):
    """f(y) = g(first image), with what the network is to see of a complex image."""

    def __init__(self, model: nn.Module, part: Seen) -> None:
        super().__init__()
        self.model = model
        self.part = part
        self.channels_last = bool(getattr(model, "channels_last", False))

    @abstractmethod
    def first_image(self, y: Tensor, operator: LinearOperator) -> Tensor:
        """Make the image that the network starts from."""

    def forward(self, y: Tensor, operator: LinearOperator) -> Tensor:
        """Make the first image, in full precision also under autocast, and apply the network."""
        with torch.autocast(y.device.type, enabled=False):
            x = self.first_image(y, operator)
            if x.is_complex() and self.part != "complex":
                x = x.abs() if self.part == "magnitude" else x.real.contiguous()
        return self.model(x)


class FromAdjoint(_FromMeasurement):
    """A network on the adjoint's image: f(y) = g(A^H y), zero-filled in MRI, back-projected in CT.

    Shapes: y as the operator gives it -> x (batch, channel, *space).

    Parameters
    ----------
    model
        The network g, which takes images.
    part
        What the network sees of a complex image: all of it, its magnitude, or its real part. Real images stay as they
        are.
    """

    def __init__(self, *, model: Network, part: Seen = "complex") -> None:
        super().__init__(model, part)

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
        What the network sees of a complex image: all of it, its magnitude, or its real part. Real images stay as they
        are.
    iterations, tolerance, damping
        As for `LinearOperator.pinv`. Tolerance 0 takes all iterations and never waits for the device.
    """

    def __init__(
        self,
        *,
        model: Network,
        part: Seen = "complex",
        iterations: Annotated[int, Ge(1)] = 50,
        tolerance: Annotated[float, Ge(0)] = 1e-6,
        damping: Annotated[float, Ge(0)] = 0.0,
    ) -> None:
        super().__init__(model, part)
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
        What the network sees of a complex image: all of it, its magnitude, or its real part. Real images stay as they
        are.
    """

    def __init__(self, *, method: Annotated[Any, Part("method")], model: Network, part: Seen = "complex") -> None:
        super().__init__(model, part)
        self.method = method

    def first_image(self, y: Tensor, operator: LinearOperator) -> Tensor:
        """Apply the method."""
        return self.method(y, operator)
