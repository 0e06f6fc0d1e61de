"""torch-radon's adapter on torch-radon itself, on a GPU."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import Tensor

from recon_plugins.radon import FanBeamRadon, Radon
from recon_plugins.torch_radon import TorchRadonProjection
from recon_plugins.torch_radon.library import library

if not torch.cuda.is_available():
    pytest.skip("needs a CUDA device", allow_module_level=True)
try:
    MODULE = library()
except ImportError as error:
    pytest.skip(f"needs torch-radon: {error}", allow_module_level=True)

pytestmark = pytest.mark.cuda

FAN = {"source_distance": 120.0, "detector_distance": 60.0}
SCANS = {
    "parallel": Radon(size=(64, 64), angles=60, pixel=0.7),
    "coarse bins": Radon(size=(64, 64), angles=60, pixel=0.7, bin_size=1.0, rays_per_bin=1),
    "fan": FanBeamRadon(size=(64, 64), angles=60, pixel=0.7, **FAN),
}
scans = pytest.mark.parametrize("scan", SCANS)


def smooth(batch: int, height: int, width: int) -> Tensor:
    """Blobs off the centre, in another place in each image."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    shift = 0.3 * torch.arange(batch)[:, None, None] / batch
    large, small = (x - 0.3) ** 2 + (y + 0.2 - shift) ** 2, (x + 0.4) ** 2 + (y - 0.4 + shift) ** 2
    return (torch.exp(-10 * large) - torch.exp(-20 * small))[:, None].cuda()


def relative(a: Tensor, b: Tensor) -> float:
    return float(torch.linalg.vector_norm(a - b) / torch.linalg.vector_norm(b))


def blurred(x: Tensor) -> Tensor:
    """Means of 8 x 8 pixels but for the border: an exact adjoint has a texture, interpolated views have none."""
    return torch.nn.functional.avg_pool2d(x, 8)[..., 1:-1, 1:-1]


@scans
@pytest.mark.parametrize("batch", [1, 3, 4, 8])  # multiples of four take other kernels
def test_projects_as_ours(scan: str, batch: int) -> None:
    ours = SCANS[scan]
    theirs = TorchRadonProjection(projector=ours)
    x = smooth(batch, *ours.size)
    y = ours(x)
    projected = theirs(x)
    assert projected.device == x.device
    assert relative(projected, y) < 1e-2
    # Neither the scan seen from the other side, nor upside down, nor another image of the batch.
    assert relative(projected.flip(3), y) > 0.3
    assert relative(theirs(x.flip(2)), y) > 0.3
    for one in range(batch):
        assert relative(theirs(x[one : one + 1]), projected[one : one + 1]) < 1e-5
    assert relative(blurred(theirs.adjoint(y)), blurred(ours.adjoint(y))) < 1e-2


def test_images_that_are_not_square() -> None:
    if not hasattr(MODULE, "ParallelBeam"):
        pytest.skip("version 1 takes square images only")
    for ours in (Radon(size=(48, 72), angles=50, pixel=1.3), FanBeamRadon(size=(72, 48), angles=50, **FAN)):
        theirs = TorchRadonProjection(projector=ours)
        x = smooth(2, *ours.size)
        assert relative(theirs(x), ours(x)) < 1e-2
        y = ours(x)
        assert relative(blurred(theirs.adjoint(y)), blurred(ours.adjoint(y))) < 1e-2


@scans
def test_backward_is_their_adjoint_and_twice(scan: str) -> None:
    theirs = TorchRadonProjection(projector=SCANS[scan])
    x = smooth(2, 64, 64).requires_grad_()
    (gradient,) = torch.autograd.grad((theirs(x) ** 2).sum() / 2, x, create_graph=True)
    torch.testing.assert_close(gradient, theirs.adjoint(theirs(x)))
    (second,) = torch.autograd.grad(gradient.sum(), x)
    torch.testing.assert_close(second, theirs.adjoint(theirs(torch.ones_like(x))))
    # Close to the exact gradient, though not equal.
    exact = SCANS[scan].adjoint(SCANS[scan](x.detach()))
    assert relative(blurred(gradient.detach()), blurred(exact)) < 1e-2


@scans
def test_nearly_matched(scan: str) -> None:
    theirs = TorchRadonProjection(projector=SCANS[scan])
    x = smooth(4, 64, 64)
    y = theirs(x)
    assert relative((y * y).sum(), (x * theirs.adjoint(y)).sum()) < 2e-2


@scans
def test_complex_tensors_of_the_processor_and_other_layouts(scan: str) -> None:
    theirs = TorchRadonProjection(projector=SCANS[scan])
    x = smooth(3, 64, 64)
    y = theirs(x)
    z = theirs(torch.complex(x, 2 * x.flip(0)))
    torch.testing.assert_close(z.real, y)
    torch.testing.assert_close(z.imag, 2 * y.flip(0))
    at_home = theirs(x.cpu())
    assert at_home.device.type == "cpu"
    torch.testing.assert_close(at_home, y.cpu())
    assert theirs.adjoint(y.cpu()).device.type == "cpu"
    assert theirs(x.double()).dtype == torch.float64
    assert theirs(x.mT.contiguous().mT).equal(y)
    assert theirs(x[:0]).shape == (0, 1, *theirs.sinogram_size)


def test_in_line_with_another_stream() -> None:
    """Its kernels know the default stream alone: what is not ready yet there must not be read."""
    theirs = TorchRadonProjection(projector=SCANS["parallel"])
    x = smooth(4, 64, 64)
    expected = theirs(x)
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        z = torch.zeros_like(x)
        torch.cuda._sleep(20_000_000)
        z.copy_(x)
        result = theirs(z).clone()
    torch.cuda.current_stream().wait_stream(side)
    assert result.equal(expected)


def test_the_kit_finds_an_operator_but_for_its_adjoint() -> None:
    from recon.testing.suite import plan

    with warnings.catch_warnings():
        warnings.simplefilter("default")
        results = {check.id: check.run() for check in plan("torch_radon")}
    failed = {name: result.reason for name, result in results.items() if result.outcome == "failed"}
    assert not failed
    failed_as_said = [name for name, result in results.items() if result.outcome == "xfailed"]
    assert all(name.endswith("adjoint") for name in failed_as_said)
