"""Operators one after the other."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor

from recon.errors import UsageError
from recon.operators.algebra import Adjoint, Identity
from recon.operators.base import LinearOperator, Operator, fits
from recon.operators.combined import AnyOperator, Combined, as_linear, as_parts

__all__ = ["Composition", "LinearComposition", "compose"]


def compose(*operators: Operator) -> Operator:
    """Return ``operators[0] @ operators[1] @ ...`` as one flat composition; linear if all parts are.

    Identities vanish, ``A.H @ A`` becomes ``A.N``, which may be cheaper than its two factors, and so does what an
    operator can merge with (`Operator.after`).
    """
    parts: list[Operator] = []
    for operator in operators:
        for part in operator.operators if isinstance(operator, Composition) else [operator]:
            if parts and isinstance(parts[-1], Adjoint) and parts[-1].operator is part:
                parts[-1] = parts[-1].operator.N
            elif parts and (merged := parts[-1].after(part)) is not None:
                parts[-1] = merged
            elif not isinstance(part, Identity):
                parts.append(part)
    if len(parts) < 2:
        return parts[0] if parts else Identity()
    linear = all(isinstance(part, LinearOperator) for part in parts)
    return LinearComposition(operators=parts) if linear else Composition(operators=parts)


class Composition(Combined):
    """Operators applied one after the other, the last of the list first.

    Parameters
    ----------
    operators
        The factors in mathematical order: ``[A, B]`` is ``A @ B``.
    """

    def __init__(self, *, operators: Sequence[AnyOperator]) -> None:
        super().__init__()
        self.operators = as_parts(operators)
        for outer, inner in itertools.pairwise(operators):
            if not fits(outer.input_shape, inner.output_shape):
                raise UsageError(
                    f"cannot compose {type(outer).__name__} @ {type(inner).__name__}: "
                    f"the first takes {outer.input_shape}, the second gives {inner.output_shape}"
                )
        self.input_shape, self.output_shape = operators[-1].input_shape, operators[0].output_shape
        self.complex_input, self.complex_output = operators[-1].complex_input, operators[0].complex_output
        self.input_unit = operators[-1].input_unit
        self.stochastic = any(operator.stochastic for operator in operators)

    def forward(self, x: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Apply all factors; `generator` goes to the stochastic ones."""
        for operator in reversed(self.operators):
            x = operator(x, generator=generator) if operator.stochastic else operator(x)
        return x

    @property
    def noiseless(self) -> Operator:
        """The composition without its noise."""
        return compose(*(operator.noiseless for operator in self.operators))


class LinearComposition(Composition, LinearOperator):
    """A composition of linear operators; its adjoint runs the other way round."""

    operators: Sequence[LinearOperator]

    def __init__(self, *, operators: Sequence[AnyOperator]) -> None:
        super().__init__(operators=[as_linear(operator) for operator in operators])

    def adjoint(self, y: Tensor) -> Tensor:
        """Apply the factors' adjoints, the first of the list first."""
        for operator in self.operators:
            y = operator.adjoint(y)
        return y

    def normal(self, x: Tensor) -> Tensor:
        """Apply (A B)^H A B as B^H (A^H A) B, so that what the outermost factor folds away stays folded."""
        outer, *inner = self.operators
        for operator in reversed(inner):
            x = operator(x)
        x = outer.normal(x)
        for operator in inner:
            x = operator.adjoint(x)
        return x

    @property
    def H(self) -> LinearOperator:  # noqa: N802
        """The adjoint as a composition."""
        return cast("LinearOperator", compose(*(operator.H for operator in reversed(self.operators))))
