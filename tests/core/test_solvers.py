"""Conjugate gradients, against direct solvers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from recon.solvers import conjugate_gradient


def randn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def hermitian(n: int, dtype: torch.dtype = torch.float64) -> Tensor:
    matrix = randn(n, n, dtype=dtype)
    return matrix @ matrix.mH + torch.eye(n, dtype=dtype)


def apply(matrix: Tensor):
    return lambda x: x @ matrix.T


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_solves_as_a_direct_solver_does(dtype: torch.dtype) -> None:
    matrix, b = hermitian(8, dtype), randn(3, 8, seed=1, dtype=dtype)
    expected = torch.linalg.solve(matrix, b.T).T
    torch.testing.assert_close(conjugate_gradient(apply(matrix), b, tolerance=1e-13), expected)
    torch.testing.assert_close(conjugate_gradient(apply(matrix), b, tolerance=0, iterations=30), expected)
    start = randn(3, 8, seed=2, dtype=dtype)
    torch.testing.assert_close(conjugate_gradient(apply(matrix), b, x0=start, tolerance=1e-13), expected)


def test_ends_after_as_many_steps_as_there_are_eigenvalues() -> None:
    matrix = torch.diag(torch.tensor([1.0, 1.0, 5.0, 5.0, 9.0], dtype=torch.float64))
    b = randn(1, 5)
    torch.testing.assert_close(conjugate_gradient(apply(matrix), b, iterations=3, tolerance=0), b / matrix.diagonal())
    rough = conjugate_gradient(apply(matrix), b, iterations=2, tolerance=0)
    assert not torch.allclose(rough, b / matrix.diagonal(), rtol=1e-3)


def test_stops_at_the_tolerance() -> None:
    matrix, b = hermitian(20), randn(2, 20, seed=1)
    calls = 0

    def normal(x: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return x @ matrix.T

    x = conjugate_gradient(normal, b, iterations=500, tolerance=1e-3)
    residual = torch.linalg.vector_norm(matrix @ x.T - b.T, dim=0) / torch.linalg.vector_norm(b, dim=1)
    assert residual.max() <= 1e-3
    assert calls < 40
    calls = 0
    conjugate_gradient(normal, b, x0=torch.linalg.solve(matrix, b.T).T, tolerance=1e-6)
    assert calls == 1, "only the residual of the start"


def test_an_item_does_not_depend_on_its_neighbours() -> None:
    """An easy item stops early; a hard one beside it must not push it further."""
    matrix = torch.diag(torch.logspace(0, 4, 12, dtype=torch.float64))
    easy = torch.zeros(1, 12, dtype=torch.float64)
    easy[0, 0], easy[0, 1] = 1.0, 1e-3
    hard, zero = torch.ones(1, 12, dtype=torch.float64), torch.zeros(1, 12, dtype=torch.float64)
    together = conjugate_gradient(apply(matrix), torch.cat([easy, hard, zero]), tolerance=1e-2)
    for item, b in zip(together, (easy, hard, zero), strict=True):
        assert torch.equal(item, conjugate_gradient(apply(matrix), b, tolerance=1e-2)[0])
    assert torch.equal(together[2:], zero)


@pytest.mark.parametrize("tolerance", [0, 1e-6])
def test_nan_comes_through_and_stays_in_its_item(tolerance: float) -> None:
    matrix, b = hermitian(4), randn(2, 4)
    b[0, 1] = torch.nan
    x = conjugate_gradient(apply(matrix), b, tolerance=tolerance)
    assert x[0].isnan().all()
    torch.testing.assert_close(x[1], torch.linalg.solve(matrix, b[1]), rtol=1e-5, atol=1e-6)
    alone = conjugate_gradient(apply(matrix), b[:1], tolerance=tolerance)
    assert alone.isnan().all(), "never the zeros that the solver started from"


def test_differentiates_past_convergence() -> None:
    matrix = hermitian(3)
    b = torch.cat([randn(1, 3), torch.zeros(1, 3, dtype=torch.float64)]).requires_grad_()
    x = conjugate_gradient(apply(matrix), b, iterations=3, tolerance=0)
    (gradient,) = torch.autograd.grad(x[0].sum(), b)
    torch.testing.assert_close(gradient[0], torch.linalg.solve(matrix, torch.ones(3, dtype=torch.float64)))
    assert gradient.isfinite().all()


def test_singular_systems_reach_the_solution_of_smallest_norm() -> None:
    matrix = torch.diag(torch.tensor([2.0, 3.0, 0.0], dtype=torch.float64))
    b = torch.tensor([[2.0, 3.0, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(
        conjugate_gradient(apply(matrix), b), torch.tensor([[1.0, 1.0, 0.0]], dtype=torch.float64)
    )
