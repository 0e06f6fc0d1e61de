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

from .scans import SCANS, blobs, figures, relative, waves

pytestmark = pytest.mark.cuda

every_scan = pytest.mark.parametrize("name", SCANS)
SMALL = {
    "some images": Radon(size=(40, 52), angles=30, offset=0.3),
    "some of a fan": FanBeamRadon(size=(40, 52), angles=30, source_distance=90.0, detector_distance=30.0),
    "some volumes": ConeBeamRadon(size=(12, 24, 20), angles=20, source_distance=60.0, detector_distance=20.0),
}
ROUNDING = 1e-3
"""Where parts of another size are taken, coordinates are rounded otherwise, and with them fractions of 8 bits."""
every_small = pytest.mark.parametrize("name", SMALL)


def operator(name: str) -> AstraProjection:
    return AstraProjection(projector=(SCANS | SMALL)[name], model="cuda")


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).cuda()


@every_scan
def test_projects_and_back_projects_as_ours(name: str) -> None:
    """Textures have fractions of 8 bits, and ASTRA chooses the axis of a view, not of a ray: some 1e-3.

    Wrong by an edge of a voxel, or by how rays meet the detector, the scale would be off by percents.
    """
    forward, back, size = figures(name, "cuda")
    assert forward < 5e-3
    assert back < 1.5e-2
    assert size == pytest.approx(1, abs=5e-3)


@every_small
def test_tensors_of_the_processor_give_the_same(name: str) -> None:
    theirs = operator(name)
    x, y = randn(3, 1, *theirs.size), randn(3, 1, *theirs.sinogram_size)
    for apply, data in ((theirs, x), (theirs.adjoint, y)):
        found = apply(data.cpu())
        assert not found.is_cuda
        assert relative(found, apply(data).cpu()) < ROUNDING


@every_small
def test_batches_complex_and_gradients(name: str) -> None:
    theirs = operator(name)
    x = randn(5, 2, *theirs.size)
    y = theirs(x)
    for b, c in ((0, 0), (4, 1)):
        assert relative(theirs(x[b : b + 1, c : c + 1])[0, 0], y[b, c].cpu()) < ROUNDING
        assert relative(theirs.adjoint(y[b : b + 1, c : c + 1])[0, 0], theirs.adjoint(y)[b, c].cpu()) < ROUNDING
    both = theirs(torch.complex(x, x.flip(0)))
    assert relative(both.real, y.cpu()) < ROUNDING
    assert relative(both.imag, y.flip(0).cpu()) < ROUNDING
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


def test_waits_for_the_current_stream_and_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = operator("some images")
    x = randn(8, 1, *theirs.size)
    y, back = theirs(x), theirs.adjoint(theirs(x))
    flip = torch.Tensor.flip

    def late(tensor: torch.Tensor, *dims: int) -> torch.Tensor:
        torch.cuda._sleep(50_000_000)
        return flip(tensor, *dims)

    monkeypatch.setattr(torch.Tensor, "flip", late)  # what brings an image into ASTRA's order
    stream = torch.cuda.Stream()
    torch.cuda.synchronize()
    with torch.cuda.stream(stream):
        copy = torch.zeros_like(x)
        torch.cuda._sleep(50_000_000)
        copy.copy_(x)
        found = theirs(copy) + 0
        found_back = theirs.adjoint(found) + 0
    stream.synchronize()
    assert found.equal(y)
    assert found_back.equal(back)
    assert found.is_cuda


def test_more_views_than_astra_has_constants() -> None:
    """It takes up to 1024 at a time; without the rest, back-projections were 7 % too small."""
    angles = tuple(float(a) for a in torch.linspace(0, 6.2, 1100, dtype=torch.float64))
    ours = VolumeTransform(geometry=ConeBeam(angles, (9, 16), 1.0, 60.0, 20.0), size=(6, 10, 10))
    theirs = AstraProjection(projector=ours, model="cuda")
    x, y = blobs(ours).abs(), waves(ours)
    expected = ours.with_(backend="sparse")(x.double())
    found = theirs(x.cuda()).double().cpu()
    assert relative(found, expected) < 5e-3
    back = theirs.adjoint(y.cuda()).double().cpu()
    assert float((x * back).sum() / (expected * y).sum()) == pytest.approx(1, abs=2e-2)
