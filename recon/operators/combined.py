"""What operators made of operators have in common."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, TypeVar, cast

import torch
from torch import Tensor, nn

from recon.errors import UsageError
from recon.operators.base import LinearOperator, Operator, Shape, fits
from recon.schema import Part

__all__ = ["AnyOperator", "Combined", "agree", "as_linear", "as_parts", "total"]

AnyOperator = Annotated[Operator, Part("operator")]
"""Annotation of a constructor argument that is an operator, or the config of one."""

T = TypeVar("T", bound=Operator)


class Combined(Operator):
    """An operator whose constructor takes operators."""

    def sample(self, generator: torch.Generator) -> Operator:
        """Draw every part that is a random family; the operator itself if none is."""
        changes: dict[str, Any] = {}
        for name, value in self.arguments().items():
            if isinstance(value, Operator):
                drawn: Any = value.sample(generator)
                changed = drawn is not value
            elif isinstance(value, nn.ModuleList):
                drawn = [cast("Operator", part).sample(generator) for part in value]
                changed = any(new is not old for new, old in zip(drawn, value, strict=True))
            else:
                continue
            if changed:
                changes[name] = drawn
        return self.with_(**changes) if changes else self


def as_parts(operators: Iterable[T]) -> Sequence[T]:
    """Register operators as submodules, in a list whose items type checkers know."""
    return cast("Sequence[T]", nn.ModuleList(operators))


def as_linear(operator: Operator) -> LinearOperator:
    """Return the operator, or refuse it if it is not linear."""
    if not isinstance(operator, LinearOperator):
        raise UsageError(f"{type(operator).__name__} is not linear; take operator.noiseless if it is only noisy")
    return operator


def total(terms: Iterable[Tensor]) -> Tensor:
    """Add tensors."""
    return functools.reduce(torch.add, terms)


def agree(verb: str, side: str, shapes: Sequence[Shape | None]) -> Shape | None:
    """Merge shapes axis by axis: what one leaves open, another may fix."""
    merged: Shape | None = None
    for shape in shapes:
        if not fits(merged, shape):
            raise UsageError(f"cannot {verb} operators whose {side} shapes differ: {merged} and {shape}")
        if merged is not None and shape is not None:
            shape = tuple(n if m is None else m for m, n in zip(merged, shape, strict=True))
        merged = merged if shape is None else shape
    return merged
