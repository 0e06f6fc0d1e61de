"""The Triton kernels on a GPU: against the sparse reference, at full size, on streams, in graphs."""

from __future__ import annotations

import pytest
import torch

if not torch.cuda.is_available():
    pytest.skip("needs a CUDA device", allow_module_level=True)
pytest.importorskip("triton")

from recon_plugins.radon import FanBeam, FanBeamRadon, Radon, RayTransform
from recon_plugins.radon.triton_projector import TritonProjector

pytestmark = pytest.mark.cuda

FAN = {"source_distance": 60.0, "detector_distance": 40.0}
TILTED = FanBeam((0.0, 1.1, 2.9, 5.0), 21, 1.3, 40.0, 25.0, tilt=0.2)
CASES = [
    Radon(size=(24, 24), angles=12),
    Radon(size=(33, 20), angles=13, pixel=(0.7, 1.1), bin_size=0.4, centre=(1.0, -2.0)),
    Radon(size=(16, 16), angles=8, bin_size=2.5, offset=0.4),
    Radon(size=(17, 17), angles=[0.1, 2.0, 3.3, 0.1, 6.0]),
    Radon(size=(1, 40), angles=7, bin_size=0.3),
    Radon(size=(9, 9), angles=1, bins=1),
    Radon(size=(70, 90), angles=40),
    FanBeamRadon(size=(24, 24), angles=16, **FAN),
    FanBeamRadon(size=(19, 30), angles=9, **FAN, detector="curved", centre=(3.0, 1.0)),
    FanBeamRadon(size=(18, 18), angles=[0.3, 1.0], **FAN, offset=1.0, rays_per_bin=3),
    FanBeamRadon(size=(60, 60), angles=30, source_distance=44.0, detector_distance=20.0),
    RayTransform(geometry=TILTED, size=(20, 17), pixel=(1.0, 0.8)),
    RayTransform(geometry=FanBeam((0.3, 2.0), 30, 1.0, 5.0, 9.0), size=(24, 24)),  # the source inside the image
]
cases = pytest.mark.parametrize("radon", CASES, ids=[f"{type(case).__name__} {case.size}" for case in CASES])


def randn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype).cuda()


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(torch.linalg.vector_norm(a.double() - b) / torch.linalg.vector_norm(b))


def gap(radon: Radon, batch: int, dtype: torch.dtype = torch.float32) -> float:
    x, y = randn(batch, 1, *radon.size, dtype=dtype), randn(batch, 1, *radon.sinogram_size, seed=1, dtype=dtype)
    ax, aty = radon(x).double(), radon.adjoint(y).double()
    difference = (ax * y).sum() - (x * aty).sum()
    return float(abs(difference) / (torch.linalg.vector_norm(ax) * torch.linalg.vector_norm(y.double())))


