"""Geometries and the fan beam against independent references: closed forms and a dense matrix in plain Python."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

import recon
from recon.errors import UsageError
from recon_plugins.radon import FanBeam, FanBeamRadon, ParallelBeam, Radon

SCANNER = {"source_distance": 11.0, "detector_distance": 7.0}


def randn(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(torch.linalg.vector_norm(a - b) / torch.linalg.vector_norm(b))


def fan_rays(radon: FanBeamRadon, theta: float, t: float) -> tuple[np.ndarray, np.ndarray]:
    """Source and detector point in mm, by turning the picture of view 0: source below, detector above."""
    length = radon.source_distance + radon.detector_distance
    source = np.array([0.0, -radon.source_distance])
    if radon.detector == "flat":
        point = np.array([t, radon.detector_distance])
    else:
        point = source + length * np.array([math.sin(t / length), math.cos(t / length)])
    turn = np.array([[math.cos(theta), -math.sin(theta)], [math.sin(theta), math.cos(theta)]])
    return turn @ source, turn @ point


def joseph_in_plain_python(radon: FanBeamRadon) -> np.ndarray:
    """Joseph's model from its definition, ray by ray in mm, sharing nothing with the code under test."""
    (height, width), pixel = radon.size, radon.pixel
    x = [(j - (width - 1) / 2) * pixel for j in range(width)]
    y = [((height - 1) / 2 - i) * pixel for i in range(height)]
    matrix = np.zeros((*radon.sinogram_size, height, width))
    for a, angle in enumerate(radon.theta.tolist()):
        for b, t in enumerate(radon.positions.tolist()):
            source, point = fan_rays(radon, angle, t)
            d = (point - source) / np.linalg.norm(point - source)
            for i in range(height):
                for j in range(width):
                    if abs(d[1]) >= abs(d[0]):
                        off, length = source[0] + (y[i] - source[1]) * d[0] / d[1] - x[j], pixel / abs(d[1])
                    else:
                        off, length = source[1] + (x[j] - source[0]) * d[1] / d[0] - y[i], pixel / abs(d[0])
                    matrix[a, b, i, j] = max(0, 1 - abs(off) / pixel) * length
    return matrix.reshape(-1, height * width)


@pytest.mark.parametrize("detector", ["flat", "curved"])
@pytest.mark.parametrize(
    "params",
    [
        {"size": (6, 6), "angles": 7},
        {"size": (5, 8), "angles": [0.3, math.pi / 2, -2.0, 6.0], "pixel": 0.6, "bins": 9, "bin_size": 1.3},
        {"size": (8, 5), "angles": 4, "offset": 0.7, "rays_per_bin": 1, "bin_size": 3.0},
    ],
)
def test_fan_equals_an_independent_dense_matrix(params: dict, detector: str) -> None:
    radon = FanBeamRadon(**SCANNER, **params, detector=detector)
    expected = joseph_in_plain_python(radon)
    np.testing.assert_allclose(radon.matrix().numpy(), expected, atol=1e-11)
    np.testing.assert_allclose(radon.H.matrix().numpy(), expected.T, atol=1e-11)
    single = FanBeamRadon(**SCANNER, **params, detector=detector)
    x = randn(2, 1, *radon.size)
    y = (expected @ x.reshape(2, -1).numpy().T).T.reshape(2, 1, *radon.sinogram_size)
    assert relative(single(x.float()).double(), torch.from_numpy(y)) < 1e-6


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("detector", ["flat", "curved"])
@pytest.mark.parametrize("offset", [0.0, 2.0])
def test_fan_against_the_analytic_ellipse(detector: str, offset: float, dtype: torch.dtype) -> None:
    """The chord of each ray, by the ellipse's own coordinates, averaged over the bin."""
    radon = FanBeamRadon(
        size=(96, 80), angles=40, source_distance=70.0, detector_distance=50.0, pixel=0.5, detector=detector,
        offset=offset, bins=180,
    )  # fmt: skip
    a, b, centre, tilt, samples, oversample = 12.0, 7.0, np.array([4.0, -3.0]), 0.5, 8, 8
    fine = radon.pixel / oversample
    x = (np.arange(80 * oversample) - (80 * oversample - 1) / 2) * fine - centre[0]
    y = ((96 * oversample - 1) / 2 - np.arange(96 * oversample))[:, None] * fine - centre[1]
    u, v = x * math.cos(tilt) + y * math.sin(tilt), y * math.cos(tilt) - x * math.sin(tilt)
    inside = torch.from_numpy(((u / a) ** 2 + (v / b) ** 2 <= 1).astype(float))
    image = torch.nn.functional.avg_pool2d(inside[None, None], oversample)

    axes = np.array([[math.cos(tilt), math.sin(tilt)], [-math.sin(tilt), math.cos(tilt)]]) / np.array([[a], [b]])
    expected = np.zeros(radon.sinogram_size)
    for i, theta in enumerate(radon.theta.tolist()):
        for j, t in enumerate(radon.positions.tolist()):
            for k in range(samples):
                source, point = fan_rays(radon, theta, t + ((k + 0.5) / samples - 0.5) * radon.spacing)
                p, d = axes @ (source - centre), axes @ (point - source) / np.linalg.norm(point - source)
                root = (p @ d) ** 2 - (d @ d) * (p @ p - 1)
                expected[i, j] += 2 * math.sqrt(max(root, 0)) / (d @ d) / samples
    assert relative(radon(image.to(dtype))[0, 0].double(), torch.from_numpy(expected)) < 0.009


