"""torch-radon's adapter, on stand-ins that compute what torch-radon documents: it needs CUDA and a build of its own."""

from __future__ import annotations

import pickle
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

import recon
from recon.errors import MissingDependencyError, UsageError
from recon.testing.suite import plan
from recon_plugins.radon import FanBeamRadon, Radon
from recon_plugins.torch_radon import TorchRadonProjection
from recon_plugins.torch_radon.library import library

FAN = {"source_distance": 80.0, "detector_distance": 40.0}
PARALLEL = Radon(size=(48, 48), angles=30, pixel=0.7)
SCANS = {
    "parallel": PARALLEL,
    "coarse bins": Radon(size=(48, 48), angles=30, pixel=0.7, bin_size=1.0, rays_per_bin=1),
    "fan": FanBeamRadon(size=(48, 48), angles=30, pixel=0.7, **FAN),
}


@pytest.fixture(params=["first", "second"])
def version(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A stand-in for torch-radon of either version, which serves the CPU."""
    monkeypatch.syspath_prepend(Path(__file__).parent / request.param)
    monkeypatch.setattr("recon_plugins.torch_radon.operators._device", lambda device: device)
    library.cache_clear()
    yield request.param
    sys.modules.pop("torch_radon", None)
    library.cache_clear()


def smooth(height: int, width: int) -> Tensor:
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    return (torch.exp(-8 * ((x - 0.3) ** 2 + (y + 0.1) ** 2)) - torch.exp(-20 * ((x + 0.4) ** 2 + (y - 0.4) ** 2)))[
        None, None
    ]


def relative(a: Tensor, b: Tensor) -> float:
    return float(torch.linalg.vector_norm(a - b) / torch.linalg.vector_norm(b))


@pytest.mark.parametrize("scan", SCANS)
def test_projects_as_ours(version: str, scan: str) -> None:
    ours = SCANS[scan]
    theirs = TorchRadonProjection(projector=ours)
    x = smooth(*ours.size)
    y = ours(x)
    assert relative(theirs(x), y) < 3e-3
    # Not the scan seen from the other side, nor one of half the length.
    assert relative(theirs(x).flip(3), y) > 0.3
    # Smoothed, since the exact adjoint of a ray's weights has a texture, which interpolation between bins has not.
    back, own = (torch.nn.functional.avg_pool2d(op.adjoint(y), 8)[..., 1:-1, 1:-1] for op in (theirs, ours))
    assert relative(back, own) < 5e-3
    assert theirs(x.transpose(2, 3).contiguous().transpose(2, 3)).equal(theirs(x))


def test_images_that_are_not_square(version: str) -> None:
    ours = Radon(size=(40, 52), angles=20)
    theirs = TorchRadonProjection(projector=ours)
    x = smooth(*ours.size)
    if version == "first":
        with pytest.raises(UsageError, match=r"square images only, got \(40, 52\): install carterbox-torch-radon"):
            theirs(x)
    else:
        assert relative(theirs(x), ours(x)) < 3e-3


def test_gradients_pickles_and_dtypes(version: str) -> None:
    theirs = TorchRadonProjection(projector=PARALLEL)
    x = smooth(48, 48).requires_grad_()
    (gradient,) = torch.autograd.grad((theirs(x) ** 2).sum() / 2, x, create_graph=True)
    assert gradient.equal(theirs.adjoint(theirs(x)))
    (second,) = torch.autograd.grad(gradient.sum(), x)
    torch.testing.assert_close(second, theirs.adjoint(theirs(torch.ones_like(x))))
    copy = pickle.loads(pickle.dumps(theirs))
    assert copy(x).equal(theirs(x))
    assert theirs(x.detach().double()).dtype == torch.float64
    assert theirs(x.detach().half()).dtype == torch.float32
    assert theirs(x.detach()[:0]).shape == (0, 1, *PARALLEL.sinogram_size)


@pytest.mark.parametrize(
    ("projector", "message"),
    [
        (Radon(size=(8, 8), angles=3, pixel=(1.0, 2.0)), "square pixels"),
        (Radon(size=(8, 8), angles=3, centre=(1.0, 0.0)), "images about the centre of rotation"),
        (Radon(size=(8, 8), angles=3, offset=0.5), "centred detectors"),
        (FanBeamRadon(size=(8, 8), angles=3, detector="curved", **FAN), "flat detectors"),
        (Radon(size=(8, 8), angles=4097), "at most 4096 angles"),
    ],
)
def test_what_it_cannot_do(version: str, projector: Radon, message: str) -> None:
    with pytest.raises(
        UsageError, match=f"^torch_radon takes {message} only: take recon's own projector for this scan$"
    ):
        TorchRadonProjection(projector=projector)(torch.zeros(1, 1, 8, 8))


def test_importing_it_leaves_filters_of_warnings_alone(version: str) -> None:
    before = list(warnings.filters)
    assert hasattr(library(), "ParallelBeam" if version == "second" else "Radon")
    assert warnings.filters == before


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA is here")
def test_needs_cuda(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.syspath_prepend(Path(__file__).parent / version)
    with pytest.raises(UsageError, match=r"^torch_radon computes on CUDA alone, which is not here: take .*$"):
        TorchRadonProjection(projector=PARALLEL)(torch.zeros(1, 1, 48, 48))


def test_the_kit_finds_an_operator_but_for_its_adjoint(version: str) -> None:
    # A spawned process has no stand-in.
    results = {check.id: check.run() for check in plan("torch_radon") if not check.id.endswith("pickles")}
    outcomes = {result.outcome for result in results.values()}
    assert outcomes <= {"passed", "skipped", "xfailed"}, [
        (name, r.reason) for name, r in results.items() if r.outcome == "failed"
    ]
    failed_as_said = [name for name, result in results.items() if result.outcome == "xfailed"]
    assert failed_as_said
    assert all(name.endswith("adjoint") for name in failed_as_said)


@pytest.mark.skipif("torch_radon" in sys.modules, reason="torch-radon is here")
def test_says_where_to_get_it() -> None:
    with pytest.raises(MissingDependencyError) as caught:
        recon.build("operator", "torch_radon", projector={"use": "radon", "size": [8, 8], "angles": 3})
    assert str(caught.value) == (
        "operator 'torch_radon' needs torch_radon: not on PyPI: conda install -c conda-forge carterbox-torch-radon, or "
        "build it yourself"
    )
