from __future__ import annotations

import math

import pytest
import torch

from recon.errors import ParameterError
from recon_plugins.nufft import Kooshball, Radial, Spiral, StackOfStars
from recon_plugins.nufft.trajectories import points_of, trajectory_from


def test_radial_by_hand() -> None:
    k = points_of(Radial(spokes=2, samples=4), (8, 6))
    half, full = [-4.0, -2.0, 0.0, 2.0], [-3.0, -1.5, 0.0, 1.5]
    expected = torch.tensor([[[0.0, x] for x in full], [[y, 0.0] for y in half]], dtype=torch.float64)
    torch.testing.assert_close(k, expected, rtol=0, atol=1e-12)


def test_radial_reversed_runs_backwards_through_the_same_centre() -> None:
    there, back = (Radial(spokes=3, samples=8, reverse=flag).points((8, 8)) for flag in (False, True))
    torch.testing.assert_close(back, -there)
    assert not back[:, 4].any()


@pytest.mark.parametrize(
    ("angles", "degrees"), [("uniform", 18.0), ("full_turn", 36.0), ("golden", 111.246), ("tiny_golden", 23.6281)]
)
def test_angles(angles: str, degrees: float) -> None:
    k = Radial(spokes=10, samples=6, angles=angles, start=0.1).points((6, 6))
    found = torch.atan2(k[:, -1, 0], k[:, -1, 1])
    expected = math.radians(degrees) * torch.arange(10, dtype=torch.float64) + 0.1
    torch.testing.assert_close(torch.exp(1j * found), torch.exp(1j * expected), rtol=0, atol=1e-4)


def test_spiral_turns_lie_one_cycle_apart() -> None:
    k = Spiral(interleaves=4, samples=1000).points((64, 64))
    radius = k.norm(dim=-1)
    assert k.shape == (4, 1000, 2) and float(radius.max()) == pytest.approx(32, rel=2e-3)
    # One turn of one interleaf moves outwards by as many cycles as there are interleaves.
    assert float(radius[0, 500] - radius[0, 375]) == pytest.approx(4)
    turn = torch.atan2(k[0, [375, 500], 0], k[0, [375, 500], 1])
    assert float((turn[1] - turn[0]).abs()) == pytest.approx(0, abs=1e-9)


def test_kooshball_spreads_evenly() -> None:
    k = Kooshball(spokes=4000, samples=3).points((32, 32, 32))
    direction = k[:, 0] / k[:, 0].norm(dim=-1, keepdim=True)
    # Isotropic directions have the covariance 1 / 3.
    torch.testing.assert_close(direction.T @ direction / 4000, torch.eye(3, dtype=torch.float64) / 3, rtol=0, atol=2e-3)


def test_stack_of_stars() -> None:
    k = StackOfStars(spokes=5, samples=6).points((4, 6, 6))
    assert k.shape == (4, 5, 6, 3)
    assert k[:, 0, 0, 0].tolist() == [-2, -1, 0, 1]
    torch.testing.assert_close(k[2, ..., 1:], Radial(spokes=5, samples=6, angles="golden").points((6, 6)))


@pytest.mark.parametrize("kind", ["radial", "spiral", "kooshball", "stack_of_stars"])
def test_configs_and_range(kind: str) -> None:
    config = {"kind": kind, "interleaves" if kind == "spiral" else "spokes": 7, "samples": 20}
    trajectory = trajectory_from(config)
    size = (9, 10, 12)[-trajectory.dimensions :]
    k = points_of(trajectory, size)
    assert k.dtype == torch.float64 and k.shape[-2:] == (20, len(size))
    assert bool((k.abs() <= torch.tensor(size) / 2 + 1e-9).all())


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ParameterError, match=r"trajectory.spoke: unknown parameter.*did you mean 'spokes'"):
        trajectory_from({"kind": "radial", "spoke": 7})
    with pytest.raises(ParameterError, match="there are: radial, spiral, kooshball, stack_of_stars"):
        trajectory_from({"spokes": 7})
