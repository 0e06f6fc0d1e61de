from __future__ import annotations

import math
import pickle

import pytest
import torch

from recon.errors import UsageError
from recon_plugins.radon.geometry import FanBeam, Geometry, ParallelBeam, equispaced
from recon_plugins.radon.grid import Grid
from recon_plugins.radon.pixel_driven import PixelDriven

HALF, TURN = equispaced(12, math.pi), equispaced(12, 2 * math.pi)
LISTED = (0.1, 0.7, 2.2, 3.9, 5.0)
UNEVEN = Grid((13, 20), (1.2, 0.7), (1.0, -2.0))
SCANS: dict[str, tuple[Geometry, Grid, int]] = {
    "parallel": (ParallelBeam(HALF, 25, 1.0), Grid((16, 16)), 8),
    "parallel, odd": (ParallelBeam(equispaced(10, math.pi), 25, 1.0), Grid((17, 15)), 4),
    "parallel, odd square": (ParallelBeam(HALF, 25, 1.0), Grid((17, 17)), 8),
    "parallel, uneven": (ParallelBeam(LISTED, 25, 0.8, 0.3), UNEVEN, 1),
    "fan": (FanBeam(TURN, 40, 1.5, 30.0, 20.0), Grid((16, 16)), 8),
    "fan, shifted": (FanBeam(TURN, 40, 1.5, 30.0, 20.0, 0.4), Grid((17, 17)), 4),
    "fan, tilted": (FanBeam(LISTED, 40, 1.5, 30.0, 20.0, 0.3, "flat", 0.2), UNEVEN, 1),
    "curved": (FanBeam(TURN, 20, 1.5, 15.0, 20.0, 0.0, "curved"), Grid((19, 19)), 8),
    "curved, uneven": (FanBeam(LISTED, 40, 1.5, 30.0, 20.0, 0.3, "curved"), UNEVEN, 1),
}


def make(scan: str, interpolation: str = "linear", backend: str = "auto") -> PixelDriven:
    geometry, grid, _ = SCANS[scan]
    return PixelDriven(geometry=geometry, grid=grid, interpolation=interpolation, backend=backend)


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a.double() - b).norm() / b.norm())


@pytest.mark.parametrize(
    ("scan", "interpolation"),
    [*((scan, "linear") for scan in SCANS), *((scan, "cubic") for scan in ("parallel", "fan, tilted", "curved"))],
)
def test_compiled_kernels_equal_double_precision(scan: str, interpolation: str) -> None:
    pytest.importorskip("numba")
    fast, exact = make(scan, interpolation), make(scan, interpolation, "sparse")
    generator = torch.Generator().manual_seed(0)
    for batch in (1, 17) if interpolation == "linear" else (1,):  # turns of one image, many images and a rest
        y = torch.randn(batch, 1, *fast.sinogram_size, generator=generator)
        x = torch.randn(batch, 1, *fast.grid.size, generator=generator)
        assert relative(fast.adjoint(y), exact.adjoint(y.double())) < 1e-5
        assert relative(fast(x), exact(x.double())) < 1e-5
        ax, aty = fast(x).double(), fast.adjoint(y).double()
        assert abs((ax * y).sum() - (x * aty).sum()) <= 1e-6 * ax.norm() * y.double().norm()


@pytest.mark.parametrize("scan", SCANS)
def test_turns_that_share_the_work(scan: str) -> None:
    pytest.importorskip("numba")
    turned = make(scan)._projector(torch.float32, torch.device("cpu"))._turned
    assert (len(turned.turns) if turned else 1) == SCANS[scan][2]


@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
@pytest.mark.parametrize("scan", SCANS)
def test_transposes_and_derivatives_in_double_precision(scan: str, interpolation: str) -> None:
    operator = make(scan, interpolation)
    generator = torch.Generator().manual_seed(0)
    y = torch.randn(2, 1, *operator.sinogram_size, dtype=torch.float64, generator=generator)
    x = torch.randn(2, 1, *operator.grid.size, dtype=torch.float64, generator=generator)
    ax, aty = operator(x), operator.adjoint(y)
    assert abs((ax * y).sum() - (x * aty).sum()) <= 1e-12 * ax.norm() * y.norm()


