"""What ASTRA's CUDA kernels are told about a scan, by ASTRA's own words, and what is made of them, on stand-ins."""

from __future__ import annotations

import gc
import importlib.metadata
import pickle

import numpy as np
import pytest
import torch

import recon
from recon.errors import RunError, UsageError
from recon_plugins.astra import AstraProjection, recon_environment
from recon_plugins.radon import ConeBeam, ConeBeamRadon, FanBeamRadon, Parallel3D, Radon

try:
    import astra
except ImportError as error:
    pytest.skip(f"needs the ASTRA Toolbox: {error}", allow_module_level=True)

from astra import experimental

pytest.importorskip("scipy")

from recon_plugins.astra.cuda_scan import cuda_scan

from . import stand_in
from .scans import SCANS, figures, reference, relative

every_scan = pytest.mark.parametrize("name", SCANS)


@pytest.fixture
def stood_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand-ins for what needs CUDA."""
    monkeypatch.setattr(astra, "use_cuda", lambda: True)
    monkeypatch.setattr(experimental, "direct_FP3D", stand_in.direct_FP3D)
    monkeypatch.setattr(experimental, "direct_BP3D", stand_in.direct_BP3D)
    monkeypatch.setattr(astra.projector3d, "create", stand_in.create)


@pytest.mark.parametrize("kind", ["parallel3d", "cone"])
def test_vectors_are_those_of_astra(kind: str) -> None:
    angles = np.array([0.1, 1.3, 4.0])
    distances = (30.0, 9.0) if kind == "cone" else ()
    theirs = astra.geom_2vec(astra.create_proj_geom(kind, 1.2, 0.9, 3, 7, angles, *distances))
    geometry = (ConeBeam if distances else Parallel3D)(tuple(angles), (3, 7), (0.9, 1.2), *distances)
    ours = cuda_scan(geometry, SCANS["cone"].grid).projections
    np.testing.assert_allclose(ours.pop("Vectors"), theirs.pop("Vectors"), rtol=0, atol=1e-13)
    assert ours == theirs


@every_scan
def test_astra_sees_our_rays_where_they_are(name: str) -> None:
    """ASTRA's own projection of points upon a ray of ours falls on that very bin."""
    projector = SCANS[name]
    scan = cuda_scan(projector.geometry, projector.grid, 3 if name == "images" else 1)
    origin, towards = _rays(name)
    rows, columns = origin.shape[1:3]
    for view, row, column in [(0, 0, 0), (1, 2 % rows, 7), (5, 0, 12), (10, rows - 1, columns - 1)]:
        for share in (0.2, 0.55, 0.8):
            x, y, z = (origin + share * towards)[view, row, column].tolist()
            # Of a stack of three, the uppermost slice.
            z, wanted = (1.0, 2) if name == "images" else (z, row)
            assert experimental.projectPoint(scan.projections, x, y, z, view) == pytest.approx(
                (column, wanted), abs=1e-9
            )


