"""FBP of scans of every kind: how much is right of water, where things are, and what each ray counts."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch

from recon.errors import UsageError
from recon.testing.ellipsoids import Ellipsoid, chords
from recon_plugins.radon import FBP, FanBeam, FanBeamRadon, ParallelBeam, RayTransform
from recon_plugins.radon.filters import filter_rows, ramp_filter
from recon_plugins.radon.redundancy import offset_weights, parker_weights, sample_weights, short_side
from recon_plugins.radon.truncation import truncated_fraction

WATER = 0.02  # 1/mm
SHORT = math.pi + 2 * 0.42


def turn(views: int, arc: float = 2 * math.pi, start: float = 0.0) -> tuple[float, ...]:
    return tuple(start + arc * k / views for k in range(views))


def fan(angles: tuple[float, ...], **changes: object) -> FanBeam:
    arguments = {"bins": 230, "bin_size": 1.6, "source_distance": 260.0, "detector_distance": 160.0} | changes
    return FanBeam(angles=angles, **arguments)


UNEVEN = tuple(2 * math.pi * (k / 400) ** 1.2 for k in range(400))
SCANS = {
    "flat": fan(turn(360)),
    "curved": fan(turn(360), detector="curved"),
    "tilted": fan(turn(360), tilt=0.3),
    "through the centre": fan(turn(360), detector_distance=0.0, bin_size=1.0),
    "more than a turn": fan((*turn(360, start=-math.pi), *turn(60, 1.0, start=math.pi))),
    "uneven": fan(UNEVEN),
    "short": fan(turn(260, SHORT)),
    "short, curved, backwards": fan(tuple(reversed(turn(260, SHORT, start=-2.0))), detector="curved"),
    "overlong": fan(turn(300, SHORT + 1.0, start=1.0)),
    "one side": fan(turn(400), bins=150, offset=60.0),
    "other side, curved": fan(turn(400), bins=150, offset=-60.0, detector="curved"),
    "little shift": fan(turn(360), offset=0.7),
    "parallel": ParallelBeam(turn(300, math.pi), 200, 0.9),
    "parallel, full turn": ParallelBeam(turn(301), 200, 0.9),
    "parallel, one side": ParallelBeam(turn(300), 130, 0.9, 30.0),
    "parallel, off centre": ParallelBeam(turn(300, math.pi), 220, 0.9, 6.3),
}


def water(geometry: FanBeam | ParallelBeam, centre: tuple[float, float], radius: float) -> torch.Tensor:
    origins, directions = geometry.rays(8)
    disk = Ellipsoid(WATER, centre, (radius, radius))
    return torch.tensor(chords([disk], origins.numpy(), directions.numpy()).mean(-1))[None, None]


@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
@pytest.mark.parametrize("name", SCANS)
def test_water_is_water_and_lies_where_it_is(name: str, interpolation: str) -> None:
    """A disk off the centre on pixels that are not square, in an image off the centre: 1 HU of error at most."""
    radon = RayTransform(geometry=SCANS[name], size=(70, 90), pixel=(2.0, 1.6), centre=(3.0, -4.0))
    centre, radius = (10.0, -14.0), 48.0
    method = FBP(filter="hann", interpolation=interpolation)
    x = method(water(radon.geometry, centre, radius).float(), radon)[0, 0].double()
    right, up = radon.grid.coordinates()
    r = torch.hypot(right - centre[0], up[:, None] - centre[1])
    inside, air = x[r < radius - 6], x[(r > radius + 6) & (torch.hypot(right, up[:, None]) < 72)]
    assert float(inside.mean()) == pytest.approx(WATER, rel=1e-3)
    assert float(air.mean()) == pytest.approx(0, abs=1e-3 * WATER)
    assert float((inside - WATER).abs().max()) < 0.03 * WATER
    assert float(air.abs().max()) < 0.03 * WATER


def test_wide_fans_need_the_curved_kernel() -> None:
    """A fan of 100 degrees, in which arc and chord differ by a third."""
    geometry = FanBeam(turn(360), 360, 1.0, 100.0, 100.0, 0.0, "curved")
    radon = RayTransform(geometry=geometry, size=(50, 50), pixel=2.0)
    x = FBP()(water(geometry, (15.0, 20.0), 42.0), radon)[0, 0]
    right, up = radon.grid.coordinates()
    inside = torch.hypot(right - 15, up[:, None] - 20) < 38
    assert float(x[inside].mean()) == pytest.approx(WATER, rel=1e-3)


@pytest.mark.parametrize("arc", [2.0, math.pi, SHORT, 4.9, 6.2])
def test_parker_weights_of_a_ray_seen_twice_add_up_to_one(arc: float) -> None:
    """Both weights are the formula's at exactly opposite rays: beta and beta + pi - 2 gamma, gamma and -gamma."""
    step = 2 * math.pi / 9000
    views, bins = round(arc / step), 201
    geometry = FanBeam(turn(views, views * step), bins, 400 * step, 200.0, 0.0, 0.0, "curved")
    weights = parker_weights(geometry)  # fan angles are multiples of two steps
    assert weights.min() >= 0
    assert weights.max() <= 1
    view, bin_ = torch.arange(views)[:, None], torch.arange(bins)
    gamma = 2 * (bin_ - 100)
    for other in (view + 4500 - 2 * gamma, view - 4500 - 2 * gamma):
        twice = (other >= 0) & (other < views)
        partner = weights[other.clamp(0, views - 1), (200 - bin_).expand(views, -1)]
        sums = (weights + partner)[twice]
        torch.testing.assert_close(sums, torch.ones_like(sums), rtol=0, atol=1e-5)
        weights = torch.where(twice, -1, weights) if arc < math.pi else weights
    if arc == 2.0:  # rays seen once, most of them here, count fully
        assert ((weights == -1) | (weights == 1)).all()


