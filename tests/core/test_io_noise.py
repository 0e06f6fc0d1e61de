"""Covariance of the coils' noise, and whitening."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from recon.errors import UsageError
from recon.io.noise import noise_covariance, whiten, whitening_matrix

COILS = 5


def mixing() -> Tensor:
    """How independent noise is mixed between coils, whose gains span six orders of magnitude."""
    generator = torch.Generator().manual_seed(1)
    mix = torch.eye(COILS, dtype=torch.complex128) + 0.4 * torch.randn(
        COILS, COILS, generator=generator, dtype=torch.complex128
    )
    return torch.logspace(-6, 0, COILS, dtype=torch.float64)[:, None] * mix


def noise(*shape: int, seed: int = 0) -> Tensor:
    """Noise of covariance M M^H: complex normal numbers with E |n|^2 = 1, mixed."""
    white = torch.randn(
        shape[0], COILS, *shape[1:], generator=torch.Generator().manual_seed(seed), dtype=torch.complex128
    )
    return torch.einsum("dc,bc...->bd...", mixing(), white)


def relative(a: Tensor, b: Tensor) -> float:
    return float(torch.linalg.matrix_norm(a - b) / torch.linalg.matrix_norm(b))


def test_covariance_is_that_of_the_noise() -> None:
    expected = mixing() @ mixing().mH
    assert relative(noise_covariance(noise(4, 50_000)), expected) < 0.01


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_whitened_noise_is_independent_with_unit_deviations(dtype: torch.dtype) -> None:
    covariance = noise_covariance(noise(2, 100, 500))
    white = whiten(noise(2, 100, 500, seed=1).to(dtype), covariance)
    assert white.dtype == dtype
    found = noise_covariance(white)
    assert float((found - 2 * torch.eye(COILS)).abs().max()) < 0.03  # 1 in the real part, 1 in the imaginary one
    assert float(white.real.std()) == pytest.approx(1, abs=0.01)
    assert float(white.imag.std()) == pytest.approx(1, abs=0.01)


def test_whitening_is_exact_for_the_covariance_itself() -> None:
    covariance = mixing() @ mixing().mH
    matrix = whitening_matrix(covariance)
    assert float((matrix @ covariance @ matrix.mH - 2 * torch.eye(COILS)).abs().max()) < 1e-9
    assert torch.equal(matrix, matrix.tril())
    # What was whitened can be had back.
    y = noise(1, 7, 8)
    back = torch.linalg.solve_triangular(matrix, whiten(y, covariance).flatten(2), upper=False).reshape(y.shape)
    assert torch.allclose(back, y, rtol=1e-9, atol=0)


def test_bandwidth_scales_the_covariance() -> None:
    samples = noise(1, 200)
    scaled = noise_covariance(samples, dwell_time=5.0, scan_dwell_time=2.5, relative_bandwidth=0.8)
    assert relative(scaled, noise_covariance(samples) * 2 / 0.8) < 1e-12
    with pytest.raises(UsageError, match="both the noise and the scan"):
        noise_covariance(samples, dwell_time=5.0)


def test_region_leaves_the_signal_out() -> None:
    """Noise of half the points of images with a strong signal in the other half."""
    images = noise(3, 40, 60)
    images[..., 30:] += 100
    region = torch.zeros(40, 60, dtype=torch.bool)
    region[:, :30] = True
    assert torch.equal(noise_covariance(images, region=region), noise_covariance(noise(3, 40, 60)[..., :30]))
    with pytest.raises(UsageError, match="region"):
        noise_covariance(images, region=region[:, :30])


def test_combining_whitened_coils_is_the_optimal_combination() -> None:
    """s^H C^-1 x / (s^H C^-1 s)^(1/2), the combination of the best signal-to-noise ratio, without a look at C."""
    covariance = mixing() @ mixing().mH
    s = torch.randn(1, COILS, 1, generator=torch.Generator().manual_seed(5), dtype=torch.complex128)
    x = noise(1, 40_000)
    weights = torch.linalg.solve(covariance, s[0])
    optimal = (weights.mH @ x[0] / (weights.mH @ s[0]).real.sqrt())[0]
    seen = whiten(s, covariance)
    combined = (seen.conj() * whiten(x, covariance)).sum(1)[0] / torch.linalg.vector_norm(seen)
    assert torch.allclose(combined, 2**0.5 * optimal, rtol=1e-8, atol=1e-8)
    assert float(combined.real.std()) == pytest.approx(1, rel=0.02)


@pytest.mark.parametrize(
    ("covariance", "message"),
    [
        (torch.eye(4), "measured with 4 coils and the data with 5"),
        (torch.ones(5, 5), "singular"),
        (torch.diag(torch.tensor([1.0, 1, 0, 1, 1])), "coil 2 is zero"),
        (torch.diag(torch.tensor([1.0, 1, 1, float("nan"), 1])), "coil 3 is zero or not finite"),
        (torch.ones(5), "square matrix"),
    ],
)
def test_impossible_whitening(covariance: Tensor, message: str) -> None:
    with pytest.raises(UsageError, match=message) as error:
        whiten(noise(1, 9), covariance)
    assert "\n" not in str(error.value)


def test_too_few_samples() -> None:
    with pytest.raises(UsageError, match="4 samples of noise do not tell the covariance of 5 coils"):
        noise_covariance(noise(1, 4))
    with pytest.raises(UsageError, match="coil"):
        noise_covariance(torch.zeros(5, 9))


def test_real_noise_scan(shared_data) -> None:
    """The noise readouts of a real scan: after whitening by one half, the other half is white."""
    h5py = pytest.importorskip("h5py")
    path = shared_data / "mri_kspace" / "nhlbi_ismrmrd_R3" / "meas_MID00349_FID09273_SNR_R3.h5"
    with h5py.File(path) as file:
        lines = file["dataset/data"][:]
    lines = [line for line in lines if int(line["head"]["flags"]) & (1 << 18)]
    channels = int(lines[0]["head"]["active_channels"])
    samples = torch.cat(
        [torch.from_numpy(line["data"]).view(torch.complex64).reshape(channels, -1) for line in lines], dim=1
    )
    white = noise_covariance(whiten(samples[None, :, 1::2], noise_covariance(samples[None, :, ::2]))) / 2
    raw = noise_covariance(samples[None, :, 1::2])

    def correlation(covariance: Tensor) -> float:
        """Mean square of the correlations between coils."""
        deviation = covariance.diagonal().real.sqrt()
        found = covariance / (deviation[:, None] * deviation[None])
        return float((found - found.diagonal().diag()).abs().square().sum() / (channels * (channels - 1)))

    # 192 samples each: what is left of the correlations is what so few samples show of independent coils.
    assert correlation(raw) > 0.02
    assert correlation(white) < 3 / 192
    assert float(white.diagonal().real.mean()) == pytest.approx(1, abs=0.2)