def _rays(name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """A point and the direction of our rays in space, (A, R, C, 3)."""
    geometry = SCANS[name].geometry
    if hasattr(geometry, "ray_fans"):
        return geometry.ray_fans().rays()
    origin, towards = (part[:, None, :, 0] for part in geometry.rays())
    return torch.nn.functional.pad(origin, (0, 1)), torch.nn.functional.pad(towards, (0, 1))


@every_scan
def test_pixels_lie_where_ours_do(name: str) -> None:
    projector = SCANS[name]
    scan = cuda_scan(projector.geometry, projector.grid).projections
    for view, vector in enumerate(scan["Vectors"]):
        pixels, first = stand_in._pixels(scan, vector)
        origin, towards = (part[view].numpy() for part in _rays(name))
        unit = towards / np.linalg.norm(towards, axis=-1, keepdims=True)
        # Each pixel, and the source, lies upon our ray.
        for points in (
            pixels,
            pixels + first if scan["type"] == "parallel3d_vec" else np.broadcast_to(first, pixels.shape),
        ):
            beside = np.cross(points - origin, unit)
            assert abs(beside).max() < 1e-12 * 200


@every_scan
def test_grid_lies_where_ours_does(name: str) -> None:
    grid = SCANS[name].grid
    low, edges = stand_in._window(cuda_scan(SCANS[name].geometry, grid).volume)
    for axis, ours in zip((2, 1, 0), grid.coordinates(), strict=False):
        theirs = low[axis] + (np.arange(len(ours)) + 0.5) * edges[axis]
        np.testing.assert_allclose(theirs, np.sort(ours.numpy()), rtol=0, atol=1e-12)
    assert edges[-len(grid.pixel) :] == pytest.approx(grid.pixel)


@every_scan
def test_projects_and_back_projects_as_ours(stood_in: None, name: str) -> None:
    forward, back, size = figures(name, "cpu")
    # Images along parallel rays are Joseph's model exactly; ASTRA chooses a cone's axis by its middle ray.
    assert forward < (1e-6 if "parallel" in name or name == "images" else 3e-3)
    assert back < 1.5e-2
    assert size == pytest.approx(1, abs=5e-3)
    # Not so if the detector were seen from behind.
    y, _ = reference(name)
    assert relative(y.flip(-1), y) > 0.1


SMALL = {
    "images": Radon(size=(8, 10), angles=5, offset=0.3),
    "fan": FanBeamRadon(size=(8, 10), angles=5, source_distance=20.0, detector_distance=6.0),
    "cone": ConeBeamRadon(size=(4, 6, 5), angles=5, source_distance=20.0, detector_distance=6.0),
}
every_small = pytest.mark.parametrize("name", SMALL)


@every_small
def test_batches_complex_gradients_and_pickles(stood_in: None, name: str) -> None:
    theirs = AstraProjection(projector=SMALL[name], model="cuda")
    x = torch.randn(3, 2, *theirs.size, generator=torch.Generator().manual_seed(0))
    y = theirs(x)
    assert y.shape == (3, 2, *theirs.sinogram_size)
    for b, c in ((0, 0), (2, 1)):
        torch.testing.assert_close(theirs(x[b : b + 1, c : c + 1])[0, 0], y[b, c])
        torch.testing.assert_close(theirs.adjoint(y[b : b + 1, c : c + 1])[0, 0], theirs.adjoint(y)[b, c])
    torch.testing.assert_close(theirs(torch.complex(x, x.flip(0))), torch.complex(y, y.flip(0)))
    backwards = theirs(x.transpose(-1, -2).contiguous().transpose(-1, -2))
    torch.testing.assert_close(backwards, y)
    x.requires_grad_()
    (gradient,) = torch.autograd.grad((theirs(x) ** 2).sum() / 2, x, create_graph=True)
    torch.testing.assert_close(gradient, theirs.adjoint(y))
    (second,) = torch.autograd.grad(gradient.sum(), x)
    torch.testing.assert_close(second, theirs.adjoint(theirs(torch.ones_like(x))))
    assert pickle.loads(pickle.dumps(theirs))(x).equal(theirs(x))
    assert theirs(x.detach().double()).dtype == torch.float64
    assert theirs(x.detach().half()).dtype == torch.float32
    assert theirs(x.detach()[:0]).shape == (0, 2, *theirs.sinogram_size)


def test_a_batch_of_images_is_one_call(stood_in: None, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, ...]] = []

    def spy(handle: int, volume: torch.Tensor, projections: torch.Tensor) -> None:
        calls.append(tuple(volume.shape))
        stand_in.direct_FP3D(handle, volume, projections)

    monkeypatch.setattr(experimental, "direct_FP3D", spy)
    theirs = AstraProjection(projector=SMALL["images"], model="cuda")
    x = torch.rand(7, 1, 8, 10, generator=torch.Generator().manual_seed(0))
    y = theirs(x)
    assert calls == [(7, 8, 10)]
    monkeypatch.setattr("recon_plugins.astra.cuda_projector.TALLEST", 3)
    torch.testing.assert_close(AstraProjection(projector=SMALL["images"], model="cuda")(x), y)
    assert calls[1:] == [(3, 8, 10), (3, 8, 10), (1, 8, 10)]


