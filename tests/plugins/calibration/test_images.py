"""Inati's and Walsh's maps and those of low-resolution images, against known maps and their definitions."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import recon
from recon.errors import UsageError
from recon.kspace import fft_centred, ifft_centred
from recon_plugins.calibration import Inati, LowResolutionMaps, Walsh
from recon_plugins.calibration.images import coil_images
from recon_plugins.calibration.smoothing import box

SIZE = (96, 80)
ALL = pytest.mark.parametrize("method", [Inati, Walsh, LowResolutionMaps])


def head() -> Tensor:
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, n, dtype=torch.float64) for n in SIZE), indexing="ij")
    inside = torch.sigmoid(40 * (0.75 - (x**2 + y**2).sqrt()))
    return torch.polar(inside * (1 + 0.4 * torch.cos(9 * y) * torch.cos(7 * x)), 1.5 * x)


def birdcage(size: tuple[int, ...] = SIZE) -> Tensor:
    operator = recon.build("operator", "multicoil_fourier", maps={"coils": 8}, dimensions=len(size))
    return operator.maps.maps(size, dtype=torch.complex128)


def measured(noise: float = 1e-3) -> Tensor:
    y = fft_centred((birdcage() * head())[None])
    return y + noise * torch.randn(y.shape, dtype=y.dtype, generator=torch.Generator().manual_seed(0))


INSIDE = head().abs() > 0.3


@ALL
@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_known_maps(method, dtype: torch.dtype) -> None:
    maps = method()(measured().to(dtype), recon.build("operator", "fourier"))
    assert maps.dtype == dtype
    wrong = (1 - (maps[0].to(torch.complex128).conj() * birdcage()).sum(0).abs())[INSIDE]
    assert float(wrong.mean()) < 1e-3
    assert float(wrong.max()) < 1e-2
    energy = maps[0].abs().square().sum(0)
    assert torch.allclose(energy[INSIDE], torch.ones(()).to(energy), atol=1e-5)
    assert float(energy[:6, :6].max()) == 0


@pytest.mark.parametrize("method", [Inati, Walsh])
def test_boxes_average_noise_away(method) -> None:
    """At high resolution, where every pixel's own values are noisy: four times less wrong than without a box."""
    operator = recon.build("operator", "fourier")
    y = measured(noise=0.1)

    def wrong(calibration) -> float:
        maps = calibration(y, operator)
        return float((1 - (maps[0].conj() * birdcage()).sum(0).abs())[INSIDE].mean())

    assert wrong(method(width=None)) < 0.25 * wrong(LowResolutionMaps(width=None))


def test_walsh_is_the_eigenvector_of_the_covariance() -> None:
    x = torch.randn(3, 6, 7, dtype=torch.complex128, generator=torch.Generator().manual_seed(0)) + torch.tensor(
        [3, 1j, -1]
    ).reshape(3, 1, 1)
    maps = Walsh(width=None, window=3, iterations=60, crop=0)(fft_centred(x[None]), recon.build("operator", "fourier"))
    for i, j in ((0, 0), (2, 3), (5, 6), (4, 0)):
        near = x[:, max(0, i - 1) : i + 2, max(0, j - 1) : j + 2].flatten(1)
        vector = torch.linalg.svd(near)[0][:, 0]
        assert float(abs(torch.vdot(vector, maps[0, :, i, j]))) == pytest.approx(1, abs=1e-6)


def test_walsh_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    y, operator = measured(), recon.build("operator", "fourier")
    whole = Walsh()(y, operator)
    monkeypatch.setattr("recon_plugins.calibration.walsh.CHUNK", 30_000)  # five rows
    assert torch.allclose(Walsh()(y, operator), whole, atol=1e-12)


@ALL
def test_volume(method) -> None:
    size = (12, 40, 36)
    maps = birdcage(size)
    image = torch.zeros(size, dtype=torch.complex128)
    image[2:10, 8:32, 8:28] = 1
    found = method(width=20)(fft_centred((maps * image)[None], 3), recon.build("operator", "fourier", dimensions=3))
    wrong = (1 - (found[0].conj() * maps).sum(0).abs())[4:8, 12:28, 12:24]
    assert float(wrong.max()) < 1e-3


def test_low_resolution_images() -> None:
    """Whole k-space gives the images; a part of it a Hann window's."""
    y = torch.randn(2, 3, 12, 9, dtype=torch.complex128, generator=torch.Generator().manual_seed(0))

    def same_direction(a: Tensor, b: Tensor) -> None:
        ratio = (a / b).flatten(1)
        assert torch.allclose(ratio, ratio[:, :1].expand_as(ratio))

    same_direction(coil_images(y, (12, 9)), ifft_centred(y))
    window = 0.5 + 0.5 * torch.cos(2 * torch.pi * (torch.arange(5, dtype=torch.float64) - 2) / 6)
    padded = torch.zeros_like(y)
    padded[..., 2:7] = y[..., 2:7] * window
    same_direction(coil_images(y[..., 2:7], (12, 9)), ifft_centred(padded))


def test_box_is_a_sum_of_neighbours() -> None:
    x = torch.arange(1.0, 6.0)
    assert box(x, 0, 3).tolist() == [3, 6, 9, 12, 9]
    assert box(x, 0, 1).tolist() == x.tolist()
    assert box(x, 0, 99).tolist() == [15] * 5
    y = torch.randn(4, 6)
    kernel = torch.ones(1, 1, 3, 5)
    expected = torch.nn.functional.conv2d(y[None, None], kernel, padding=(1, 2))[0, 0]
    assert torch.allclose(box(box(y, 0, 3), 1, 5), expected, atol=1e-5)


@pytest.mark.parametrize("method", [Inati, Walsh])
def test_even_windows_are_refused(method) -> None:
    with pytest.raises(UsageError, match="window must be an odd number of pixels, not 4"):
        method(window=4)


@ALL
def test_dynamic_data(method) -> None:
    """Frames are averaged: the maps are those of the static object."""
    y = measured()
    operator = recon.build("operator", "fourier", time=True)
    maps = method()(y[:, :, None].expand(-1, -1, 3, -1, -1), operator)
    assert torch.allclose(maps, method()(y, recon.build("operator", "fourier")), atol=1e-9)
