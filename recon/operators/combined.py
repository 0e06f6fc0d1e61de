"""Operators made of operators: compositions, sums, multiples, adjoints and stacks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, cast

import torch
from torch import Tensor, nn

from recon.errors import UsageError
from recon.operators.base import LinearOperator, Operator, Shape
from recon.schema import Part

__all__ = [
    "Adjoint",
    "Composition",
    "Identity",
    "LinearComposition",
    "Normal",
    "Scaled",
    "Stack",
    "Sum",
    "compose",
    "stack",
]

AnyOperator = Annotated[Operator, Part("operator")]


def compose(*operators: Operator) -> Operator:
    """Return ``operators[0] @ operators[1] @ ...`` as one flat composition; linear if all parts are."""
    parts: list[Operator] = []
    for operator in operators:
        parts.extend(operator.operators if isinstance(operator, Composition) else [operator])  # type: ignore[arg-type]
    parts = [part for part in parts if not isinstance(part, Identity)] or [Identity()]
    if len(parts) == 1:
        return parts[0]
    linear = all(isinstance(part, LinearOperator) for part in parts)
    return LinearComposition(operators=parts) if linear else Composition(operators=parts)


class Composition(Operator):
    """Operators applied one after the other, the last of the list first.

    Parameters
    ----------
    operators
        The factors in mathematical order: ``[A, B]`` is ``A @ B``.
    """

    def __init__(self, *, operators: Sequence[AnyOperator]) -> None:
        super().__init__()
        self.operators = nn.ModuleList(operators)
        for outer, inner in zip(operators, operators[1:], strict=False):
            _check_fit(outer, inner)
        self.input_shape = operators[-1].input_shape
        self.output_shape = operators[0].output_shape
        self.stochastic = any(operator.stochastic for operator in operators)
        self.complex_input = operators[-1].complex_input
        self.complex_output = operators[0].complex_output

    def forward(self, x: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Apply all factors; `generator` goes to the stochastic ones."""
        for operator in reversed(self.operators):
            x = operator(x, generator=generator) if operator.stochastic else operator(x)
        return x

    def sample(self, generator: torch.Generator) -> Operator:
        """Draw every factor that is a random family."""
        drawn = [cast("Operator", operator).sample(generator) for operator in self.operators]
        return self if all(a is b for a, b in zip(drawn, self.operators, strict=True)) else compose(*drawn)

    @property
    def noiseless(self) -> Operator:
        """The composition without its noise."""
        return compose(*(cast("Operator", operator).noiseless for operator in self.operators))


class LinearComposition(Composition, LinearOperator):
    """A composition of linear operators; its adjoint runs the other way round."""

    def adjoint(self, y: Tensor) -> Tensor:
        """Apply the factors' adjoints, the first of the list first."""
        for operator in self.operators:
            y = cast("LinearOperator", operator).adjoint(y)
        return y

    def normal(self, x: Tensor) -> Tensor:
        """Apply (A B)^H A B as B^H (A^H A) B, so that what the outermost factor folds away stays folded."""
        outer, *inner = cast("list[LinearOperator]", list(self.operators))
        for operator in reversed(inner):
            x = operator.forward(x)
        x = outer.normal(x)
        for operator in inner:
            x = operator.adjoint(x)
        return x

    @property
    def H(self) -> LinearOperator:  # noqa: N802
        """The adjoint as a composition."""
        return cast("LinearOperator", compose(*(cast("LinearOperator", op).H for op in reversed(self.operators))))


class Identity(LinearOperator):
    """The identity: y = x, of any shape."""

    def forward(self, x: Tensor) -> Tensor:
        """Return x."""
        return x

    def adjoint(self, y: Tensor) -> Tensor:
        """Return y."""
        return y


class Adjoint(LinearOperator):
    """The adjoint of a linear operator, as an operator."""

    def __init__(self, *, operator: AnyOperator) -> None:
        super().__init__()
        self.operator = _linear(operator)
        self.input_shape, self.output_shape = operator.output_shape, operator.input_shape
        self.complex_input, self.complex_output = operator.complex_output, operator.complex_input

    def forward(self, x: Tensor) -> Tensor:
        """Apply the operator's adjoint."""
        return self.operator.adjoint(x)

    def adjoint(self, y: Tensor) -> Tensor:
        """Apply the operator."""
        return self.operator.forward(y)

    @property
    def H(self) -> LinearOperator:  # noqa: N802
        """The operator itself."""
        return self.operator


class Normal(LinearOperator):
    """A^H A as a self-adjoint operator."""

    def __init__(self, *, operator: AnyOperator) -> None:
        super().__init__()
        self.operator = _linear(operator)
        self.input_shape = self.output_shape = operator.input_shape
        self.complex_input = self.complex_output = operator.complex_input

    def forward(self, x: Tensor) -> Tensor:
        """Apply A^H A."""
        return self.operator.normal(x)

    def adjoint(self, y: Tensor) -> Tensor:
        """Apply A^H A: it is its own adjoint."""
        return self.operator.normal(y)