def test_nothing_is_left_behind_in_astra(stood_in: None) -> None:
    theirs = AstraProjection(projector=SMALL["images"], model="cuda")
    for batch in (1, 2, 3, 4, 5, 6, 1):
        theirs(torch.ones(batch, 1, 8, 10))
    runs = list(theirs._cuda._runs.values())
    assert len(runs) == 4
    handles = [run.handle for run in runs]
    assert astra.projector3d.projection_geometry(handles[0])
    del theirs, runs
    gc.collect()
    for handle in handles:
        with pytest.raises(astra.log.AstraError, match=r"not initialized|not found"):
            astra.projector3d.projection_geometry(handle)


def test_a_failure_on_the_gpu_is_an_error(
    stood_in: None, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    theirs = AstraProjection(projector=SMALL["cone"], model="cuda")
    x = torch.ones(1, 1, 4, 6, 5)
    # ASTRA logs it, and returns.
    monkeypatch.setattr(experimental, "direct_FP3D", lambda *_: astra.log.error("Error allocating GPU memory"))
    with pytest.raises(
        RunError, match=r"^astra failed on the GPU: Error allocating GPU memory; if memory is short, it "
    ):
        theirs(x)
    astra.log.error("of something else, earlier")
    monkeypatch.setattr(experimental, "direct_FP3D", stand_in.direct_FP3D)
    assert theirs(x).sum() > 0


def test_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    cone = SMALL["cone"]
    with pytest.raises(UsageError, match=r"^astra projects volumes on CUDA only: take model 'cuda'$"):
        AstraProjection(projector=cone)
    curved = FanBeamRadon(size=(8, 8), angles=3, source_distance=20.0, detector_distance=6.0, detector="curved")
    with pytest.raises(
        UsageError, match=r"^astra has no curved detectors in two dimensions: take recon's own projector$"
    ):
        AstraProjection(projector=curved, model="cuda")
    theirs = recon.build("operator", "astra", projector=cone, model="cuda")
    with pytest.raises(
        UsageError, match=r"^volume \(batch, channel, ...\) must end in \(4, 6, 5\), got shape \(1, 4, 6, 5\)$"
    ):
        theirs(torch.ones(1, 4, 6, 5))
    monkeypatch.setattr(astra, "use_cuda", lambda: False)
    with pytest.raises(
        UsageError, match=r"^astra's model 'cuda' needs CUDA, which astra does not find here: take another"
    ):
        theirs(torch.ones(1, 1, 4, 6, 5))
    monkeypatch.setattr(astra, "__version__", "2.3.1.dev4")
    with pytest.raises(
        UsageError, match=r"^astra's model 'cuda' needs astra-toolbox>=2.4.1, got 2.3.1.dev4: update it$"
    ):
        theirs(torch.ones(1, 1, 4, 6, 5))


@pytest.mark.parametrize(
    ("version", "cuda", "told"),
    [
        ("2.5.0", True, "images on the processor, images and volumes on CUDA"),
        ("2.5.0", False, "images on the processor, volumes need CUDA"),
        ("2.4.0", False, "images on the processor, volumes need CUDA and astra-toolbox>=2.4.1"),
    ],
)
def test_doctor_tells_what_serves(monkeypatch: pytest.MonkeyPatch, version: str, cuda: bool, told: str) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda _: version)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    assert recon_environment() == {"CT projector, ASTRA": f"{version}: {told}"}


def test_doctor_is_silent_without_astra(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", missing)
    assert recon_environment() == {}
