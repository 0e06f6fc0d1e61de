"""The Triton kernels of pixel-driven back-projection without a GPU: interpreted, and compiled for one.

The interpreter is chosen when kernels are imported, hence a process of its own for it; on a GPU the kernels are tested
in test_fbp_pixel_driven.py and at the end of this file.
"""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from typing import Any

import pytest
import torch

from recon_plugins.radon import FBP, FanBeam, ParallelBeam, RayTransform
from recon_plugins.radon.geometry import Geometry, equispaced
from recon_plugins.radon.grid import Grid
from recon_plugins.radon.pixel_driven import PixelDriven
from recon_plugins.radon.pixel_lookup import PixelLookup
from recon_plugins.radon.view_table import view_table

pytest.importorskip("triton", reason="needs triton: pip install 'recon-toolkit[triton]'")

LISTED = (0.1, 2.2, 3.9)
UNEVEN = Grid((7, 18), (1.2, 0.5), (1.0, -2.0))
NEAR = Grid((9, 10), (1.0, 1.1), (0.2, 0.1))
# Geometry, grid, and pairs of taps and images.
CASES: dict[str, tuple[Geometry, Grid, tuple[tuple[int, int], ...]]] = {
    "parallel": (ParallelBeam(LISTED, 12, 0.8, 0.3), UNEVEN, ((2, 1), (4, 3), (2, 33))),
    "parallel, along axes": (ParallelBeam((0.0, math.pi / 4, math.pi / 2), 6, 1.0), Grid((8, 8)), ((2, 1), (4, 1))),
    "parallel, coarse bins": (ParallelBeam((0.3, 1.2), 5, 6.0), Grid((8, 8)), ((2, 2),)),
    "tilted": (FanBeam(LISTED, 20, 1.5, 30.0, 20.0, 0.3, "flat", 0.2), UNEVEN, ((2, 3),)),
    "curved": (FanBeam(LISTED, 20, 1.5, 16.0, 20.0, 0.3, "curved"), UNEVEN, ((4, 1),)),
    "truncated": (FanBeam(LISTED, 5, 1.5, 30.0, 20.0, 2.0), Grid((11, 12)), ((2, 1),)),
    # The source stands just outside the image: rays diverge by more than a right angle.
    "source nearby": (FanBeam(LISTED[:2], 40, 1.5, 8.0, 3.0, 0.3), NEAR, ((2, 1),)),
    "source nearby, curved": (FanBeam(LISTED, 40, 0.8, 8.0, 3.0, 0.3, "curved"), NEAR, ((2, 1),)),
    # Bins so wide that some ends of their wedges never meet a line of pixels.
    "very wide bins": (FanBeam(LISTED, 4, 14.0, 8.0, 3.0, 0.3), NEAR, ((4, 1),)),
    "very wide bins, curved": (FanBeam(LISTED, 4, 8.0, 8.0, 3.0, 0.3, "curved"), NEAR, ((4, 1),)),
}


def distances(case: str, device: str) -> list[dict[str, float]]:
    """Of both maps from double precision, and the gap of the dot test."""
    from recon_plugins.radon.pixel_triton import PixelTriton

    geometry, grid, runs = CASES[case]
    table, generator, found = view_table(geometry, grid), torch.Generator().manual_seed(0), []
    for taps, batch in runs:
        y = torch.randn(batch, len(geometry.angles) * geometry.bins, generator=generator)
        x = torch.randn(batch, grid.size[0] * grid.size[1], generator=generator)
        exact = PixelLookup(table, grid.size, taps)
        ours = PixelTriton(table, grid.size, taps, torch.device(device))
        ax, aty = ours.forward(x.to(device)).cpu().double(), ours.adjoint(y.to(device)).cpu().double()
        gap = abs((ax * y).sum() - (x * aty).sum()) / (ax.norm() * y.norm())
        found.append({"adjoint": relative(aty, exact.adjoint(y.double())),
                      "forward": relative(ax, exact.forward(x.double())), "gap": float(gap)})  # fmt: skip
    return found


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    """Distance in the whole, or of the worst value to the largest."""
    difference = a - b
    return float(max(difference.norm() / b.norm(), difference.abs().max() / b.abs().max() / 4))


def bound(case: str) -> float:
    """Near the source, depths are small differences."""
    return 3e-6 if "nearby" in case else 1e-6


@pytest.fixture(scope="module")
def interpreted() -> dict[str, Any]:
    environment = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, __file__], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("case", CASES)
def test_equal_to_double_precision_and_matched(case: str, interpreted: dict[str, Any]) -> None:
    for found in interpreted[case]:
        assert max(found["adjoint"], found["forward"]) < bound(case), found
        assert found["gap"] < bound(case) / 3, found


def test_unrolled_loops_sum_alike(interpreted: dict[str, Any]) -> None:
    """How many pixels of a line are taken in a row must not matter, be they more or fewer than a wedge holds."""
    assert interpreted["same whatever is unrolled"] is True


def test_gradients_pass_through(interpreted: dict[str, Any]) -> None:
    """Of a loss that is not linear in the image, against autograd in double precision."""
    assert interpreted["gradient"] < 1e-6


