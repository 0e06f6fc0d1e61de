"""FBP of the Shepp-Logan head from its closed-form sinogram, against the closed-form image.

The head has unit contrast on 256 x 256 pixels of 1 mm; the image averages 8 x 8 samples a pixel, the sinogram 8 rays a
bin. PSNR for a range of 1; the bias is the mean error inside the skull.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from recon.testing.ellipsoids import Ellipsoid, chords, values_at
from recon_plugins.radon import FBP, FanBeamRadon, Radon

N = 256
# Value, semi-axes, centre, turn in degrees: Toft's version of the phantom, on the square from -1 to 1.
HEAD = (
    (1.0, 0.69, 0.92, 0.0, 0.0, 0.0),
    (-0.8, 0.6624, 0.874, 0.0, -0.0184, 0.0),
    (-0.2, 0.11, 0.31, 0.22, 0.0, -18.0),
    (-0.2, 0.16, 0.41, -0.22, 0.0, 18.0),
    (0.1, 0.21, 0.25, 0.0, 0.35, 0.0),
    (0.1, 0.046, 0.046, 0.0, 0.1, 0.0),
    (0.1, 0.046, 0.046, 0.0, -0.1, 0.0),
    (0.1, 0.046, 0.023, -0.08, -0.605, 0.0),
    (0.1, 0.023, 0.023, 0.0, -0.606, 0.0),
    (0.1, 0.023, 0.046, 0.06, -0.605, 0.0),
)
SHAPES = [
    Ellipsoid(value, (x * N / 2, y * N / 2), (a * N / 2, b * N / 2), math.radians(turn))
    for value, a, b, x, y, turn in HEAD
]
FAN = {"size": (N, N), "source_distance": 512.0, "detector_distance": 512.0, "bins": 512, "bin_size": 1.6}


@pytest.fixture(scope="module")
def head() -> torch.Tensor:
    centres = (np.arange(8 * N) - (8 * N - 1) / 2) / 8
    points = np.stack(np.meshgrid(centres, -centres), -1)
    return torch.tensor(values_at(SHAPES, points).reshape(N, 8, N, 8).mean((1, 3)))


def psnr_and_bias(operator: Radon | FanBeamRadon, head: torch.Tensor, method: FBP) -> tuple[float, float]:
    origins, directions = operator.geometry.rays(8)
    y = torch.tensor(chords(SHAPES, origins.numpy(), directions.numpy()).mean(-1))
    error = method(y[None, None].float(), operator)[0, 0].double() - head
    x, up = operator.grid.coordinates()
    inside = (x / (0.6 * N / 2)) ** 2 + (up[:, None] / (0.8 * N / 2)) ** 2 < 1
    return float(-10 * (error**2).mean().log10()), float(error[inside].mean())


def short_scan(views: int) -> list[float]:
    """Half a turn and the fan."""
    arc = math.pi + 2 * math.atan(512 * 1.6 / 2 / 1024)
    return [arc * k / views for k in range(views)]


slow = pytest.mark.slow


@pytest.mark.parametrize(("views", "floor"), [(180, 33.5), pytest.param(720, 34.7, marks=slow)])
def test_parallel_beam(views: int, floor: float, head: torch.Tensor) -> None:
    psnr, bias = psnr_and_bias(Radon(size=(N, N), angles=views, bins=363), head, FBP())
    assert psnr >= floor
    assert abs(bias) <= 1e-4


@pytest.mark.parametrize(
    ("detector", "views", "floor"),
    [
        ("flat", 360, 35.0),
        pytest.param("curved", 360, 35.05, marks=slow),
        pytest.param("flat", 720, 39.2, marks=slow),
        pytest.param("curved", 720, 38.65, marks=slow),
    ],
)
def test_fan_beam(detector: str, views: int, floor: float, head: torch.Tensor) -> None:
    psnr, bias = psnr_and_bias(FanBeamRadon(angles=views, detector=detector, **FAN), head, FBP())
    assert psnr >= floor
    assert abs(bias) <= 1e-4


@pytest.mark.parametrize(("views", "floor"), [(224, 33.35), pytest.param(448, 38.75, marks=slow)])
def test_short_scan(views: int, floor: float, head: torch.Tensor) -> None:
    operator = FanBeamRadon(angles=short_scan(views), **FAN)
    psnr, bias = psnr_and_bias(operator, head, FBP())
    assert psnr >= floor
    assert abs(bias) <= 1e-4
    if views == 224:  # what the weights are for
        assert psnr_and_bias(operator, head, FBP(short_scan="none"))[0] < 25


@slow
@pytest.mark.parametrize(
    ("operator", "floor"),
    [
        (FanBeamRadon(angles=720, **(FAN | {"bins": 340, "offset": 120.0})), 38.6),
        (Radon(size=(N, N), angles=[k * math.pi / 360 for k in range(720)], bins=240, offset=-60.0), 34.7),
    ],
    ids=["fan", "parallel"],
)
def test_a_detector_on_one_side(operator: Radon | FanBeamRadon, floor: float, head: torch.Tensor) -> None:
    """A full turn with a fraction of the detector beyond the centre: within 0.6 dB of what the whole detector gives."""
    psnr, bias = psnr_and_bias(operator, head, FBP())
    assert psnr >= floor
    assert abs(bias) <= 1e-4


@slow
def test_cubic_interpolation_is_sharper(head: torch.Tensor) -> None:
    radon = Radon(size=(N, N), angles=720, bins=363)
    assert psnr_and_bias(radon, head, FBP(interpolation="cubic"))[0] >= 36.0
