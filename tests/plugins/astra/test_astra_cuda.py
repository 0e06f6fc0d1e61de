"""ASTRA's CUDA kernels on a GPU, against our sparse matrices: the same scans and limits as on the stand-ins."""

from __future__ import annotations

import pytest
import torch

if not torch.cuda.is_available():
    pytest.skip("needs a CUDA device", allow_module_level=True)
try:
    import astra
except ImportError as error:
    pytest.skip(f"needs the ASTRA Toolbox: {error}", allow_module_level=True)
if not astra.use_cuda():
    pytest.skip("ASTRA finds no CUDA", allow_module_level=True)

from recon_plugins.astra import AstraProjection
from recon_plugins.radon import ConeBeam, ConeBeamRadon, FanBeamRadon, Radon, VolumeTransform

from .scans import SCANS, blobs, inner, reference, relative, scale, waves

pytestmark = pytest.mark.cuda

every_scan = pytest.mark.parametrize("name", SCANS)
SMALL = {
    "images": Radon(size=(40, 52), angles=30, offset=0.3),
    "fan": FanBeamRadon(size=(40, 52), angles=30, source_distance=90.0, detector_distance=30.0),
    "cone": ConeBeamRadon(size=(12, 24, 20), angles=20, source_distance=60.0, detector_distance=20.0),
}
every_small = pytest.mark.parametrize("name", SMALL)


def operator(name: str) -> AstraProjection:
    return AstraProjection(projector=(SCANS | SMALL)[name], model="cuda")


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).cuda()


@every_scan
def test_projects_as_ours(name: str) -> None:
    """Textures have fractions of 8 bits, and ASTRA chooses the axis of a view, not of a ray: some 1e-3."""
    y, _ = reference(name)
    found = operator(name)(blobs(SCANS[name], batch=2).cuda())
    assert found.is_cuda
    assert relative(found, y) < 5e-3
    assert relative(found.flip(-1), y) > 0.1


@every_scan
def test_back_projects_to_scale(name: str) -> None:
    """Wrong by an edge of a voxel, or by how rays meet the detector, it would be off by percents."""
    theirs = operator(name)
    _, x = reference(name)
    found = theirs.adjoint(waves(SCANS[name]).cuda())
    assert found.is_cuda
    assert relative(inner(found), inner(x)) < 1.5e-2
    assert scale(theirs, name, "cuda") == pytest.approx(1, abs=5e-3)


@every_small
def test_tensors_of_the_processor_give_the_same(name: str) -> None:
    theirs = operator(name)
    x, y = randn(3, 1, *theirs.size), randn(3, 1, *theirs.sinogram_size)
    for apply, data in ((theirs, x), (theirs.adjoint, y)):
        found = apply(data.cpu())
        assert not found.is_cuda
        torch.testing.assert_close(found, apply(data).cpu(), rtol=1e-5, atol=1e-4)


@every_small
def test_batches_complex_and_gradients(name: str) -> None:
    theirs = operator(name)
    x = randn(5, 2, *theirs.size)
    y = theirs(x)
    for b, c in ((0, 0), (4, 1)):
        torch.testing.assert_close(theirs(x[b : b + 1, c : c + 1])[0, 0], y[b, c], rtol=1e-5, atol=1e-4)
        torch.testing.assert_close(theirs.adjoint(y)[b, c], theirs.adjoint(y[b : b + 1, c : c + 1])[0, 0])
    torch.testing.assert_close(theirs(torch.complex(x, x.flip(0))), torch.complex(y, y.flip(0)))
    x.requires_grad_()
    (gradient,) = torch.autograd.grad((theirs(x) ** 2).sum() / 2, x, create_graph=True)
    torch.testing.assert_close(gradient, theirs.adjoint(y))
    (second,) = torch.autograd.grad(gradient.sum(), x)
    torch.testing.assert_close(second, theirs.adjoint(theirs(torch.ones_like(x))))


@every_small
def test_the_same_again(name: str) -> None:
    theirs = operator(name)
    x, y = randn(2, 1, *theirs.size), randn(2, 1, *theirs.sinogram_size)
    assert theirs(x).equal(theirs(x))
    assert theirs.adjoint(y).equal(theirs.adjoint(y))


def test_waits_for_the_current_stream_and_is_waited_for() -> None:
    theirs = operator("images")
    x = randn(8, 1, *theirs.size)
    expected = theirs(x) * 2
    stream = torch.cuda.Stream()
    big = torch.ones(4096, 4096, device="cuda")
    torch.cuda.synchronize()
    with torch.cuda.stream(stream):
        late = torch.zeros_like(x)
        for _ in range(20):
            big = big @ big * 1e-4  # keeps the stream busy while ASTRA is asked
        late.copy_(x)
        found = theirs(late) * 2
    stream.synchronize()
    torch.testing.assert_close(found, expected)


def test_more_views_than_astra_has_constants() -> None:
    """It takes up to 1024 views at a time."""
    angles = tuple(float(a) for a in torch.linspace(0, 6.2, 1100, dtype=torch.float64))
    ours = VolumeTransform(geometry=ConeBeam(angles, (9, 24), 1.0, 60.0, 20.0), size=(6, 16, 16))
    x = blobs(ours)
    sparse = ours.with_(backend="sparse")
    theirs = AstraProjection(projector=ours, model="cuda")
    y = sparse(x.double())
    assert relative(theirs(x.cuda()), y) < 5e-3
    assert relative(inner_plane(theirs.adjoint(y.float().cuda())), inner_plane(sparse.adjoint(y))) < 1.5e-2


def inner_plane(x: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.avg_pool3d(x[..., 1:-1, 2:-2, 2:-2].double().cpu(), 4)
