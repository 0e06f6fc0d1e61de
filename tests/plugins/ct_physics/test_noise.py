"""Counts, the logarithm and the noise between them, against closed forms."""

from __future__ import annotations

import math

import pytest
import torch

import recon
from recon.errors import ParameterError, UsageError
from recon.operators import Identity
from recon_plugins.ct_physics import BeerLambert, LogTransform, LowDose, Transmission


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def many(value: float, count: int = 100_000) -> torch.Tensor:
    return torch.full((1, 1, count), value, dtype=torch.float64)


@pytest.mark.parametrize(("y", "electronic"), [(0.0, 0.0), (3.0, 0.0), (3.0, 12.0), (9.0, 2.0)])
def test_counts_have_the_mean_and_the_variance_of_the_model(y, electronic):
    counts = Transmission(photons=1e4, electronic=electronic)(many(y), generator=seeded())
    mean = 1e4 * math.exp(-y)
    variance = mean + electronic**2
    number = counts.numel()
    assert abs(counts.mean() - mean) < 5 * math.sqrt(variance / number)
    # The variance of a sample variance: Poisson's fourth moment adds the mean once.
    assert abs(counts.var() - variance) < 5 * math.sqrt((2 * variance**2 + mean) / number)
    if not electronic:
        assert torch.equal(counts, counts.round())


def test_counts_in_single_precision_are_whole():
    counts = Transmission(photons=1e6)(torch.rand(1, 1, 5000), generator=seeded())
    assert counts.dtype == torch.float32
    assert torch.equal(counts, counts.round())


def test_gradient_is_that_of_the_mean():
    x = torch.rand(2, 1, 50, dtype=torch.float64, requires_grad=True)
    Transmission(photons=500, electronic=3)(x, generator=seeded()).sum().backward()
    assert torch.allclose(x.grad, -500 * torch.exp(-x.detach()))
    x.grad = None
    y = LowDose(photons=500)(x, generator=seeded())
    y.sum().backward()
    counts = 500 * torch.exp(-y.detach())
    assert torch.allclose(x.grad, 500 * torch.exp(-x.detach()) / counts)


@pytest.mark.parametrize("mean", [20.0, 100.0, 1000.0])
def test_bias_of_the_logarithm_is_the_documented_one_and_the_shift_cancels_it(mean):
    y = math.log(1e5 / mean)
    for electronic, shift, expected in (
        (0.0, 0.0, 1 / (2 * mean)),
        (0.2 * math.sqrt(mean), 0.0, 1.04 / (2 * mean)),
        (0.0, 0.5, 0.0),
    ):
        found = LowDose(photons=1e5, electronic=electronic, shift=shift)(many(y, 500_000), generator=seeded())
        error = float(found.mean()) - y
        noise = 5 / math.sqrt(500_000 * mean)
        assert abs(error - expected) < noise + 1.5 / mean**2
    variance = float(found.var())
    assert variance == pytest.approx(1 / mean, rel=3 / mean + 0.01)


def test_starved_rays_end_at_the_floor():
    log = LogTransform(photons=1e4, floor=0.1)
    x = torch.tensor([[[0.0, -7.0, 0.05, 0.1, 1e4]]], dtype=torch.float64, requires_grad=True)
    y = log(x)
    assert torch.allclose(y[0, 0, :4], torch.full((4,), math.log(1e5), dtype=torch.float64))
    assert y[0, 0, 4].item() == 0
    y.sum().backward()
    assert x.grad[0, 0, :3].tolist() == [0, 0, 0]
    noisy = LowDose(photons=100, electronic=5)(torch.full((1, 1, 1000), 20.0), generator=seeded())
    assert noisy.isfinite().all()
    assert float(noisy.max()) == pytest.approx(math.log(1000))


def test_log_undoes_beer_lambert():
    y = torch.rand(2, 1, 7, 5, dtype=torch.float64) * 8
    assert torch.allclose(LogTransform(photons=3e4)(BeerLambert(photons=3e4)(y)), y)


def test_low_dose_is_the_composition_of_its_two_halves():
    y = torch.rand(2, 1, 7, 5, dtype=torch.float64) * 8
    low = LowDose(photons=2e4, electronic=4, floor=0.5, shift=0.5)
    halves = LogTransform(photons=2e4, floor=0.5, shift=0.5) @ Transmission(photons=2e4, electronic=4)
    assert torch.equal(low(y, generator=seeded(3)), halves(y, generator=seeded(3)))
    assert isinstance(halves.noiseless, recon.operators.Operator)
    assert not halves.noiseless.stochastic


def test_methods_find_the_projector_behind_the_noise():
    radon = recon.build("operator", "radon", size=(24, 24), angles=40)
    noisy = recon.build("operator", {"use": "low_dose", "photons": 1e5, "electronic": 10}) @ radon
    assert isinstance(LowDose(photons=1.0).noiseless, Identity)
    assert noisy.noiseless is radon
    assert noisy.input_unit == "1/mm"
    x = torch.zeros(1, 1, 24, 24)
    x[..., 8:16, 8:16] = 0.02
    back = recon.build("method", "fbp")(noisy(x, generator=seeded()), noisy)
    assert float((back - x).norm() / x.norm()) < 0.4


def test_each_item_draws_its_own_photons():
    y = torch.zeros(64, 1, 4000, dtype=torch.float64)
    noise = LowDose(photons=(1e2, 1e6))(y, generator=seeded()).var(-1)[:, 0]
    photons = 1 / noise
    assert 0.9e2 < float(photons.min()) < 1e3
    assert 1e5 < float(photons.max()) < 1.1e6
    assert abs(float(photons.log().mean()) - math.log(1e4)) < 1  # uniform in the logarithm


def test_bad_parameters_and_calls():
    with pytest.raises(ParameterError, match="low <= high"):
        LowDose(photons=(10.0, 1.0))
    with pytest.raises(ParameterError, match="photons"):
        recon.build("operator", "low_dose", photons=0)
    with pytest.raises(ParameterError, match="electronic"):
        recon.build("operator", "transmission", photons=1, electronic=-1)
    x = torch.zeros(1, 1, 4)
    for operator in (LowDose(photons=10.0), Transmission(photons=10.0)):
        with pytest.raises(UsageError, match="generator"):
            operator(x)
        with pytest.raises(UsageError, match="real line integrals"):
            operator(x.to(torch.complex64), generator=seeded())
        with pytest.raises(UsageError, match="the data on meta"):
            operator(x.to("meta"), generator=seeded())


@pytest.mark.cuda
def test_counts_on_a_gpu():
    """The same statistics from a generator of the device, and the same bits from the same seed."""
    generator = torch.Generator("cuda")
    low = LowDose(photons=1e4, electronic=12)
    y = torch.full((1, 1, 100_000), 3.0, device="cuda")
    found = [low(y, generator=generator.manual_seed(0)) for _ in range(2)]
    assert found[0].is_cuda
    assert torch.equal(*found)
    mean = 1e4 * math.exp(-3)
    variance = (1 + 144 / mean) / mean
    assert float(found[0].double().var()) == pytest.approx(variance, rel=0.05)
    assert float(found[0].double().mean()) == pytest.approx(3.0, abs=5 * math.sqrt(variance / 1e5) + 1 / mean)
