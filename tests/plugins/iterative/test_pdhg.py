"""Total variation by primal-dual hybrid gradients against FISTA, which shares nothing but the objective."""

from __future__ import annotations

import pytest
import torch

import recon
from recon.differences import total_variation
from recon.errors import UsageError
from recon_plugins.iterative import PDHG


def phantom(n: int) -> torch.Tensor:
    from skimage.data import shepp_logan_phantom
    from skimage.transform import resize

    return torch.from_numpy(resize(shepp_logan_phantom(), (n, n), anti_aliasing=True))[None, None]


def randn(y: torch.Tensor) -> torch.Tensor:
    return torch.randn(y.shape, dtype=y.dtype, generator=torch.Generator().manual_seed(0))


def matrix_of(dense, operator, n: int):
    """The same operator as a matrix, which is faster on images of so few pixels."""
    like = torch.zeros(1, 1, n, n, dtype=torch.float64)
    return dense(operator.matrix(like=like), (1, n, n), tuple(operator(like).shape[1:]))


@pytest.mark.parametrize(
    ("operator", "weight", "constraint", "balance"),
    [
        ({"use": "radon", "size": [16, 16], "angles": 12, "pixel": 0.5}, 0.02, "nonnegative", 2.0),
        ({"use": "radon", "size": [16, 16], "angles": 30, "pixel": 2.0}, 0.3, "none", 1.0),
        ({"use": "fourier", "mask": {"acceleration": 2, "center_fraction": 0.2}}, 0.01, "none", 10.0),
        ({"use": "fourier", "mask": {"acceleration": 2, "center_fraction": 0.2}}, 0.01, "nonnegative", 10.0),
    ],
)
def test_reaches_the_objective_of_fista(dense, operator, weight: float, constraint: str, balance) -> None:
    a = matrix_of(dense, recon.build("operator", operator), 16)
    y = a(phantom(16).to(a.entries.dtype))
    y = y + 0.02 * (y != 0) * randn(y)
    fista = recon.build("method", "tv", weight=weight, iterations=300, constraint=constraint)
    method = PDHG(weight=weight, iterations=1500, constraint=constraint, balance=balance)
    x = method(y, a)
    best = fista.objective(fista(y, a).to(x), y, a)
    assert abs(float(method.objective(x, y, a) / best) - 1) < 1e-5
    assert x.is_complex() == (constraint == "none" and y.is_complex())


def test_units_do_not_matter() -> None:
    a = recon.build("operator", "radon", size=(12, 12), angles=8)
    y = a(phantom(12))
    x = PDHG(weight=0.1, iterations=40)(y, a)
    torch.testing.assert_close(PDHG(weight=0.1 * 1e3, iterations=40)(1e3 * y, a), 1e3 * x)
    b = recon.build("operator", "radon", size=(12, 12), angles=8, pixel=100.0)
    torch.testing.assert_close(PDHG(weight=0.1 * 1e2, iterations=40)(y, b), x / 100)


def test_noise_level_is_the_same_problem_as_its_weight(dense) -> None:
    a = matrix_of(dense, recon.build("operator", "radon", size=(16, 16), angles=12, pixel=0.5), 16)
    y = a(phantom(16))
    y = y + 0.05 * randn(y)
    weighted = PDHG(weight=0.05, iterations=1500, balance=3.0)
    x = weighted(y, a)
    distance = (a(x) - y).norm()
    noise = float(distance) / y.numel() ** 0.5
    fitted = PDHG(noise=noise, iterations=2000)(y, a)
    assert float((a(fitted) - y).norm() / distance) == pytest.approx(1, abs=1e-4)
    assert float(total_variation(fitted) / total_variation(x)) == pytest.approx(1, abs=1e-4)
    assert float((fitted - x).norm() / x.norm()) < 5e-3


def test_weights_are_those_of_repeated_and_missing_rays(dense) -> None:
    radon = recon.build("operator", "radon", size=(16, 16), angles=12)
    a = matrix_of(dense, radon, 16)
    y = a(phantom(16)) + 0.1 * randn(a(phantom(16)))
    weights = torch.ones(1, 1, 12, 1, dtype=torch.float64)
    weights[:, :, :4] = 2
    weights[:, :, 8:] = 0
    views = [*range(8), *range(4)]
    repeated = matrix_of(dense, radon.views(views), 16)
    method = PDHG(weight=0.2, iterations=1200, balance=3.0)
    x, expected = method(y, a, weights=weights), method(y[:, :, views], repeated)
    assert float((x - expected).norm() / expected.norm()) < 2e-3
    values = method.objective(x, y, a, weights=weights), method.objective(expected, y[:, :, views], repeated)
    assert float(values[0] / values[1]) == pytest.approx(1, abs=1e-6)


def test_volumes_and_batches(dense) -> None:
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(30, 24, dtype=torch.float64, generator=generator)
    operator = dense(matrix, (1, 2, 3, 4))
    y = torch.randn(2, 30, dtype=torch.float64, generator=generator) * torch.tensor([[1.0], [100.0]])
    fista = recon.build("method", "tv", weight=2.0, iterations=300)
    method = PDHG(weight=2.0, iterations=800)
    x = method(y, operator)
    ratio = method.objective(x, y, operator) / fista.objective(fista(y, operator), y, operator)
    torch.testing.assert_close(ratio, torch.ones_like(ratio), rtol=0, atol=1e-5)
    torch.testing.assert_close(method(y[1:], operator), x[1:])
    zero = method(0 * y, operator)
    assert (zero == 0).all()


def test_what_cannot_be_is_refused_in_a_line() -> None:
    a = recon.build("operator", "fourier")
    k = a(phantom(16))
    for message, call in (
        ("either weight", lambda: PDHG()),
        ("either weight", lambda: PDHG(weight=1.0, noise=1.0)),
        ("without weights", lambda: PDHG(noise=0.1)(k, a, weights=torch.ones(16, 16))),
        ("line integrals", lambda: PDHG(weight=0.1, photons=1e4)(k, a)),
    ):
        with pytest.raises(UsageError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)
