"""What operators made of operators have in common."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
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
        return self._with_parts(lambda part: part.sample(generator))

    @property
    def awaited(self) -> tuple[str, ...]:
        """Names that a part awaits."""
        parts = [part for value in self._parts().values() for part in (value if isinstance(value, list) else [value])]
        return tuple(dict.fromkeys(name for part in parts for name in part.awaited))

    def for_items(self, items: Mapping[str, Tensor]) -> Operator:
        """Return the operator whose parts are those of these items; the operator itself if no part awaits any."""
        return self._with_parts(lambda part: part.for_items(items))

    def _parts(self) -> dict[str, Operator | list[Operator]]:
        """Return the arguments that are operators, or lists of them."""
        return {
            name: list(cast("Iterable[Operator]", value)) if isinstance(value, nn.ModuleList) else value
            for name, value in self.arguments().items()
            if isinstance(value, (Operator, nn.ModuleList))
        }

    def _with_parts(self, change: Callable[[Operator], Operator]) -> Operator:
        changes: dict[str, Any] = {}
        for name, value in self._parts().items():
            old = value if isinstance(value, list) else [value]
            new = [change(part) for part in old]
            if any(a is not b for a, b in zip(new, old, strict=True)):
                changes[name] = new if isinstance(value, list) else new[0]
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