@pytest.mark.parametrize(
    ("name", "beam"),
    [
        *(("interpolate", beam) for beam in (0, 1, 2)),
        ("spread", 1),
        *(pytest.param("spread", beam, marks=pytest.mark.slow) for beam in (0, 2)),
    ],
)
def test_compiles_for_hopper(name: str, beam: int) -> None:
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from recon_plugins.radon import pixel_triton_kernels

    kernel = getattr(pixel_triton_kernels, name)
    shape = {
        "interpolate": {"TAPS": 2, "TALL": 8, "WIDE": 32, "LANES": 4},
        "spread": {"TAPS": 2 if beam else 4, "LANES": 32 if beam else 1, "VIEWS": 4, "BINS": 32,
                   "PARTS": 0 if beam else 3, "UNROLL": 1 if beam else 2},
    }  # fmt: skip
    constants = {"BEAM": beam, **shape[name]}
    types = {**dict.fromkeys(("y", "x", "rows", "columns", "shapes"), "*fp32"), "crossings": "*i64", "met": "*i32",
             **dict.fromkeys(("coefficients", "numbers"), "*fp64")}  # fmt: skip
    signature = {a: "constexpr" if a in constants else types.get(a, "i32") for a in kernel.arg_names}
    aligned = {(i,): [["tt.divisibility", 16]] for i, a in enumerate(kernel.arg_names) if signature[a][0] == "*"}
    source = ASTSource(kernel, signature, constants, aligned)
    warps = 8 if constants["LANES"] == 32 else 4
    made = triton.compile(
        source, target=GPUTarget("cuda", 90, 32), options={"enable_fp_fusion": True, "num_warps": warps}
    )
    assert made.asm["cubin"][:4] == b"\x7fELF"
    # Sums may not depend on the order in which programs come by.
    assert not re.search(r"\b(atom|red)\.", made.asm["ptx"])


cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
SCANS: dict[str, Geometry] = {
    "parallel": ParallelBeam(equispaced(60, math.pi), 100, 1.0),
    "flat": FanBeam(equispaced(60, 2 * math.pi), 130, 1.5, 120.0, 60.0),
    "curved": FanBeam(equispaced(60, 2 * math.pi), 130, 1.5, 120.0, 60.0, 0.4, "curved"),
}


@pytest.mark.cuda
@cuda
@pytest.mark.parametrize("case", CASES)
def test_on_a_gpu(case: str) -> None:
    for found in distances(case, "cuda"):
        assert max(found["adjoint"], found["forward"]) < 2 * bound(case), found
        assert found["gap"] < bound(case) / 3, found


@pytest.mark.cuda
@cuda
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scan", SCANS)
def test_repeats_bit_by_bit_on_a_gpu(scan: str, dtype: torch.dtype) -> None:
    operator = PixelDriven(geometry=SCANS[scan], grid=Grid((70, 64)))
    generator = torch.Generator().manual_seed(0)
    for batch in (1, 35):
        x = torch.randn(batch, 1, 70, 64, generator=generator, dtype=dtype).cuda()
        y = torch.randn(batch, 1, *operator.sinogram_size, generator=generator, dtype=dtype).cuda()
        ax, aty = operator(x), operator.adjoint(y)
        assert all(torch.equal(operator(x), ax) and torch.equal(operator.adjoint(y), aty) for _ in range(3))
        exact = operator.with_(backend="sparse")(x.cpu().double())
        assert relative(ax.cpu().double(), exact) < (2e-6 if dtype == torch.float32 else 1e-13)


@pytest.mark.cuda
@cuda
@pytest.mark.filterwarnings("ignore:the object reaches beyond")
@pytest.mark.parametrize("scan", SCANS)
def test_gradient_of_a_reconstruction_on_a_gpu(scan: str) -> None:
    """Against autograd in double precision on the CPU, of a loss that is not linear in the image."""
    radon = RayTransform(geometry=SCANS[scan], size=(70, 64))
    y = torch.rand(2, 1, *radon.sinogram_size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def gradient(y: torch.Tensor) -> torch.Tensor:
        leaf = y.detach().requires_grad_()
        FBP(filter="hann", padding="edge")(leaf, radon).square().sum().backward()
        assert leaf.grad is not None
        return leaf.grad.cpu().double()

    single = y.float().cuda()
    expected, found = gradient(y), gradient(single)
    assert relative(found, expected) < 1e-5
    assert torch.equal(found, gradient(single))


def _interpret() -> dict[str, Any]:
    """Run every case on the interpreter; called in a process of its own."""
    from recon_plugins.radon.pixel_triton import PixelTriton

    found: dict[str, Any] = {case: distances(case, "cpu") for case in CASES}
    geometry, grid, _ = CASES["parallel, along axes"]
    ours = PixelTriton(view_table(geometry, grid), grid.size, 2, torch.device("cpu"))
    x = torch.randn(1, grid.size[0] * grid.size[1], generator=torch.Generator().manual_seed(0))
    results = []
    for ours._parts in (0, 1, 5):  # a longer loop adds zeros
        results.append(ours.forward(x))
    gradients = []
    for backend, dtype in (("triton", torch.float32), ("sparse", torch.float64)):
        operator = PixelDriven(geometry=geometry, grid=grid, backend=backend)
        generator = torch.Generator().manual_seed(1)
        y = torch.randn(1, 1, *operator.sinogram_size, generator=generator).to(dtype).requires_grad_()
        operator.adjoint(y).square().sum().backward()
        assert y.grad is not None
        gradients.append(y.grad.double())
    return found | {
        "same whatever is unrolled": all(torch.equal(result, results[0]) for result in results),
        "gradient": relative(*gradients),
    }


if __name__ == "__main__":
    print(json.dumps(_interpret()))