@cases
def test_equal_to_the_sparse_reference_in_double_precision(radon: Radon) -> None:
    reference = radon.with_(backend="sparse")
    assert isinstance(radon._projector(torch.float32, torch.device("cuda", 0)), TritonProjector)
    for dtype, batches, tolerance in ((torch.float32, (1, 3, 39), 1e-6), (torch.float64, (2,), 1e-12)):
        for batch in batches:
            x, y = randn(batch, 1, *radon.size, dtype=dtype), randn(batch, 1, *radon.sinogram_size, dtype=dtype)
            assert relative(radon(x), reference(x.double())) < tolerance
            assert relative(radon.adjoint(y), reference.adjoint(y.double())) < tolerance
    assert gap(radon, 3) < 1e-6
    assert gap(radon, 2, torch.float64) < 1e-13


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_read_as_it_is_and_summed_in_single(dtype: torch.dtype) -> None:
    for radon in (CASES[6], CASES[10]):
        for batch in (1, 5, 32):
            x, y = randn(batch, 1, *radon.size).to(dtype), randn(batch, 1, *radon.sinogram_size).to(dtype)
            assert radon(x).dtype == torch.float32
            torch.testing.assert_close(radon(x), radon(x.float()), rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(radon.adjoint(y), radon.adjoint(y.float()), rtol=1e-5, atol=1e-5)


FULL = {
    "parallel": Radon(size=(512, 512), angles=720),
    "fan": FanBeamRadon(size=(512, 512), angles=720, source_distance=1000.0, detector_distance=500.0),
    "curved": FanBeamRadon(
        size=(512, 512), angles=720, source_distance=600.0, detector_distance=500.0, detector="curved", offset=3.3
    ),
}


@pytest.mark.parametrize("name", FULL)
def test_full_size_matched_and_deterministic(name: str) -> None:
    radon = FULL[name]
    for batch in (1, 4, 32):
        assert gap(radon, batch) < 1e-7
    x, y = randn(3, 1, 512, 512), randn(3, 1, *radon.sinogram_size)
    ax, aty = radon(x), radon.adjoint(y)
    for _ in range(2):
        assert torch.equal(radon(x), ax)
        assert torch.equal(radon.adjoint(y), aty)
    # What lies beside an image does not matter either.
    torch.testing.assert_close(radon(x[1:2]), ax[1:2], rtol=1e-5, atol=1e-3)


def test_views_and_memory_layouts() -> None:
    radon = CASES[6]
    x = randn(2, 3, 90, 70).transpose(2, 3)
    assert torch.equal(radon(x), radon(x.contiguous()))
    y = radon(x)
    assert torch.equal(radon.adjoint(y.mT.contiguous().mT), radon.adjoint(y))
    assert radon(x[:0]).shape == (0, 3, *radon.sinogram_size)
    assert radon.adjoint(y[:0]).shape == (0, 3, 70, 90)
    torch.testing.assert_close(radon.views([3, 1])(x), y[:, :, [3, 1]])
    z = torch.complex(x, x.flip(3))
    assert torch.equal(radon(z).imag, radon(x.flip(3)))


def test_on_the_current_stream() -> None:
    radon = FULL["parallel"]
    x = randn(1, 1, 512, 512)
    expected = radon(x)
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        z = torch.zeros_like(x)
        torch.cuda._sleep(20_000_000)  # what reads too early reads zeros
        z.copy_(x)
        y = radon(z)
        result = y.clone()
    torch.cuda.current_stream().wait_stream(side)
    assert torch.equal(result, expected)


def test_in_a_graph() -> None:
    radon = CASES[7]
    x = randn(2, 1, *radon.size)
    radon.adjoint(radon(x))
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        y = radon.adjoint(radon(x))
    x.copy_(randn(2, 1, *radon.size, seed=5))
    graph.replay()
    torch.cuda.synchronize()
    assert torch.equal(y, radon.adjoint(radon(x)))


def test_backward_is_the_adjoint_and_twice() -> None:
    radon = CASES[7]
    x, y = randn(2, 1, *radon.size).requires_grad_(), randn(2, 1, *radon.sinogram_size)
    (gradient,) = torch.autograd.grad((radon(x) ** 2 * y).sum() / 2, x, create_graph=True)
    assert torch.equal(gradient, radon.adjoint(radon(x) * y))
    v = randn(2, 1, *radon.size, seed=3)
    (second,) = torch.autograd.grad((gradient * v).sum(), x)
    torch.testing.assert_close(second, radon.adjoint(radon(v) * y))
    half = x.detach().half().requires_grad_()
    with torch.autocast("cuda", torch.float16):
        radon(half).sum().backward()
    assert half.grad is not None
    assert half.grad.dtype == torch.float16


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_under_torch_compile(backend: str, dtype: torch.dtype) -> None:
    torch._dynamo.reset()
    radon = CASES[0]
    x = randn(2, 1, 24, 24).to(dtype).requires_grad_()
    compiled = torch.compile(lambda x: (radon(x) ** 2).sum(), backend=backend, fullgraph=True)
    (gradient,) = torch.autograd.grad(compiled(x), x)
    (expected,) = torch.autograd.grad((radon(x) ** 2).sum(), x)
    torch.testing.assert_close(gradient, expected)
