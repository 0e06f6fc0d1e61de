"""Iterative solvers that operators and methods need themselves."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

__all__ = ["conjugate_gradient", "conjugate_gradient_steps", "squared_norm"]


def conjugate_gradient(
    normal: Callable[[Tensor], Tensor],
    b: Tensor,
    *,
    x0: Tensor | None = None,
    iterations: int = 50,
    tolerance: float = 1e-6,
) -> Tensor:
    """Solve M x = b for a Hermitian positive semi-definite M, each item of the batch by its own steps.

    An item that has reached the tolerance stands still, so that its result does not depend on its neighbours.

    Shapes: b and x (batch, ...), real or complex.

    Parameters
    ----------
    normal
        The map M.
    b
        Right-hand side.
    x0
        Start; zero by default.
    iterations
        Most steps to take.
    tolerance
        Stop when |M x - b| <= tolerance |b| for every item; 0 never looks, and so never waits for the device.

    References
    ----------
    Hestenes and Stiefel, J. Res. Natl. Bur. Stand. 1952, doi:10.6028/jres.049.044
    """
    x = torch.zeros_like(b) if x0 is None else x0
    steps = conjugate_gradient_steps(normal, b, x0=x0, tolerance=tolerance)
    for x in itertools.islice(steps, iterations):  # noqa: B007 - the last one is the result
        pass
    return x


def conjugate_gradient_steps(
    normal: Callable[[Tensor], Tensor], b: Tensor, *, x0: Tensor | None = None, tolerance: float = 0.0
) -> Iterator[Tensor]:
    """Yield x after each step of `conjugate_gradient`, until every item has reached the tolerance, if there is one."""
    real, apply = b, normal
    if b.is_complex():
        # A Hermitian problem is a symmetric one for real and imaginary parts side by side, with cheaper products.
        real = torch.view_as_real(b.resolve_conj())

        def apply(p: Tensor) -> Tensor:
            return torch.view_as_real(normal(torch.view_as_complex(p)).resolve_conj())

    axes = tuple(range(1, real.ndim))

    def inner(u: Tensor, v: Tensor) -> Tensor:
        return (u * v).sum(axes, keepdim=True)

    if x0 is None:
        x, r = torch.zeros_like(real), real
    else:
        x = torch.view_as_real(x0.to(b.dtype).resolve_conj()) if b.is_complex() else x0
        r = real - apply(x)
    p = r
    rr = inner(r, r)
    limit = tolerance**2 * inner(real, real)
    while True:
        active = ~(rr <= limit)  # NaN counts as active and so reaches the result
        if tolerance and not bool(active.any()):
            return
        q = apply(p)
        pq = inner(p, q)
        # The denominators of items at rest are 1: they divide nothing by zero, nor does their gradient.
        alpha = torch.where(active, rr / torch.where(active & (pq != 0), pq, 1), 0)
        x = torch.addcmul(x, alpha, p)
        yield torch.view_as_complex(x) if b.is_complex() else x
        r = torch.addcmul(r, alpha, q, value=-1)
        rr_new = inner(r, r)
        p = torch.addcmul(r, torch.where(active, rr_new / torch.where(active, rr, 1), 0), p)
        rr = rr_new


def squared_norm(normal: Callable[[Tensor], Tensor], like: Tensor, iterations: int = 20) -> Tensor:
    """Estimate |A|^2 of each item by power iteration on A^H A, from below and from a start that all batches share.

    Parameters
    ----------
    normal
        The map A^H A.
    like
        Tensor of the images' shape, dtype and device.
    iterations
        Steps to take.
    """
    start = torch.randn(like.shape[1:], generator=torch.Generator().manual_seed(0), dtype=like.dtype)
    x = start.to(like.device).expand_as(like)
    for _ in range(iterations):
        length = torch.linalg.vector_norm(x.flatten(1), dim=1).reshape(-1, *[1] * (x.ndim - 1))
        x = normal(x / torch.where(length > 0, length, 1))
    value: Tensor = torch.linalg.vector_norm(x.flatten(1), dim=1)
    return value
