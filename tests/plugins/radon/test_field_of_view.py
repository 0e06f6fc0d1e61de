"""What a detector misses of an object."""

from __future__ import annotations

import math
import warnings

import pytest
import torch

from recon_plugins.radon import FanBeamRadon, Radon, RayTransform, unseen, warn_if_unseen


def disk(size: int, radius: float) -> torch.Tensor:
    at = torch.arange(size) - (size - 1) / 2
    return (at[:, None] ** 2 + at**2 <= radius**2).double()[None, None]


def test_share_of_a_disk_beyond_a_parallel_detector() -> None:
    """Seen by all: what lies within the inner circle; seen by none: what no strip of any view reaches."""
    x = disk(201, 90)
    radon = Radon(size=(201, 201), angles=60, bins=120)
    share = unseen(radon, x)
    assert share.by_some == pytest.approx(1 - 60**2 / 90**2, abs=0.01)
    assert share.by_all == 0
    one = radon.with_(angles=[0.0])
    # The two segments of the disk beyond |x| = 60.
    segments = (math.acos(60 / 90) - 60 / 90 * math.sqrt(1 - (60 / 90) ** 2)) * 2 / math.pi
    assert unseen(one, x).by_some == unseen(one, x).by_all == pytest.approx(segments, abs=0.01)
    # Half the detector, off its axis, sees half of each view.
    assert unseen(one.with_(bins=200, offset=100.0), x).by_some == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("detector", ["flat", "curved"])
def test_share_of_a_disk_beyond_a_fan(detector: str) -> None:
    """The fan of half angle phi about the centre sees the circle of radius s sin(phi)."""
    x = disk(201, 90)
    s, d, half = 300.0, 200.0, 70.0
    length = (s + d) * (math.tan(math.asin(half / s)) if detector == "flat" else math.asin(half / s))
    fan = FanBeamRadon(
        size=(201, 201), angles=60, source_distance=s, detector_distance=d, bins=100, bin_size=2 * length / 100,
        detector=detector,
    )  # fmt: skip
    assert unseen(fan, x).by_some == pytest.approx(1 - half**2 / 90**2, abs=0.01)
    assert unseen(fan.with_(bins=200), x).by_some == 0


def test_it_agrees_with_the_rays() -> None:
    """A pixel is seen in a view just where the view's ray sums feel it."""
    geometry = {"angles": [0.3], "bins": 6, "bin_size": 1.4, "source_distance": 30.0, "detector_distance": 10.0}
    radon = RayTransform(geometry=geometry | {"tilt": 0.3, "offset": 2.0}, size=(12, 12), rays_per_bin=16)
    felt = radon.adjoint(torch.ones(1, 1, 1, 6, dtype=torch.float64))[0, 0] > 0.5
    seen = torch.zeros_like(felt)
    for i in range(12):
        for j in range(12):
            x = torch.zeros(1, 1, 12, 12)
            x[..., i, j] = 1
            seen[i, j] = unseen(radon, x).by_some == 0
    inside = felt[1:-1, 1:-1]
    assert (seen[1:-1, 1:-1] == inside).float().mean() > 0.97
    assert 0.1 < inside.float().mean() < 0.9


def test_a_warning_tells_the_share_once() -> None:
    radon = Radon(size=(64, 64), angles=8, bins=30)
    with pytest.warns(UserWarning, match=r"too small for the object: \d+\.\d% of its mass") as caught:
        warn_if_unseen(radon, disk(64, 30))
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_if_unseen(radon, disk(64, 13))
        warn_if_unseen(radon, torch.zeros(1, 1, 64, 64))
