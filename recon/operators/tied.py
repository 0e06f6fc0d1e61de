"""Linear maps whose backward is their adjoint."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Literal, cast

import torch
from torch import Tensor

__all__ = ["followed", "tie"]

Map = Callable[[Any, Tensor], Tensor]
Side = Literal["forward", "adjoint"]


def tie(method: Map, side: Side) -> Map:
    """Return `method`, an operator's `side`, such that its backward is the operator's other side.

    Being tied in turn, the other side makes every order of differentiation right, in forward and reverse mode.
    The operator's own tensors are constants: no gradient reaches them.
    """
    if getattr(method, "tied", False):
        return method

    @functools.wraps(method)
    def tied(self: Any, x: Tensor) -> Tensor:
        if torch.compiler.is_compiling():
            return cast("Tensor", _Compiled.apply(x, self, method, side))  # type: ignore[no-untyped-call]
        if not followed(x):
            with torch.no_grad():
                return method(self, x)
        return cast("Tensor", _Tied.apply(x, self, method, side))  # type: ignore[no-untyped-call]

    tied.tied = True  # type: ignore[attr-defined]
    return tied


def followed(*tensors: Tensor) -> bool:
    """Whether autograd or functorch follows one of these; a call through `torch.autograd.Function` costs 0.1 ms."""
    return torch._C._are_functorch_transforms_active() or any(
        (x.requires_grad and torch.is_grad_enabled()) or torch.autograd.forward_ad.unpack_dual(x).tangent is not None  # type: ignore[no-untyped-call]
        for x in tensors
    )


class _Compiled(torch.autograd.Function):
    """One application of a linear map, as far as torch.compile can trace it: without jvp and vmap."""

    @staticmethod
    def forward(x: Tensor, operator: Any, method: Map, side: Side) -> Tensor:  # noqa: ARG004
        # A view: of a method that ends in `contiguous()` torch 2.11 would compile a gradient of zeros.
        y = method(operator, x)
        return y.view(y.shape)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG004
        x, ctx.operator, _, ctx.side = inputs
        ctx.complex_input = x.is_complex()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        other = ctx.operator.adjoint if ctx.side == "forward" else ctx.operator.forward
        result = other(grad)
        # The gradient of a real image is real, also where the measurement is complex.
        return result if ctx.complex_input or not result.is_complex() else result.real, None, None, None


class _Tied(_Compiled):
    """One application of a linear map. Its kernels may be opaque to autograd and to functorch."""

    @staticmethod
    def forward(x: Tensor, operator: Any, method: Map, side: Side) -> Tensor:  # noqa: ARG004
        return method(operator, x)

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *_: Any) -> Tensor:
        result: Tensor = getattr(ctx.operator, ctx.side)(tangent)
        return result

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], x: Tensor, *rest: Any) -> tuple[Tensor, int]:
        # Items of a batch are independent, so the mapped axis joins the batch.
        batch = x.movedim(cast("int", in_dims[0]), 0).flatten(0, 1)
        result = cast("Tensor", _Tied.apply(batch, *rest))  # type: ignore[no-untyped-call]
        return result.reshape(info.batch_size, -1, *result.shape[1:]), 0