def test_a_distant_source_gives_the_parallel_beam() -> None:
    params = {"size": (9, 12), "angles": [0.2, 1.9, 4.0], "bins": 13, "offset": 0.4}
    x = randn(1, 1, 9, 12)
    fan = FanBeamRadon(**params, source_distance=1e9, detector_distance=0.0, bin_size=1.0)
    assert relative(fan(x), Radon(**params)(x)) < 1e-7


def test_offset_shifts_the_detector() -> None:
    x = randn(1, 1, 8, 8)
    straight, shifted = Radon(size=(8, 8), angles=5, bins=15), Radon(size=(8, 8), angles=5, bins=15, offset=2.0)
    torch.testing.assert_close(shifted(x)[..., :-2], straight(x)[..., 2:])
    fbp = recon.build("method", "fbp")
    wide = Radon(size=(8, 8), angles=30, bins=31)
    moved = wide.with_(offset=2.0)
    image = torch.nn.functional.avg_pool2d(x, 3, 1, 1)
    torch.testing.assert_close(fbp(moved(image), moved), fbp(wide(image), wide), atol=0.02, rtol=0)


def test_default_fan_sees_the_whole_image() -> None:
    radius = math.hypot(9, 14) / 2
    for detector in ("flat", "curved"):
        radon = FanBeamRadon(size=(9, 14), angles=9, source_distance=12.0, detector_distance=3.0, detector=detector)
        assert radon.geometry.covers(radius)
        assert not dataclasses.replace(radon.geometry, bins=radon.geometry.bins - 1).covers(radius)
        wide = radon.with_(bins=radon.geometry.bins + 10)
        x = torch.zeros(1, 1, 9, 14, dtype=torch.float64)
        x[..., 1:-1, 1:-1] = 1
        torch.testing.assert_close(radon(x).sum(-1), wide(x).sum(-1))
    assert ParallelBeam((0.0,), 17, 1.0).covers(8.5)
    assert not ParallelBeam((0.0,), 17, 1.0, offset=0.1).covers(8.5)
    assert not FanBeam((0.0,), 17, 1.0, 5.0, 5.0).covers(8.5)


def test_geometries_are_values() -> None:
    fan = FanBeam([0, 1], 5, 1.0, 10.0, 5.0)
    assert fan == FanBeam((0.0, 1.0), 5, 1.0, 10.0, 5.0)
    assert hash(fan) == hash(FanBeam((0.0, 1.0), 5, 1.0, 10.0, 5.0))
    assert fan.spacing == pytest.approx(2 / 3)
    with pytest.raises(dataclasses.FrozenInstanceError):
        fan.bins = 6


def test_gradients_of_any_order_through_a_fan() -> None:
    radon = FanBeamRadon(size=(3, 4), angles=3, **SCANNER, detector="curved")
    x = randn(1, 1, 3, 4).requires_grad_()
    y = randn(1, 1, *radon.sinogram_size).requires_grad_()
    assert torch.autograd.gradcheck(radon, x)
    assert torch.autograd.gradcheck(radon.adjoint, y)
    assert torch.autograd.gradgradcheck(lambda x: radon(x) ** 2, x)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"angles": [0.0, 90.0, 180.0]}, "look like degrees"),
        ({"source_distance": 5.0}, "within the image's circle"),
        ({"backend": "numba"}, "numba is not installed"),
        ({"detector": "curved", "bins": 1000}, "half a turn"),
        ({"detector": "round"}, "flat"),
        ({"bin_size": math.nan}, "bin_size"),
        ({"detector_distance": -1.0}, "detector_distance"),
    ],
)
def test_bad_input_is_explained(changes: dict, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recon_plugins.radon.backends._has_numba", lambda: False)
    with pytest.raises(UsageError, match=message):
        FanBeamRadon(**({"size": (8, 8), "angles": 6, "bins": 12} | SCANNER | changes))


def test_fan_built_by_name() -> None:
    radon = recon.build("operator", {"use": "fan_beam", "size": [8, 8], "angles": 4, **SCANNER, "bins": 12})
    assert radon.output_shape == (None, 4, 12)
    with pytest.raises(UsageError, match=r"must end in \(4, 12\)"):
        radon.adjoint(torch.zeros(1, 1, 12, 4))
    assert radon.with_(detector="curved").detector == "curved"