def test_opposite_sides_add_up_to_one() -> None:
    for geometry in (fan(turn(8), bins=100, offset=48.0), ParallelBeam(turn(8), 91, 0.5, -8.0)):
        weights, t = offset_weights(geometry).numpy(), geometry.positions().numpy()
        both = np.abs(t) < min(-t[0], t[-1])
        opposite = np.interp(-t[both], t, weights)
        np.testing.assert_allclose(weights[both] + opposite, 1, atol=1e-12)
        np.testing.assert_allclose(weights[np.abs(t) > min(-t[0], t[-1]) + geometry.bin_size], 1)
        assert short_side(geometry) == ((60, 0) if geometry.offset > 0 else (0, 32))
    torch.testing.assert_close(offset_weights(fan(turn(8))), torch.full((230,), 0.5, dtype=torch.float64))
    assert short_side(fan(turn(8))) == (0, 0)


@pytest.mark.parametrize("name", SCANS)
def test_central_rays_cover_half_a_turn(name: str) -> None:
    geometry = SCANS[name]
    total = sample_weights(geometry).sum(0)
    middle = int(geometry.positions().abs().argmin())
    assert float(total[middle]) == pytest.approx(math.pi, rel=0.02)


def test_a_short_scan_without_weights_counts_all_rays_alike() -> None:
    weights = sample_weights(fan(turn(260, SHORT)), "none")
    assert float(weights.sum(0)[0]) == pytest.approx(math.pi)
    assert (weights.std(1) < 1e-12).all()


def test_objects_beyond_the_detector() -> None:
    """A view of a disk's middle alone: reported, and less bright at the rim with the edge continued."""
    radon = RayTransform(geometry=fan(turn(300), bins=60), size=(30, 30), pixel=1.6)
    y = water(radon.geometry, (0.0, 0.0), 70.0)
    assert truncated_fraction(y) == 1
    with pytest.warns(UserWarning, match="beyond the detector in 100% of the views"):
        cut = FBP()(y, radon)[0, 0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        continued = FBP(padding="edge")(y, radon)[0, 0]
        FBP()(y.clone().requires_grad_(), radon)
        FBP()(water(radon.geometry, (0.0, 0.0), 20.0), radon)
    right, up = radon.grid.coordinates()
    seen = torch.hypot(right, up[:, None]) < 20
    assert float((continued - WATER)[seen].abs().mean()) < 0.35 * float((cut - WATER)[seen].abs().mean())


def test_edges_continued() -> None:
    """Far from the edges nothing changes; and a constant row stays nearly free of the ramp's response to its ends."""
    row = torch.zeros(1, 64, dtype=torch.float64)
    row[:, 20:40] = 1
    torch.testing.assert_close(filter_rows(row, padding="edge"), filter_rows(row))
    constant = torch.ones(1, 64, dtype=torch.float64)
    assert filter_rows(constant, padding="edge").abs().max() < 0.1 * filter_rows(constant).abs().max()


def test_curved_filter_is_the_flat_one_for_small_steps() -> None:
    torch.testing.assert_close(ramp_filter(50, fan_step=1e-7), ramp_filter(50))
    # h[n] (n s / sin(n s))^2, by hand.
    step, length = 0.02, 2 * (len(ramp_filter(50)) - 1)
    kernel = torch.fft.irfft(ramp_filter(50, fan_step=step), length)
    for n in (1, 7, 49):
        assert float(kernel[n]) == pytest.approx(-1 / (math.pi * n) ** 2 * (n * step / math.sin(n * step)) ** 2)
    assert float(kernel[8]) == pytest.approx(0, abs=1e-15)


def test_fan_gradients() -> None:
    fan_beam = FanBeamRadon(size=(4, 5), angles=3, source_distance=20.0, detector_distance=10.0, detector="curved")
    y = torch.randn(1, 1, *fan_beam.sinogram_size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    method = FBP(filter="cosine", interpolation="cubic", padding="edge")
    assert torch.autograd.gradcheck(lambda y: method(y, fan_beam), y.requires_grad_())
    assert torch.autograd.gradgradcheck(lambda y: method(y, fan_beam).square(), y)


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
def test_compiled_by_torch() -> None:
    fan_beam = FanBeamRadon(size=(12, 12), angles=30, source_distance=40.0, detector_distance=10.0)
    x = torch.zeros(1, 1, 12, 12)
    x[..., 4:7, 5:9] = 1
    y = fan_beam(x)
    method = FBP()
    compiled = torch.compile(lambda y: method(y, fan_beam), backend="eager")
    torch.testing.assert_close(compiled(y), method(y, fan_beam))


def test_what_cannot_be() -> None:
    radon = RayTransform(geometry=fan(turn(8), source_distance=60.0), size=(70, 90), pixel=2.0)
    with pytest.raises(UsageError, match="reaches the source"):
        FBP()(torch.zeros(1, 1, 8, 230), radon)
    blind = RayTransform(geometry=ParallelBeam(turn(8), 20, 1.0, 15.0), size=(8, 8))
    with pytest.raises(UsageError, match="does not see the centre"):
        FBP()(torch.zeros(1, 1, 8, 20), blind)
