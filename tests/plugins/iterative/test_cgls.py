"""CGLS against SciPy."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

import recon
from recon.errors import ParameterError
from recon.iteration import Stop
from recon_plugins.iterative import CGLS


@pytest.mark.parametrize("damping", [0.0, 0.3])
@pytest.mark.parametrize("iterations", [1, 3, 6])  # later, rounding errors grow as in any Krylov method
def test_equals_lsqr_step_by_step(small, damping: float, iterations: int) -> None:
    from scipy.sparse.linalg import lsqr

    s = small()
    expected = lsqr(s.matrix, s.data, damp=damping**0.5, atol=0, btol=0, conlim=0, iter_lim=iterations)[0]
    x = CGLS(iterations=iterations, damping=damping)(s.y, s.operator).flatten().numpy()
    assert np.linalg.norm(x - expected) < 1e-10 * np.linalg.norm(expected)


@pytest.mark.parametrize("damping", [0.0, 0.3])
def test_tends_to_the_least_squares_solution_and_stays_there(small, damping: float) -> None:
    s = small()
    stacked = np.concatenate([s.matrix, damping**0.5 * np.eye(63)])
    expected = np.linalg.lstsq(stacked, np.concatenate([s.data, np.zeros(63)]), rcond=None)[0]
    for iterations in (150, 400):
        x = CGLS(iterations=iterations, damping=damping)(s.y, s.dense).flatten().numpy()
        assert np.linalg.norm(x - expected) < 1e-10 * np.linalg.norm(expected)


def test_complex_measurements_and_real_images(dense) -> None:
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(30, 12, dtype=torch.complex128, generator=generator)
    y = torch.randn(2, 30, dtype=torch.complex128, generator=generator)
    operator = dense(matrix, (1, 2, 2, 3))
    x = CGLS(iterations=40)(y, operator).flatten(1)
    torch.testing.assert_close(x, torch.linalg.lstsq(matrix, y.T).solution.T)
    real = CGLS(iterations=40, constraint="real")(y, operator)
    stacked = torch.linalg.lstsq(torch.cat([matrix.real, matrix.imag]), torch.cat([y.real, y.imag], 1).T).solution.T
    torch.testing.assert_close(real.flatten(1), stacked)


def test_warm_start_solves_the_same_problem(small) -> None:
    s = small()
    for damping in (0.0, 0.5):
        method = CGLS(iterations=300, damping=damping)
        torch.testing.assert_close(method(s.y, s.dense, x0=5 * torch.ones_like(s.x)), method(s.y, s.dense))


def test_residual_never_rises_and_is_true(small) -> None:
    s = small()
    states = list(CGLS(iterations=40).iterate(s.y.float(), s.operator))
    values = [float(state.residual) for state in states]
    assert all(b <= a * (1 + 1e-5) for a, b in pairwise(values))
    true = float((s.operator(states[-1].x) - s.y.float()).norm())
    assert values[-1] == pytest.approx(true, rel=1e-3)


def test_solution_in_one_step_stands_still() -> None:
    """A unitary operator is inverted at once; what follows divides nothing by zero."""
    operator = recon.build("operator", "fourier")
    x = torch.randn(2, 1, 8, 7, dtype=torch.complex128, generator=torch.Generator().manual_seed(0))
    x[1] = 0
    torch.testing.assert_close(CGLS(iterations=50)(operator(x), operator), x)
    states = list(CGLS(iterations=50, stop=Stop(residual=1e-9)).iterate(operator(x), operator))
    assert len(states) == 2


def test_items_are_independent(small) -> None:
    s = small()
    y = torch.cat([s.y, 0.1 * s.y.flip(-1), 0 * s.y])
    method = CGLS(iterations=12)
    x = method(y, s.operator)
    torch.testing.assert_close(x[1:2], method(y[1:2], s.operator))
    assert (x[2] == 0).all()


def test_bounds_are_refused() -> None:
    with pytest.raises(ParameterError, match="constraint"):
        recon.build("method", "cgls", constraint="nonnegative")
