from __future__ import annotations

import pytest
import torch

import recon
from recon.errors import ParameterError, UsageError
from recon.operators import Identity
from recon_plugins.gaussian_noise import GaussianNoise


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_deviation_and_independence_are_those_asked_for(dtype: torch.dtype) -> None:
    x = torch.full((4, 1, 200, 200), 3.0, dtype=dtype)
    noise = GaussianNoise(sigma=0.5)(x, generator=generator()) - x
    assert noise.dtype == dtype
    n = noise.numel()
    assert abs(noise.mean()) < 5 * 0.5 / n**0.5
    assert abs(noise.std() - 0.5) < 5 * 0.5 / (2 * n) ** 0.5
    # Kurtosis 3: normal, not merely of that deviation.
    assert abs((noise**4).mean() / 0.5**4 - 3) < 5 * (96 / n) ** 0.5
    neighbours = (noise[..., 1:] * noise[..., :-1]).mean() / 0.25
    between_items = (noise[0] * noise[1]).mean() / 0.25
    assert abs(neighbours) < 5 / n**0.5
    assert abs(between_items) < 5 / (n / 4) ** 0.5


def test_complex_noise_has_sigma_in_either_part() -> None:
    x = torch.zeros(2, 1, 300, 300, dtype=torch.complex64)
    noise = GaussianNoise(sigma=0.5)(x, generator=generator())
    n = noise.numel()
    for part in (noise.real, noise.imag):
        assert abs(part.std() - 0.5) < 5 * 0.5 / (2 * n) ** 0.5
    assert abs((noise.real * noise.imag).mean()) < 5 * 0.25 / n**0.5


def test_each_item_draws_its_sigma_from_the_interval() -> None:
    operator = GaussianNoise(sigma=(0.2, 0.6))
    noise = operator(torch.zeros(400, 1, 64, 64), generator=generator())
    sigmas = noise.flatten(1).std(1)
    assert 0.2 * 0.9 < sigmas.min() < 0.22
    assert 0.58 < sigmas.max() < 0.6 * 1.1
    assert abs(sigmas.mean() - 0.4) < 5 * (0.4 / 12**0.5) / 400**0.5
    same = GaussianNoise(sigma=(0.3, 0.3))(torch.zeros(8, 1, 64, 64), generator=generator()).flatten(1).std(1)
    assert torch.allclose(same, torch.full((8,), 0.3), rtol=0.06)


def test_the_generator_decides_and_nothing_else() -> None:
    operator, x = GaussianNoise(sigma=0.1), torch.zeros(2, 3, 4)
    state = torch.random.get_rng_state()
    assert torch.equal(operator(x, generator=generator(1)), operator(x, generator=generator(1)))
    assert not torch.equal(operator(x, generator=generator(1)), operator(x, generator=generator(2)))
    assert torch.equal(torch.random.get_rng_state(), state)
    with pytest.raises(UsageError, match="call it with generator="):
        operator(x)
    with pytest.raises(UsageError, match="the generator is on cpu, the data on meta"):
        operator(x.to("meta"), generator=generator())


def test_no_noise_is_none() -> None:
    x = torch.randn(2, 3, generator=generator())
    assert torch.equal(GaussianNoise(sigma=0)(x, generator=generator()), x)
    assert isinstance(GaussianNoise(sigma=0.1).noiseless, Identity)


def test_composes_with_an_operator_and_lets_gradients_through() -> None:
    blur = recon.build("operator", "gaussian_blur", size=(8, 9), sigma=1.0)
    noisy = GaussianNoise(sigma=0.1) @ blur
    assert noisy.stochastic
    assert noisy.noiseless is blur
    x = torch.randn(2, 1, 8, 9, generator=generator()).requires_grad_()
    y = noisy(x, generator=generator(3))
    torch.testing.assert_close(y - blur(x), 0.1 * torch.randn(y.shape, generator=generator(3)), rtol=1e-4, atol=1e-6)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(gradient, blur.adjoint(torch.ones_like(y)))


@pytest.mark.parametrize(
    ("sigma", "problem"), [(-1, "greater than or equal to 0"), ([0.3, 0.1], "low <= high"), ("x", "sigma")]
)
def test_senseless_sigmas_are_refused(sigma: object, problem: str) -> None:
    with pytest.raises(ParameterError, match=problem):
        recon.build("operator", "gaussian_noise", sigma=sigma)