def test_gradients() -> None:
    geometry = FanBeam((0.3, 2.0), 6, 1.5, 12.0, 8.0)
    operator = PixelDriven(geometry=geometry, grid=Grid((4, 5)))
    y = torch.randn(1, 1, 2, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert torch.autograd.gradcheck(operator.adjoint, y)
    assert torch.autograd.gradgradcheck(operator.adjoint, y)


@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
def test_each_pixel_is_seen_at_its_place(interpolation: str) -> None:
    """A view that is the coordinate t itself back-projects to each pixel's x cos + y sin."""
    geometry, grid = ParallelBeam((0.3, 2.0), 40, 0.7, 0.2), Grid((5, 8), (0.9, 0.7), (0.4, -1.1))
    operator = PixelDriven(geometry=geometry, grid=grid, interpolation=interpolation)
    x = operator.adjoint(geometry.positions().expand(1, 1, 2, -1))[0, 0]
    column = (torch.arange(8, dtype=torch.float64) - 3.5) * 0.7 + 0.4
    row = (2 - torch.arange(5, dtype=torch.float64))[:, None] * 0.9 - 1.1
    expected = column * (math.cos(0.3) + math.cos(2.0)) + row * (math.sin(0.3) + math.sin(2.0))
    torch.testing.assert_close(x, expected)


@pytest.mark.parametrize(("detector", "tilt"), [("flat", 0.0), ("flat", 0.25), ("curved", 0.0)])
def test_a_fan_sees_each_pixel_along_the_ray_through_it(detector: str, tilt: float) -> None:
    """A view that is the fan angle itself, against the angle at the source between centre and pixel."""
    geometry = FanBeam((0.4,), 400, 0.2, 30.0, 15.0, 1.0, detector, tilt)
    grid = Grid((5, 8), (0.9, 0.7), (0.4, -1.1))
    operator = PixelDriven(geometry=geometry, grid=grid, interpolation="cubic")
    x, y = torch.meshgrid(*grid.coordinates(), indexing="xy")
    source = 30 * torch.tensor([math.sin(0.4), -math.cos(0.4)], dtype=torch.float64)
    to_pixel = torch.stack([x - source[0], y - source[1]], -1)
    along, across = -source / 30, torch.tensor([math.cos(0.4), math.sin(0.4)], dtype=torch.float64)
    lateral, depth = to_pixel @ across, to_pixel @ along
    gamma = geometry.fan_angles(geometry.positions())[None, None, None]
    distance = lateral.hypot(depth) if detector == "curved" else depth * math.cos(tilt) - lateral * math.sin(tilt)
    seen = operator.adjoint(gamma)[0, 0] * (distance / 30) ** 2
    torch.testing.assert_close(seen, torch.atan2(lateral, depth), rtol=0, atol=2e-6)


def test_nothing_is_seen_beyond_the_detector() -> None:
    for backend in ("sparse", "auto"):
        operator = PixelDriven(geometry=ParallelBeam((0.0,), 4, 1.0), grid=Grid((3, 12)), backend=backend)
        x = operator.adjoint(torch.ones(1, 1, 1, 4))[0, 0, 1]
        torch.testing.assert_close(x, torch.tensor([0.0] * 4 + [1.0] * 4 + [0.0] * 4))


def test_the_number_of_threads_changes_nothing() -> None:
    operator = PixelDriven(geometry=FanBeam(LISTED, 60, 2.0, 90.0, 30.0), grid=Grid((70, 50)))
    generator = torch.Generator().manual_seed(0)
    y, x = torch.randn(2, 1, 5, 60, generator=generator), torch.randn(2, 1, 70, 50, generator=generator)
    threads = torch.get_num_threads()
    results = []
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            results.append((operator.adjoint(y), operator(x)))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])


def test_values() -> None:
    operator = make("fan")
    again = pickle.loads(pickle.dumps(operator))
    y = torch.randn(1, 2, *operator.sinogram_size, generator=torch.Generator().manual_seed(0))
    assert torch.equal(operator.adjoint(y), again.adjoint(y))
    torch.testing.assert_close(
        operator.views([3, 1]).adjoint(y[:, :, [3, 1]]) + operator.views([0, 2]).adjoint(y[:, :, [0, 2]]),
        operator.views([0, 1, 2, 3]).adjoint(y[:, :, :4]),
    )


def test_a_source_within_the_image_is_refused() -> None:
    with pytest.raises(UsageError, match="reaches the source"):
        PixelDriven(geometry=FanBeam(TURN, 40, 1.5, 20.0, 20.0), grid=Grid((30, 30)))


@pytest.mark.cuda
@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
@pytest.mark.parametrize("scan", SCANS)
def test_on_a_gpu(scan: str, interpolation: str) -> None:
    operator = make(scan, interpolation)
    generator = torch.Generator().manual_seed(0)
    y = torch.randn(3, 1, *operator.sinogram_size, generator=generator)
    x = torch.randn(3, 1, *operator.grid.size, generator=generator)
    assert relative(operator.adjoint(y.cuda()).cpu(), operator.adjoint(y.double())) < 1e-5
    assert relative(operator(x.cuda()).cpu(), operator(x.double())) < 1e-5
