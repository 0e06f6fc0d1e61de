from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import recon
from recon.errors import UsageError

pytest.importorskip("finufft")
pytest.importorskip("scipy")
from recon_plugins.nufft import (
    NUFFT,
    DensityCG,
    Gridding,
    Radial,
    Spiral,
    pipe_density,
    voronoi_density,
)


def grid(*size: int) -> Tensor:
    axes = [torch.arange(n, dtype=torch.float64) - n // 2 for n in size]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)


def spot(*size: int) -> Tensor:
    """A Gaussian off the centre, whose frequencies any trajectory here covers."""
    axes = [torch.linspace(-1, 1, n, dtype=torch.float64) for n in size]
    squares = sum((axis - 0.1) ** 2 for axis in torch.meshgrid(*axes, indexing="ij"))
    return torch.exp(-squares / (2 * 0.25**2))[None, None]


@pytest.mark.parametrize("size", [(12, 9), (4, 5, 6)])
def test_full_grid_weighs_one(size: tuple[int, ...]) -> None:
    ones = torch.ones(size, dtype=torch.float64)
    torch.testing.assert_close(voronoi_density(grid(*size)), ones, rtol=0, atol=1e-9)
    torch.testing.assert_close(pipe_density(grid(*size), size, eps=1e-8), ones, rtol=0, atol=1e-6)


def ramp(k: Tensor, spokes: int, step: float) -> Tensor:
    """The area of radial samples in closed form: rings |k| dk of pi / spokes, and a disc that all centres share."""
    radius = k.norm(dim=-1)
    return torch.where(radius > 1e-9, radius * step * math.pi / spokes, math.pi * (step / 2) ** 2 / spokes)


def test_voronoi_is_the_radial_ramp() -> None:
    k = Radial(spokes=101, samples=128).points((64, 64))
    v, expected = voronoi_density(k), ramp(k, 101, 0.5)
    torch.testing.assert_close(v[:, 1:-1], expected[:, 1:-1], rtol=2e-3, atol=0)
    # The rim depends on how its cells end, and where spokes that stop half a sample early meet those that do not.
    assert float(v[:, [0, -1]].sum() / expected[:, [0, -1]].sum()) == pytest.approx(1, abs=0.03)
    assert float(v[:, 64].sum()) == pytest.approx(math.pi / 16, rel=1e-3)  # 101 samples in one place


def test_pipe_is_the_radial_ramp() -> None:
    k = Radial(spokes=151, samples=96).points((48, 48))
    w, expected = pipe_density(k, (48, 48), iterations=60), ramp(k, 151, 0.5)
    ratio = (w / expected)[:, 8:-8]
    ratio = torch.cat([ratio[:, :32], ratio[:, -32:]], 1)  # away from the centre, where a kernel sees all spokes
    assert float(ratio.mean()) == pytest.approx(1, abs=0.02) and float(ratio.std()) < 0.05


def test_voronoi_cells_fill_the_hull() -> None:
    generator = torch.Generator().manual_seed(0)
    for dimensions in (2, 3):
        k = 20 * torch.rand(600, dimensions, dtype=torch.float64, generator=generator) - 10
        v = voronoi_density(k)
        assert float(v.min()) > 0
        assert float(v.sum()) == pytest.approx(
            20**dimensions, rel=0.12
        )  # the hull is a little smaller, its margin larger
        shuffled = torch.randperm(600, generator=generator)
        torch.testing.assert_close(voronoi_density(k[shuffled]), v[shuffled], rtol=1e-6, atol=1e-9)
        doubled = voronoi_density(torch.stack([k, k]))
        torch.testing.assert_close(doubled, torch.stack([v, v]) / 2, rtol=1e-6, atol=1e-9)


def test_voronoi_of_samples_without_area() -> None:
    line = torch.stack([torch.arange(9.0), torch.zeros(9)], -1)
    with pytest.raises(UsageError, match="these lie on a line"):
        voronoi_density(line)


@pytest.mark.parametrize(
    ("trajectory", "pipe", "voronoi"),
    [(Radial(spokes=101, angles="golden"), 0.01, 0.05), (Spiral(interleaves=16, samples=400), 0.01, 0.03)],
)
def test_gridding_has_the_right_scale(trajectory: Radial | Spiral, pipe: float, voronoi: float) -> None:
    x = spot(64, 60)
    nufft = NUFFT(size=(64, 60), trajectory=trajectory, eps=1e-6)
    for density, limit in (("pipe", pipe), ("voronoi", voronoi)):
        result = Gridding(density=density, combine="none")(nufft(x), nufft)
        assert float((result - x).norm() / x.norm()) < limit, density
    plain = nufft.adjoint(nufft(x))
    torch.testing.assert_close(Gridding(density="none", combine="none")(nufft(x), nufft), plain)
    assert float((plain - x).norm() / x.norm()) > 1


def test_coils_are_combined_by_maps_or_their_squares() -> None:
    x, maps = spot(32, 32), {"coils": 4}
    nufft = recon.build("operator", "nufft", size=[32, 32], trajectory={"kind": "radial", "spokes": 60}, maps=maps)
    y = nufft(x)
    assert float((Gridding()(y, nufft) - x).norm() / x.norm()) < 0.01
    coilwise = nufft.with_(maps=None)
    result = Gridding()(y, coilwise)
    assert result.shape == x.shape and not result.is_complex()
    assert float((result - x).norm() / x.norm()) < 0.01
    assert Gridding(combine="none")(y, coilwise).shape == (1, 4, 32, 32)
    noisy = recon.build("operator", "gaussian_noise", sigma=0.0) @ nufft
    torch.testing.assert_close(Gridding()(y, noisy), Gridding()(y, nufft))


def test_weights_speed_up_conjugate_gradients() -> None:
    x = torch.randn(1, 1, 32, 32, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    nufft = NUFFT(size=(32, 32), trajectory={"kind": "radial", "spokes": 80, "samples": 64}, eps=1e-6)
    y = nufft(x)
    # The corners of k-space are not measured, so the data are what a reconstruction can be held to.
    left = {
        density: float(
            (nufft(DensityCG(density=density, combine="none", iterations=6)(y, nufft)) - y).norm() / y.norm()
        )
        for density in ("pipe", "voronoi", "none")
    }
    assert left["pipe"] < 0.5 * left["none"] and left["voronoi"] < 0.5 * left["none"]


@pytest.mark.parametrize("toeplitz", [True, False])
def test_sense_by_weighted_conjugate_gradients(toeplitz: bool) -> None:
    x = spot(32, 33).to(torch.complex64) * torch.exp(1j * torch.linspace(0, 1, 33))
    params = {"size": [32, 33], "trajectory": {"kind": "radial", "spokes": 11, "angles": "golden"}, "eps": 1e-6}
    nufft = recon.build("operator", "nufft", **params, maps={"coils": 8}, toeplitz=toeplitz)
    y = nufft(x)
    one = Gridding()(y, nufft)
    sense = recon.build("method", "density_cg", iterations=20)(y, nufft)
    assert float((sense - x).norm() / x.norm()) < 0.2 * float((one - x).norm() / x.norm())


def test_frames_are_weighted_one_by_one() -> None:
    k = torch.stack([Radial(spokes=40, start=start).points((20, 20)) for start in (0.0, 0.3)])
    nufft = NUFFT(size=(20, 20), trajectory=k, frames=True)
    x = spot(20, 20).repeat(2, 1, 1, 1)
    for method in (Gridding(combine="none"), DensityCG(combine="none", iterations=4)):
        result = method(nufft(x), nufft)
        for i in range(2):
            one = NUFFT(size=(20, 20), trajectory=k[i])
            torch.testing.assert_close(result[i : i + 1], method(one(x[:1]), one), rtol=1e-3, atol=1e-4)


def test_other_operators_are_refused() -> None:
    fourier = recon.build("operator", "fourier")
    for name in ("gridding", "density_cg"):
        with pytest.raises(UsageError, match=rf"{name} is for non-Cartesian data, not for Fourier"):
            recon.build("method", name)(torch.zeros(1, 1, 8, 8), fourier)
