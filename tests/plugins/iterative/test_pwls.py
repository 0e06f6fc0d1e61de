"""Penalised weighted least squares against SciPy's dense minimiser and against primal-dual total variation."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

import recon
from recon.errors import UsageError
from recon.iteration import Stop
from recon_plugins.iterative import PDHG, PWLS
from recon_plugins.iterative.photons import count_weights

PHOTONS = 1e3


def minimum(s, weight, delta, weights, nonnegative):
    """Minimise with L-BFGS-B on dense matrices."""
    from scipy.optimize import minimize

    height, width = s.x.shape[2:]
    pixels = np.arange(height * width).reshape(height, width)
    neighbours = ((pixels[1:], pixels[:-1]), (pixels[:, 1:], pixels[:, :-1]))
    pairs = np.concatenate([np.stack(pair, -1).reshape(-1, 2) for pair in neighbours])
    d = np.zeros((len(pairs), pixels.size))
    d[np.arange(len(pairs)), pairs[:, 0]], d[np.arange(len(pairs)), pairs[:, 1]] = 1, -1

    def value(x):
        r, t = s.matrix @ x - s.data, d @ x
        huber = np.where(np.abs(t) <= delta, t**2 / 2, delta * (np.abs(t) - delta / 2))
        slope = s.matrix.T @ (weights * r) + weight * d.T @ np.clip(t, -delta, delta)
        return 0.5 * (weights * r**2).sum() + weight * huber.sum(), slope

    bounds = [(0, None)] * pixels.size if nonnegative else None
    options = {"maxiter": 20000, "maxfun": 100000, "ftol": 1e-16, "gtol": 1e-9, "maxcor": 40}
    result = minimize(value, np.zeros(pixels.size), jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    return result.x, result.fun


@pytest.mark.parametrize("constraint", ["none", "nonnegative"])
@pytest.mark.parametrize("delta", [None, 0.02])
def test_fixed_point_equals_a_dense_minimiser(small, delta, constraint: str) -> None:
    s = small(noise=0.1)
    weights = PHOTONS * np.exp(-s.data)
    expected, best = minimum(s, 20.0, np.inf if delta is None else delta, weights, constraint == "nonnegative")
    method = PWLS(
        weight=20.0,
        photons=PHOTONS,
        penalty="quadratic" if delta is None else "huber",
        delta=delta,
        constraint=constraint,
        iterations=1000,
    )
    x = method(s.y, s.dense)
    assert float(method.objective(x, s.y, s.dense)) == pytest.approx(best, rel=1e-10)
    assert np.abs(x.flatten().numpy() - expected).max() < 1e-5
    if constraint == "nonnegative":
        assert (x == 0).any()


def test_total_variation_reaches_the_objective_of_primal_dual(small) -> None:
    s = small(noise=0.1)
    for weight in (3.0, 30.0):
        method = PWLS(weight=weight, photons=PHOTONS, penalty="tv", constraint="nonnegative", iterations=150)
        other = PDHG(weight=weight, photons=PHOTONS, constraint="nonnegative", iterations=1500)
        values = [m.objective(m(s.y, s.dense), s.y, s.dense) for m in (method, other)]
        assert float(values[0] / values[1]) == pytest.approx(1, abs=1e-5)


def test_objective_never_rises_without_momentum_and_falls_faster_with_it(small) -> None:
    s = small()
    for penalty, delta in (("quadratic", None), ("huber", 0.05)):
        plain = PWLS(weight=5.0, photons=PHOTONS, penalty=penalty, delta=delta, momentum=False, iterations=40)
        values = [float(state.objective) for state in plain.iterate(s.y, s.dense)]
        assert all(b <= a for a, b in pairwise(values))
        fast = PWLS(weight=5.0, photons=PHOTONS, penalty=penalty, delta=delta, iterations=40)
        best = float(PWLS(weight=5.0, photons=PHOTONS, penalty=penalty, delta=delta, iterations=2000).objective(
            fast(s.y, s.dense), s.y, s.dense))  # fmt: skip
        assert best < values[-1]


def test_subsets_are_faster_at_first(small) -> None:
    s = small(size=(12, 12), angles=40)
    best = PWLS(weight=20.0, photons=PHOTONS, iterations=500)
    least = best.objective(best(s.y, s.dense), s.y, s.dense)
    gaps = {}
    for subsets in (1, 5):
        method = PWLS(weight=20.0, photons=PHOTONS, subsets=subsets, iterations=4)
        gaps[subsets] = float(method.objective(method(s.y, s.operator), s.y, s.dense) / least - 1)
    assert gaps[5] < gaps[1] / 4
    many = PWLS(weight=20.0, photons=PHOTONS, subsets=5, iterations=40)
    assert float(many.objective(many(s.y, s.operator), s.y, s.dense) / least - 1) < 0.02


def test_statistical_weights_pay(dense) -> None:
    """Rays through metal carry few photons; weighing them down takes much of the error of equal weights."""
    generator = torch.Generator().manual_seed(0)
    x = torch.zeros(1, 1, 24, 24, dtype=torch.float64)
    x[..., 4:20, 3:21] = 0.05
    x[..., 8:11, 6:9] = x[..., 13:16, 15:18] = 1.0
    operator = recon.build("operator", "radon", size=(24, 24), angles=45)
    counts = torch.poisson(2e4 * torch.exp(-operator(x)), generator=generator).clamp(min=1)
    y = -torch.log(counts / 2e4)
    dense = dense(operator.matrix(), (1, 24, 24), (1, *operator.sinogram_size))
    errors = []
    for photons, weight in ((2e4, 300.0), (None, 0.3)):
        methods = [
            PWLS(weight=weight * f, photons=photons, iterations=100, constraint="nonnegative") for f in (0.1, 1, 10)
        ]
        errors.append(min(float((method(y, dense) - x).norm() / x.norm()) for method in methods))
    assert errors[0] < 0.7 * errors[1]


def test_weights_of_counts() -> None:
    y = torch.tensor([[0.0, 1.0, 5.0]], dtype=torch.float64)
    n = 100 * torch.exp(-y)
    torch.testing.assert_close(count_weights(y, 100.0), n)
    torch.testing.assert_close(count_weights(y, 100.0, 3.0), n**2 / (n + 9))
    generator = torch.Generator().manual_seed(0)
    counts = torch.poisson(torch.full((200000,), 500.0, dtype=torch.float64), generator=generator)
    counts = counts + 20 * torch.randn(counts.shape, dtype=counts.dtype, generator=generator)
    variance = torch.log(counts / 1000).var()
    weight = count_weights(torch.full((1, 1), float(np.log(2)), dtype=torch.float64), 1000.0, 20.0)
    assert float(variance * weight) == pytest.approx(1, abs=0.02)


def test_given_weights_and_the_rule_of_chi_square(small) -> None:
    s = small(size=(16, 16), angles=40, noise=0.0)
    sigma = 0.05 + 0.1 * torch.rand(s.y.shape, dtype=s.y.dtype, generator=torch.Generator().manual_seed(1))
    y = s.y + sigma * torch.randn(s.y.shape, dtype=s.y.dtype, generator=torch.Generator().manual_seed(2))
    method = PWLS(weight=0.0, momentum=False, stop=Stop(noise=1.0), iterations=2000)
    states = list(method.iterate(y, s.dense, weights=1 / sigma**2))
    chi = [float((((s.dense(state.x) - y) / sigma) ** 2).sum() / y.numel()) for state in states[-2:]]
    assert chi[1] <= 1 < chi[0]


def test_complex_operators_and_batches() -> None:
    operator = recon.build("operator", "fourier", mask={"acceleration": 2})
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 1, 12, 10, dtype=torch.complex128, generator=generator)
    y = operator(x) * torch.tensor([1.0, 1e3]).reshape(2, 1, 1, 1)
    method = PWLS(weight=0.5, iterations=500)
    fit = method(y, operator)
    torch.testing.assert_close(method(y[1:], operator), fit[1:])
    # Stationary: A^H (A x - y) + weight D^T D x = 0, with D^T D by hand.
    d = torch.zeros_like(fit)
    for axis in (2, 3):
        step = fit.diff(dim=axis)
        pad = [0, 0, 0, 0]
        pad[1 if axis == 3 else 3] = 1
        d -= torch.nn.functional.pad(step, pad)
        pad[0 if axis == 3 else 2], pad[1 if axis == 3 else 3] = 1, 0
        d += torch.nn.functional.pad(step, pad)
    slope = operator.adjoint(operator(fit) - y) + 0.5 * d
    assert float(slope.abs().max()) < 1e-8 * float(y.abs().max())


def test_what_cannot_be_is_refused_in_a_line(small) -> None:
    s = small()
    fourier = recon.build("operator", "fourier")
    for message, call in (
        ("delta", lambda: PWLS(weight=1.0, penalty="huber")),
        ("delta", lambda: PWLS(weight=1.0, delta=0.1)),
        ("with photons", lambda: PWLS(weight=1.0, electronic=5.0)),
        ("line integrals", lambda: PWLS(weight=1.0, photons=1e3)(fourier(s.x), fourier)),
        ("operator of views", lambda: PWLS(weight=1.0, subsets=2)(fourier(s.x), fourier)),
        ("does not fit", lambda: PWLS(weight=1.0)(s.y, s.operator, weights=torch.ones(3, 3, 3, 3))),
    ):
        with pytest.raises(UsageError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)
