"""Iterative solvers that operators and methods need themselves."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["conjugate_gradient", "squared_norm"]


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
    axes = tuple(range(1, b.ndim))

    def inner(u: Tensor, v: Tensor) -> Tensor:
        return (u.conj() * v).real.sum(axes, keepdim=True)

    x = torch.zeros_like(b) if x0 is None else x0
    r = b if x0 is None else b - normal(x)
    p = r
    rr = inner(r, r)
    limit = tolerance**2 * inner(b, b)
    for _ in range(iterations):
        active = ~(rr <= limit)  # NaN counts as active and so reaches the result
        if tolerance and not bool(active.any()):
            break
        q = normal(p)
        pq = inner(p, q)
        # The denominators of items at rest are 1: they divide nothing by zero, nor does their gradient.
        alpha = torch.where(active, rr / torch.where(active & (pq != 0), pq, 1), 0)
        x = x + alpha * p
        r = r - alpha * q
        rr_new = inner(r, r)
        p = r + torch.where(active, rr_new / torch.where(active, rr, 1), 0) * p
        rr = rr_new
    return x


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
