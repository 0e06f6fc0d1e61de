"""SigPy's linear operators as operators on batches of tensors."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recon.errors import UsageError
from recon.operators import LinearOperator

__all__ = ["LinopOperator", "WrappedLinop", "array", "seeded", "wrap"]


class LinopOperator(LinearOperator, adjoint_as_backward=True):
    """Base of operators whose map of one item is a linear operator of SigPy's.

    SigPy computes on NumPy arrays: on the processor, item by item, in the precision of the input. The backward of
    either side is the other.
    """

    @abstractmethod
    def linop(self, size: tuple[int, ...]) -> Any:
        """Return SigPy's operator of an item of the shape `size` (channel, *space)."""

    @abstractmethod
    def image_shape(self, size: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of the item (channel, *space) whose measurement has the shape `size`."""

    def forward(self, x: Tensor) -> Tensor:
        """Measure. Shapes: x (batch, channel, *space) -> y (batch, ...)."""
        return self._apply_to_items(self.linop(tuple(x.shape[1:])), x)

    def adjoint(self, y: Tensor) -> Tensor:
        """Apply SigPy's adjoint. Shapes: y (batch, ...) -> x (batch, channel, *space)."""
        return self._apply_to_items(self.linop(self.image_shape(tuple(y.shape[1:]))).H, y)

    def _apply_to_items(self, linop: Any, x: Tensor) -> Tensor:
        if list(x.shape[1:]) != list(linop.ishape):
            raise UsageError(
                f"{type(self).__name__} takes (batch, {', '.join(map(str, linop.ishape))}), not data of shape "
                f"{tuple(x.shape)}"
            )
        dtype = x.dtype
        if self.complex_input and not x.is_complex():
            dtype = torch.complex128 if dtype == torch.float64 else torch.complex64
        made = [torch.from_numpy(np.ascontiguousarray(linop(item))) for item in array(x.to(dtype))]
        result = torch.stack(made) if made else torch.zeros(0, *linop.oshape)
        return result.to(x.device, dtype)


class WrappedLinop(LinopOperator):
    """Any linear operator of SigPy's, made in Python: use `wrap`.

    Shapes: x (batch, *linop.ishape) -> y (batch, *linop.oshape).

    Parameters
    ----------
    linop_of_item
        SigPy's operator.
    """

    def __init__(self, *, linop_of_item: Any) -> None:
        super().__init__()
        self.linop_of_item = linop_of_item
        self.input_shape, self.output_shape = tuple(linop_of_item.ishape), tuple(linop_of_item.oshape)

    def linop(self, size: tuple[int, ...]) -> Any:  # noqa: ARG002 - its shape is fixed
        """Return the operator."""
        return self.linop_of_item

    def image_shape(self, size: tuple[int, ...]) -> tuple[int, ...]:  # noqa: ARG002
        """Return the shape of its input."""
        return tuple(self.linop_of_item.ishape)


def wrap(linop: Any) -> WrappedLinop:
    """Return a linear operator of SigPy's as one of recon's: with batches, tensors, gradients, and all methods.

    Shapes: x (batch, *linop.ishape) -> y (batch, *linop.oshape).
    """
    return WrappedLinop(linop_of_item=linop)


def array(x: Tensor) -> Any:
    """Return a tensor's values as a NumPy array on the processor."""
    return x.detach().cpu().resolve_conj().resolve_neg().numpy()


@contextmanager
def seeded() -> Iterator[None]:
    """Let SigPy's power iterations start alike every time, and leave NumPy's random state as it was."""
    before = np.random.get_state()  # noqa: NPY002 - the state that SigPy draws from
    np.random.seed(0)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002
