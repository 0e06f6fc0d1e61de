from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import recon
from recon.errors import UsageError

pytest.importorskip("finufft")
from recon_plugins.nufft import NUFFT, DensityCG, Gridding
from recon_plugins.nufft.segments import segments_of, time_segments

SIZE = (20, 21)
TIMES = torch.arange(150, dtype=torch.float64) * 1e-4  # a readout of 15 ms
SPIRAL = {"kind": "spiral", "interleaves": 6, "samples": 150}


def field(span: float = 120.0) -> Tensor:
    """A smooth field map in Hz: a slope and a bump, as of air beside tissue."""
    y, x = (torch.linspace(-1, 1, n, dtype=torch.float64) for n in SIZE)
    bump = torch.exp(-((y[:, None] - 0.4) ** 2 + (x - 0.1) ** 2) / 0.2)
    return span * (bump + 0.3 * x - 0.2)


def image(channels: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(1, channels, *SIZE, dtype=torch.complex128, generator=generator)


def directly(x: Tensor, nufft: NUFFT, frequency: Tensor, times: Tensor) -> Tensor:
    """The signal, summed pixel by pixel in float64."""
    k = nufft.cycles()
    r = [torch.arange(n, dtype=torch.float64) - n // 2 for n in SIZE]
    phase = k[:, 0, None, None] * (r[0] / SIZE[0])[:, None] + k[:, 1, None, None] * (r[1] / SIZE[1])
    phase = phase + frequency * times.expand(nufft.samples).reshape(-1, 1, 1)
    waves = torch.exp(-2j * math.pi * phase) / math.sqrt(math.prod(SIZE))
    return torch.einsum("myx,bcyx->bcm", waves, x).reshape(*x.shape[:2], *nufft.samples)


def off(a: Tensor, b: Tensor) -> float:
    return float(torch.linalg.vector_norm(a - b) / torch.linalg.vector_norm(b))


@pytest.mark.parametrize("interpolation", ["histogram", "least_squares"])
def test_direct_sum(interpolation: str) -> None:
    nufft = NUFFT(size=SIZE, trajectory=SPIRAL, eps=1e-8)
    expected = directly(image(2), nufft, field(), TIMES)
    assert off(nufft(image(2)), expected) > 0.5  # the field matters
    found = []
    for tolerance in (1e-1, 1e-3, 1e-5):
        operator = recon.build(
            "operator", "off_resonance", nufft=nufft, field_map=field(), times=TIMES, tolerance=tolerance,
            interpolation=interpolation,
        )  # fmt: skip
        assert off(operator(image(2)), expected) <= max(operator.error, 1e-7) <= tolerance
        found.append(len(operator.tau))
    assert found[0] < found[1] < found[2]


def test_rad_per_second_and_times_of_each_sample() -> None:
    nufft = NUFFT(size=SIZE, trajectory=SPIRAL, eps=1e-8)
    times = TIMES + 1e-3 * torch.arange(6, dtype=torch.float64)[:, None]
    in_hertz = recon.build("operator", "off_resonance", nufft=nufft, field_map=field(), times=times, tolerance=1e-5)
    in_rad = in_hertz.with_(field_map=field() * 2 * math.pi, unit="rad/s")
    torch.testing.assert_close(in_rad(image()), in_hertz(image()))
    assert off(in_hertz(image()), directly(image(), nufft, field(), times)) < 1e-5


def test_without_field_it_is_the_plain_transform() -> None:
    nufft = NUFFT(size=SIZE, trajectory=SPIRAL)
    still = recon.build("operator", "off_resonance", nufft=nufft, field_map=torch.zeros(SIZE), times=TIMES)
    assert len(still.tau) == 1
    torch.testing.assert_close(still(image()), nufft(image()))
    torch.testing.assert_close(still.adjoint(nufft(image())), nufft.adjoint(nufft(image())))


def test_histogram_is_as_good_as_least_squares() -> None:
    large = torch.nn.functional.interpolate(field()[None, None], scale_factor=4, mode="bilinear")[0, 0]
    omega = 2 * math.pi * large
    assert omega.numel() > 4096
    exact = torch.exp(-1j * omega.flatten()[:, None] * TIMES)
    errors = {}
    for interpolation in ("histogram", "least_squares"):
        tau, b, error = time_segments(omega, TIMES, 6, interpolation)
        made = torch.exp(-1j * omega.flatten()[:, None] * tau) @ b
        errors[interpolation] = float((made - exact).abs().square().mean(0).max().sqrt())
        assert error == pytest.approx(errors[interpolation], rel=0.02)
    assert errors["least_squares"] <= errors["histogram"] <= 1.02 * errors["least_squares"]


def test_more_segments_than_any_field_needs() -> None:
    with pytest.raises(UsageError, match="64 segments do not reach"):
        segments_of(2 * math.pi * 1e5 * torch.linspace(-1, 1, 200, dtype=torch.float64), TIMES, 1e-3)


def test_coils_and_methods() -> None:
    maps = recon.build("operator", "multicoil_fourier", maps={"coils": 4}).maps_for(image())
    maps = maps.reshape(4, *SIZE)
    y, x = (torch.linspace(-1, 1, n, dtype=torch.float64) for n in SIZE)
    truth = torch.exp(-((y[:, None] - 0.1) ** 2 + (x - 0.1) ** 2) / 0.1)[None, None]
    inner = NUFFT(size=SIZE, trajectory={"kind": "radial", "spokes": 40, "samples": 42}, eps=1e-6)
    times = torch.linspace(0, 0.006, 42, dtype=torch.float64)
    operator = recon.build("operator", "off_resonance", nufft=inner, field_map=field(), times=times)
    sense = operator.with_maps(maps)
    assert sense.output_shape == (4, 40, 42)
    data = sense(truth)
    torch.testing.assert_close(data, operator(maps * truth), rtol=0, atol=1e-9)
    corrected = DensityCG(iterations=15)(data, sense)
    ignored = DensityCG(iterations=15)(data, inner.with_maps(maps))
    assert off(corrected, truth) < 0.01 < 0.2 < off(ignored, truth)
    assert off(Gridding()(data, sense), truth) < off(Gridding()(data, inner.with_maps(maps)), truth)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"field_map": torch.zeros(21, 20)}, r"field map of shape \(21, 20\) does not fit images of \(20, 21\)"),
        ({"times": torch.zeros(149)}, r"times of shape \(149,\) do not fit samples of shape \(6, 150\)"),
        ({"times": torch.zeros(2, 6, 150)}, "do not fit samples"),
        ({"times": TIMES * 1e3}, "longer than any readout: they are likely in ms"),
        ({"field_map": torch.full(SIZE, torch.nan)}, "must be finite"),
        ({"nufft": {"use": "fourier"}}, "off_resonance needs a nufft, not Fourier"),
    ],
)
def test_mistakes(changes: dict[str, object], message: str) -> None:
    inner = {"use": "nufft", "size": list(SIZE), "trajectory": SPIRAL}
    params = {"nufft": inner, "field_map": field(), "times": TIMES} | changes
    with pytest.raises(UsageError, match=message):
        recon.build("operator", "off_resonance", **params)
