"""Operators side by side: their sums, and their measurements joined."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from recon.errors import UsageError
from recon.operators.base import LinearOperator, Shape
from recon.operators.combined import AnyOperator, Combined, agree, as_linear, as_parts, total

__all__ = ["Stack", "Sum", "add", "stack"]


def add(*operators: LinearOperator) -> LinearOperator:
    """Return ``operators[0] + operators[1] + ...`` as one flat sum."""
    return Sum(operators=[part for op in operators for part in (op.operators if isinstance(op, Sum) else [op])])


def stack(*operators: LinearOperator, axis: int = 1) -> Stack:
    """Join the measurements of several operators along `axis` of the batched measurement."""
    return Stack(operators=operators, axis=axis)


class Sum(Combined, LinearOperator):
    """The sum of linear operators of one input and one output shape."""

    def __init__(self, *, operators: Sequence[AnyOperator]) -> None:
        super().__init__()
        self.operators = as_parts(map(as_linear, operators))
        self.input_shape = agree("add", "input", [op.input_shape for op in operators])
        self.output_shape = agree("add", "output", [op.output_shape for op in operators])
        self.complex_input = any(op.complex_input for op in operators)
        self.complex_output = any(op.complex_output for op in operators)

    def forward(self, x: Tensor) -> Tensor:
        """Add the results."""
        return total(operator(x) for operator in self.operators)

    def adjoint(self, y: Tensor) -> Tensor:
        """Add the adjoints' results."""
        return total(operator.adjoint(y) for operator in self.operators)


class Stack(Combined, LinearOperator):
    """Linear operators on one image, their measurements joined along one axis.

    Parameters
    ----------
    operators
        Operators of one input shape, whose output shapes are known along `axis` and agree along the others.
    axis
        Axis of the batched measurement to join along: 1 is the channel or coil axis.
    """

    def __init__(self, *, operators: Sequence[AnyOperator], axis: int = 1) -> None:
        super().__init__()
        if axis < 1:
            raise UsageError(f"Stack joins along an axis from 1 on (0 is the batch), not {axis}")
        self.operators = as_parts(map(as_linear, operators))
        self.axis = axis
        self.input_shape = agree("stack", "input", [op.input_shape for op in operators])
        shapes = [op.output_shape or () for op in operators]
        sizes = [shape[axis - 1] if axis <= len(shape) else None for shape in shapes]
        self.sizes = [size for size in sizes if size is not None]
        if len(self.sizes) < len(shapes):
            raise UsageError(f"Stack needs operators whose output sizes along axis {axis} are known, got {shapes}")
        rest: list[Shape | None] = [(*shape[: axis - 1], None, *shape[axis:]) for shape in shapes]
        shape = agree("stack", "output", rest) or ()
        self.output_shape = (*shape[: axis - 1], sum(self.sizes), *shape[axis:])
        self.complex_input = any(op.complex_input for op in operators)
        self.complex_output = any(op.complex_output for op in operators)

    def forward(self, x: Tensor) -> Tensor:
        """Join the measurements of all operators."""
        return torch.cat([operator(x) for operator in self.operators], dim=self.axis)

    def adjoint(self, y: Tensor) -> Tensor:
        """Add the adjoints of the measurement's parts."""
        parts = torch.split(y, self.sizes, dim=self.axis)
        return total(operator.adjoint(part) for operator, part in zip(self.operators, parts, strict=True))

    def normal(self, x: Tensor) -> Tensor:
        """Add the operators' normals, so that what each folds away stays folded."""
        return total(operator.normal(x) for operator in self.operators)
