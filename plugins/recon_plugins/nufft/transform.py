"""Sums at arbitrary frequencies with gradients of any order, with respect to the data and to the frequencies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from recon_plugins.nufft.plans import transform

__all__ = ["to_image", "to_samples"]


@torch.compiler.disable  # type: ignore[untyped-decorator]
def to_samples(image: Tensor, points: Tensor, *, eps: float, scale: float = 1.0) -> Tensor:
    """Return y_j = scale sum_r x_r exp(-i w_j . (r - n // 2)).

    Shapes: image (..., *size) complex, points w (M, dimensions) in radians per pixel -> (..., M).
    """
    return cast("Tensor", _ToSamples.apply(image, points, eps, scale))


@torch.compiler.disable  # type: ignore[untyped-decorator]
def to_image(samples: Tensor, points: Tensor, *, size: Sequence[int], eps: float, scale: float = 1.0) -> Tensor:
    """Return x_r = scale sum_j y_j exp(+i w_j . (r - n // 2)), the adjoint of `to_samples`.

    Shapes: samples (..., M) complex, points w (M, dimensions) in radians per pixel -> (..., *size).
    """
    return cast("Tensor", _ToImage.apply(samples, points, tuple(size), eps, scale))


def _positions(size: Sequence[int], like: Tensor) -> list[Tensor]:
    """Return r - n // 2 along each axis, in shapes that broadcast to images."""
    real = like.dtype.to_real()
    axes = [torch.arange(n, device=like.device, dtype=real) - n // 2 for n in size]
    return [axis.reshape(-1, *[1] * (len(size) - 1 - d)) for d, axis in enumerate(axes)]


def _point_gradient(image: Tensor, samples: Tensor, points: Tensor, eps: float, scale: float) -> Tensor:
    """Return Re sum conj(y_j) d(A x)_j / dw_j, summed over all but the points: (M, dimensions).

    d(A x)_j / dw_jd = A[-i (r_d - n_d // 2) x]_j exactly, so the gradient costs one transform for each axis.
    """
    size = image.shape[image.ndim - points.shape[-1] :]
    moments = torch.stack([-1j * r * image for r in _positions(size, image)])
    rates = (samples.conj() * to_samples(moments, points, eps=eps, scale=scale)).real
    return rates.flatten(1, -2).sum(1).T.to(points.dtype) if rates.ndim > 2 else rates.T.to(points.dtype)


class _ToSamples(torch.autograd.Function):
    @staticmethod
    def forward(image: Tensor, points: Tensor, eps: float, scale: float) -> Tensor:
        return transform("samples", image, points, image.shape[image.ndim - points.shape[-1] :], eps, scale)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG004
        image, points, ctx.eps, ctx.scale = inputs
        ctx.save_for_backward(image, points)
        ctx.save_for_forward(image, points)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        image, points = ctx.saved_tensors
        wants_image, wants_points, *_ = ctx.needs_input_grad
        size = image.shape[image.ndim - points.shape[-1] :]
        return (
            to_image(grad, points, size=size, eps=ctx.eps, scale=ctx.scale) if wants_image else None,
            _point_gradient(image, grad, points, ctx.eps, ctx.scale) if wants_points else None,
            None,
            None,
        )

    @staticmethod
    def jvp(ctx: Any, image_rate: Tensor | None, points_rate: Tensor | None, *_: Any) -> Tensor:
        image, points = ctx.saved_tensors
        rate = torch.zeros_like(image) if image_rate is None else image_rate
        result = to_samples(rate, points, eps=ctx.eps, scale=ctx.scale)
        if points_rate is not None:
            for d, r in enumerate(_positions(image.shape[image.ndim - points.shape[-1] :], image)):
                change = to_samples(-1j * r * image, points, eps=ctx.eps, scale=ctx.scale)
                result = result + change * points_rate[:, d]
        return result

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *args: Any) -> tuple[Tensor, int]:
        return _mapped(_ToSamples.apply, info.batch_size, in_dims, args)


class _ToImage(torch.autograd.Function):
    @staticmethod
    def forward(samples: Tensor, points: Tensor, size: tuple[int, ...], eps: float, scale: float) -> Tensor:
        return transform("image", samples, points, size, eps, scale)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG004
        samples, points, ctx.size, ctx.eps, ctx.scale = inputs
        ctx.save_for_backward(samples, points)
        ctx.save_for_forward(samples, points)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        samples, points = ctx.saved_tensors
        wants_samples, wants_points, *_ = ctx.needs_input_grad
        return (
            to_samples(grad, points, eps=ctx.eps, scale=ctx.scale) if wants_samples else None,
            _point_gradient(grad, samples, points, ctx.eps, ctx.scale) if wants_points else None,
            None,
            None,
            None,
        )

    @staticmethod
    def jvp(ctx: Any, samples_rate: Tensor | None, points_rate: Tensor | None, *_: Any) -> Tensor:
        samples, points = ctx.saved_tensors
        rate = torch.zeros_like(samples) if samples_rate is None else samples_rate
        how = {"size": ctx.size, "eps": ctx.eps, "scale": ctx.scale}
        result = to_image(rate, points, **how)
        if points_rate is not None:
            for d, r in enumerate(_positions(ctx.size, samples)):
                result = result + 1j * r * to_image(samples * points_rate[:, d], points, **how)
        return result

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *args: Any) -> tuple[Tensor, int]:
        return _mapped(_ToImage.apply, info.batch_size, in_dims, args)


def _mapped(
    function: Callable[..., Any], count: int, in_dims: tuple[int | None, ...], args: tuple[Any, ...]
) -> tuple[Tensor, int]:
    """Map over data in one call, since leading axes are free, and over points one by one."""
    (data, points, *rest), (data_dim, points_dim, *_) = args, in_dims
    data = data.expand(count, *data.shape) if data_dim is None else data.movedim(data_dim, 0)
    if points_dim is None:
        return function(data, points, *rest), 0
    points = points.movedim(points_dim, 0)
    return torch.stack([function(d, p, *rest) for d, p in zip(data, points, strict=True)]), 0