class Scaled(LinearOperator):
    """A multiple of a linear operator: y = factor * A x, with adjoint conj(factor) * A^H y."""

    def __init__(self, *, operator: AnyOperator, factor: Any) -> None:
        super().__init__()
        self.operator = _linear(operator)
        if isinstance(factor, Tensor):
            self.register_buffer("factor", factor)
        else:
            self.factor = factor
        self.input_shape, self.output_shape = operator.input_shape, operator.output_shape
        self.complex_input, self.complex_output = operator.complex_input, operator.complex_output

    def forward(self, x: Tensor) -> Tensor:
        """Apply the operator and multiply."""
        return self.factor * self.operator.forward(x)  # type: ignore[no-any-return]

    def adjoint(self, y: Tensor) -> Tensor:
        """Apply the adjoint and multiply by the conjugate."""
        return self.factor.conjugate() * self.operator.adjoint(y)  # type: ignore[no-any-return]

    def normal(self, x: Tensor) -> Tensor:
        """Apply |factor|^2 A^H A."""
        return abs(self.factor) ** 2 * self.operator.normal(x)  # type: ignore[no-any-return]


class Sum(LinearOperator):
    """The sum of linear operators of one input and one output shape."""

    def __init__(self, *, operators: Sequence[AnyOperator]) -> None:
        super().__init__()
        self.operators = nn.ModuleList(_linear(operator) for operator in operators)
        self.input_shape = _agree("add", "input", [op.input_shape for op in operators])
        self.output_shape = _agree("add", "output", [op.output_shape for op in operators])
        self.complex_input = any(op.complex_input for op in operators)
        self.complex_output = any(op.complex_output for op in operators)

    def forward(self, x: Tensor) -> Tensor:
        """Add the results."""
        return cast("Tensor", sum(operator(x) for operator in self.operators))

    def adjoint(self, y: Tensor) -> Tensor:
        """Add the adjoints' results."""
        return cast("Tensor", sum(cast("LinearOperator", operator).adjoint(y) for operator in self.operators))


class Stack(LinearOperator):
    """Linear operators on one image, their measurements joined along one axis.

    Parameters
    ----------
    operators
        Operators of one input shape, whose output shapes are known along `axis`.
    axis
        Axis of the batched measurement to join along: 1 is the channel or coil axis.
    """

    def __init__(self, *, operators: Sequence[AnyOperator], axis: int = 1) -> None:
        super().__init__()
        if axis < 1:
            raise UsageError(f"Stack joins along an axis from 1 on (0 is the batch), not {axis}")
        self.operators = nn.ModuleList(_linear(operator) for operator in operators)
        self.axis = axis
        self.input_shape = _agree("stack", "input", [op.input_shape for op in operators])
        shapes = [op.output_shape for op in operators]
        if any(shape is None or shape[axis - 1] is None for shape in shapes):
            raise UsageError(f"Stack needs operators whose output sizes along axis {axis} are known, got {shapes}")
        self.sizes = [cast("int", cast("Shape", shape)[axis - 1]) for shape in shapes]
        first = list(cast("Shape", shapes[0]))
        first[axis - 1] = sum(self.sizes)
        self.output_shape = tuple(first)
        self.complex_input = any(op.complex_input for op in operators)
        self.complex_output = any(op.complex_output for op in operators)

    def forward(self, x: Tensor) -> Tensor:
        """Join the measurements of all operators."""
        return torch.cat([operator(x) for operator in self.operators], dim=self.axis)

    def adjoint(self, y: Tensor) -> Tensor:
        """Add the adjoints of the measurement's parts."""
        parts = y.split(self.sizes, dim=self.axis)
        pairs = zip(self.operators, parts, strict=True)
        return cast("Tensor", sum(cast("LinearOperator", operator).adjoint(part) for operator, part in pairs))

    def normal(self, x: Tensor) -> Tensor:
        """Add the operators' normals, so that what each folds away stays folded."""
        return cast("Tensor", sum(cast("LinearOperator", operator).normal(x) for operator in self.operators))


def stack(*operators: LinearOperator, axis: int = 1) -> Stack:
    """Join the measurements of several operators along `axis` of the batched measurement."""
    return Stack(operators=operators, axis=axis)


def _linear(operator: Operator) -> LinearOperator:
    if not isinstance(operator, LinearOperator):
        raise UsageError(f"{type(operator).__name__} is not linear; take operator.noiseless if it is only noisy")
    return operator


def _check_fit(outer: Operator, inner: Operator) -> None:
    if not _fits(outer.input_shape, inner.output_shape):
        raise UsageError(
            f"cannot compose {type(outer).__name__} @ {type(inner).__name__}: the first takes {outer.input_shape}, "
            f"the second gives {inner.output_shape}"
        )


def _fits(a: Shape | None, b: Shape | None) -> bool:
    if a is None or b is None:
        return True
    return len(a) == len(b) and all(m is None or n is None or m == n for m, n in zip(a, b, strict=True))


def _agree(verb: str, side: str, shapes: list[Shape | None]) -> Shape | None:
    known = [shape for shape in shapes if shape is not None]
    for shape in known[1:]:
        if not _fits(known[0], shape):
            raise UsageError(f"cannot {verb} operators whose {side} shapes differ: {known[0]} and {shape}")
    return known[0] if known else None
