from __future__ import annotations

import math

import pytest
import torch

import recon
from recon.errors import UsageError
from recon.operators import Operator
from recon_plugins.radon import FBP, Radon
from recon_plugins.radon.filters import ramp_filter
from recon_plugins.radon.redundancy import view_weights

FILTERS = ["ram-lak", "shepp-logan", "cosine", "hamming", "hann"]


class Noisy(Operator):
    stochastic = True

    def __init__(self, operator: Operator) -> None:
        super().__init__()
        self.operator = operator

    def forward(self, x: torch.Tensor, *, generator: torch.Generator | None = None) -> torch.Tensor:
        y = self.operator(x)
        return y + torch.randn(y.shape, generator=generator)

    @property
    def noiseless(self) -> Operator:
        return self.operator


def disk(radon: Radon, radius: float, centre: tuple[float, float]) -> torch.Tensor:
    """Line integrals of a disk of value 1, averaged over each bin."""
    theta = radon.theta[:, None, None]
    inner = ((torch.arange(16, dtype=torch.float64) + 0.5) / 16 - 0.5) * radon.spacing
    t = radon.positions[:, None] + inner - centre[0] * theta.cos() - centre[1] * theta.sin()
    return (2 * (radius**2 - t**2).clamp(min=0).sqrt()).mean(-1)[None, None]


def distance(radon: Radon, centre: tuple[float, float]) -> torch.Tensor:
    height, width = radon.size
    x = (torch.arange(width, dtype=torch.float64) - (width - 1) / 2) * radon.pixel
    y = ((height - 1) / 2 - torch.arange(height, dtype=torch.float64))[:, None] * radon.pixel
    return torch.hypot(x - centre[0], y - centre[1])


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize(
    ("size", "pixel", "bin_size"), [((96, 96), 1.0, None), ((101, 84), 0.5, None), ((80, 80), 1.0, 0.8)]
)
def test_amplitude_and_place_of_a_disk(name: str, size: tuple[int, int], pixel: float, bin_size: float | None) -> None:
    radon = Radon(size=size, angles=140, pixel=pixel, bin_size=bin_size)
    centre, radius = (8 * pixel, 5 * pixel), 20 * pixel
    x = FBP(filter=name)(disk(radon, radius, centre), radon)[0, 0]
    r = distance(radon, centre)
    assert float(x[r < radius - 4 * pixel].mean()) == pytest.approx(1, abs=0.002)
    assert float(x[(r > radius + 4 * pixel) & (distance(radon, (0, 0)) < 35 * pixel)].mean()) == pytest.approx(
        0, abs=0.002
    )


@pytest.mark.parametrize("name", FILTERS)
def test_filters_equal_scikit_image(name: str) -> None:
    from skimage.transform.radon_transform import _get_fourier_filter

    bins = 1000
    response = ramp_filter(bins, name)
    length = 2 * (len(response) - 1)
    assert length >= 2 * bins
    reference = {"ram-lak": "ramp"}.get(name, name)
    expected = _get_fourier_filter(length, reference)[: len(response), 0] / 2
    # Its Hamming and Hann windows are the symmetric ones, half a sample off the response's centre.
    tolerance = 5e-4 if name in ("hamming", "hann") else 1e-6
    torch.testing.assert_close(response, torch.from_numpy(expected), rtol=0, atol=tolerance)


def test_ramp_has_no_bias() -> None:
    """Convolved with a long view, the sampled ramp sums to nothing but what its tail beyond the view holds."""
    response = ramp_filter(64)
    assert 0 < response[0] < 2 / (math.pi**2 * 64)
    # The untruncated sum: 1/4 - 2/pi^2 (1 + 1/9 + 1/25 + ...) = 0.
    assert float(ramp_filter(2**16)[0]) == pytest.approx(0, abs=1e-5)


def test_cutoff_removes_high_frequencies() -> None:
    response = ramp_filter(64, "hann", 0.5)
    assert (response[len(response) // 2 + 1 :] == 0).all()
    assert response[len(response) // 4] > 0


def test_close_to_scikit_image_iradon() -> None:
    from skimage.transform import iradon

    radon = Radon(size=(65, 65), angles=60, bins=65)
    y = disk(radon, 14.3, (6, 4))
    expected = iradon(y[0, 0].numpy().T, radon.theta.rad2deg().numpy(), filter_name="ramp", circle=True)
    inside = distance(radon, (0, 0)) < 31
    torch.testing.assert_close(FBP()(y, radon)[0, 0][inside], torch.from_numpy(expected)[inside], rtol=0, atol=2e-3)


@pytest.mark.parametrize(
    ("angles", "covered"),
    [
        ([i * math.pi / 9 for i in range(9)], math.pi),
        ([i * 2 * math.pi / 18 for i in range(18)], math.pi),
        ([i * 2 * math.pi / 17 for i in range(17)], math.pi),
        ([0.2 + i * math.pi / 90 for i in range(60)], 2 * math.pi / 3),
        ([0.0, 0.1, 0.3, 0.6, 1.0, 1.5, 2.1, 2.8], math.pi),
    ],
)
def test_views_share_the_angle_covered(angles: list[float], covered: float) -> None:
    weights = view_weights(torch.tensor(angles, dtype=torch.float64))
    assert (weights > 0).all()
    assert float(weights.sum()) == pytest.approx(covered, rel=1e-6)


def test_full_turn_equals_half_a_turn() -> None:
    half = Radon(size=(40, 40), angles=50)
    full = half.with_(angles=[i * math.pi / 50 for i in range(100)])
    y = disk(full, 9, (3, -5))
    torch.testing.assert_close(FBP()(y, full), FBP()(y[:, :, :50], half), rtol=0, atol=1e-8)


def test_unequal_views_keep_the_amplitude() -> None:
    angles = (torch.linspace(0, 1, 161, dtype=torch.float64)[:-1] ** 1.3 * math.pi).tolist()
    radon = Radon(size=(64, 64), angles=angles)
    x = FBP()(disk(radon, 15, (2, 4)), radon)[0, 0]
    assert float(x[distance(radon, (2, 4)) < 11].mean()) == pytest.approx(1, abs=0.005)


def test_noise_is_passed_over_and_batches_are_independent() -> None:
    radon = Radon(size=(20, 24), angles=12)
    y = torch.stack([disk(radon, 5, (1, 2))[0], disk(radon, 7, (-1, 0))[0]]).float()
    x = FBP()(y, Noisy(radon))
    assert x.dtype == torch.float32
    torch.testing.assert_close(x[1:], FBP()(y[1:], radon))
    torch.testing.assert_close(FBP()(torch.complex(y, 2 * y), radon), torch.complex(x, 2 * x))
    with pytest.raises(UsageError, match="pinv or tv"):
        FBP()(y, recon.build("operator", "fourier"))
    with pytest.raises(UsageError, match="must end in"):
        FBP()(y[..., 1:], radon)


def test_differentiable() -> None:
    radon = Radon(size=(4, 5), angles=3)
    y = torch.randn(1, 1, 3, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert torch.autograd.gradcheck(lambda y: FBP(filter="hann")(y, radon), y)


def test_built_by_name() -> None:
    assert recon.build("method", "fbp", filter="hann", cutoff=0.6) == FBP(filter="hann", cutoff=0.6)
