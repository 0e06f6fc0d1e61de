"""The Triton kernels of cone beams: interpreted, compiled for a GPU, and on one.

The interpreter is chosen when kernels are imported, hence a process of its own for it; it is slow, hence small cases.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import Any

import pytest
import torch

from recon.errors import UsageError
from recon_plugins.radon import FDK, ConeBeam, ConeBeamRadon, VolumeTransform
from recon_plugins.radon.cone_projectors import volume_projector
from recon_plugins.radon.voxel_driven import VoxelDriven

pytest.importorskip("triton", reason="needs triton: pip install 'recon-toolkit[triton]'")

SCAN = {"source_distance": 30.0, "detector_distance": 15.0}
HELIX = ConeBeamRadon(
    size=(3, 4, 5), angles=[0.2, 5.0, 8.0], bins=(4, 6), bin_size=(1.3, 1.9), pixel=(0.8, 1.0, 1.2), **SCAN,
    offset=(0.3, 0.7), detector="curved", pitch=2.0, centre=(0.5, 0.3, -0.2),
)  # fmt: skip
FLAT = ConeBeamRadon(size=(3, 5, 4), angles=[0.3, 2.0], **SCAN)
CASES = {
    "flat": FLAT,
    "curved, helix, off centre": HELIX,
    "turned detector": VolumeTransform(
        size=(3, 4, 4), geometry=ConeBeam((0.3, 2.0), (4, 6), 1.6, 30, 15, tilt=(0.3, 0, 0))
    ),
}
LARGER = {
    **CASES,
    "flat, 40 views": ConeBeamRadon(size=(20, 33, 18), angles=40, source_distance=60.0, detector_distance=30.0),
    "fine bins": ConeBeamRadon(size=(9, 12, 12), angles=7, bins=(60, 50), bin_size=(0.5, 0.6), **SCAN),
    "coarse bins": ConeBeamRadon(size=(9, 12, 12), angles=7, bins=(9, 9), bin_size=(4.0, 3.0), **SCAN),
}


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(torch.linalg.vector_norm(a.double() - b) / torch.linalg.vector_norm(b))


def compare(operator: VolumeTransform, dtype: torch.dtype, device: str) -> dict[str, Any]:
    """Distances of both directions from the sparse matrices, and the gap of the dot test."""
    generator, where = torch.Generator().manual_seed(0), torch.device(device)
    triton = volume_projector(operator.geometry, operator.grid, "triton", dtype, where)
    sparse = volume_projector(operator.geometry, operator.grid, "sparse", torch.float64, torch.device("cpu"))
    x = torch.randn(2, operator.grid.size[0] * operator.size[1] * operator.size[2], generator=generator, dtype=dtype)
    ax = sparse.forward(x.double())
    y = torch.randn(ax.shape, generator=generator, dtype=dtype)
    found, back = triton.forward(x.to(where)).cpu(), triton.adjoint(y.to(where)).cpu()
    gap = ((found.double() * y).sum() - (x * back.double()).sum()).abs() / (found.double().norm() * y.norm())
    return {
        "forward": relative(found, ax), "adjoint": relative(back, sparse.adjoint(y.double())), "gap": float(gap),
        "result": str(found.dtype),
    }  # fmt: skip


def interpolated(operator: VolumeTransform, device: str) -> dict[str, float]:
    """Distances of FDK's back-projector and its transpose from plain torch in double precision, and their gap."""
    from recon_plugins.radon.voxel_triton import VoxelTriton

    lookup = VoxelDriven(geometry=operator.geometry, grid=operator.grid, backend="sparse")
    generator, where = torch.Generator().manual_seed(2), torch.device(device)
    y = torch.randn(2, 1, *operator.sinogram_size, generator=generator)
    x = torch.randn(2, 1, *operator.size, generator=generator)
    found = VoxelTriton(lookup.places, operator.grid.size, operator.sinogram_size, where)
    aty, ax = found.adjoint(y.flatten(1).to(where)).cpu(), found.forward(x.flatten(1).to(where)).cpu()
    gap = ((ax.double() * y.flatten(1)).sum() - (x.flatten(1) * aty.double()).sum()).abs()
    return {
        "adjoint": relative(aty, lookup.adjoint(y.double()).flatten(1)),
        "forward": relative(ax, lookup(x.double()).flatten(1)),
        "gap": float(gap / (ax.double().norm() * y.double().norm())),
    }


def check(found: dict[str, Any], dtype: torch.dtype) -> None:
    single = dtype == torch.float32
    assert found["result"] == str(dtype)
    assert max(found["forward"], found["adjoint"]) < (1e-6 if single else 1e-13), found
    assert found["gap"] < (1e-7 if single else 1e-14), found


@pytest.mark.slow
def test_interpreted_equal_to_the_sparse_reference_and_matched() -> None:
    environment = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, __file__], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    projected, interpolations = json.loads(done.stdout.splitlines()[-1])
    for found in interpolations:
        assert max(found["adjoint"], found["forward"]) < 1e-6, found
        assert found["gap"] < 2e-7, found
    for found in projected:
        check(found, torch.float32 if found["result"] == "torch.float32" else torch.float64)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("case", LARGER)
def test_on_a_gpu(case: str, dtype: torch.dtype) -> None:
    check(compare(LARGER[case], dtype, "cuda"), dtype)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_operator_on_a_gpu_equals_the_cpu() -> None:
    for operator in LARGER.values():
        x = torch.randn(2, 1, *operator.size, generator=torch.Generator().manual_seed(1))
        y = operator(x)
        assert relative(operator(x.cuda()).cpu(), y.double()) < 1e-6
        assert relative(operator.adjoint(y.cuda()).cpu(), operator.adjoint(y).double()) < 1e-6


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("case", ["flat", "turned detector", "flat, 40 views", "fine bins", "coarse bins"])
def test_fdk_back_projector_on_a_gpu(case: str) -> None:
    found = interpolated(LARGER[case], "cuda")
    assert max(found["adjoint"], found["forward"]) < 5e-6, found
    assert found["gap"] < 2e-7, found


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("detector", ["flat", "curved"])
def test_fdk_repeats_bit_by_bit_on_a_gpu(detector: str, dtype: torch.dtype) -> None:
    scan = LARGER["flat, 40 views"].with_(detector=detector)
    operator = VoxelDriven(geometry=scan.geometry, grid=scan.grid)
    x = torch.randn(2, 1, *scan.size, generator=torch.Generator().manual_seed(4), dtype=dtype).cuda()
    y = operator(x)
    assert all(torch.equal(operator(x), y) for _ in range(3))
    assert relative(y.cpu(), operator(x.cpu().double())) < (2e-6 if dtype == torch.float32 else 1e-13)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("detector", ["flat", "curved"])
def test_fdk_on_a_gpu(detector: str) -> None:
    operator = LARGER["flat, 40 views"].with_(detector=detector)
    found = interpolated(operator, "cuda")
    assert found["adjoint"] < 1e-6, found
    assert found["forward"] < 2e-6, found
    y = torch.rand(2, 1, *operator.sinogram_size, generator=torch.Generator().manual_seed(3))
    assert relative(FDK()(y.cuda(), operator).cpu(), FDK()(y, operator).double()) < 1e-5
    leaf = y[..., :8, :].cuda().requires_grad_()
    short = operator.with_(bins=(8, y.shape[-1]))
    FDK()(leaf, short).square().sum().backward()
    exact = leaf.detach().cpu().double().requires_grad_()
    FDK()(exact, short).square().sum().backward()
    assert relative(leaf.grad.cpu(), exact.grad) < 1e-5


def test_rays_that_leave_their_plane_are_refused_by_name() -> None:
    rolled = VolumeTransform(size=(3, 4, 4), geometry=ConeBeam((0.3,), (4, 6), 1.6, 30, 15, tilt=(0, 0, 0.3)))
    with pytest.raises(UsageError, match=r"^backend 'triton' .* neither rolled nor pitched.*take backend 'auto'$"):
        volume_projector(rolled.geometry, rolled.grid, "triton", torch.float32, torch.device("cuda"))


KERNELS = {
    "project": {"DOUBLE": False, "COLUMNS": 8, "ROWS": 64},
    "back_project": {"DOUBLE": False, "CURVED": True, "TALL": 4, "WIDE": 4, "SLICES": 64},
    "interpolate": {"CURVED": True, "TALL": 2, "WIDE": 4, "SLICES": 32},
    "spread": {"CURVED": True, "COLUMNS": 4, "ROWS": 64},
}
TYPES = {
    **dict.fromkeys(("volume", "y", "x", "coefficients"), "*fp32"),
    **dict.fromkeys(("cell", "cell_step", "first", "first_step", "spacing", "spacing_step"), "*fp64"),
    **dict.fromkeys(("flat", "rise", "spread", "numbers"), "*fp64"),
    **dict.fromkeys(("ranges", "present", "met"), "*i32"),
    "crossings": "*i64",
    "shapes": "*fp32",
    **dict.fromkeys(("scale", "shift"), "fp32"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", KERNELS)
def test_compiles_for_hopper(name: str) -> None:
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from recon_plugins.radon import cone_triton_kernels, voxel_triton_kernels

    kernel = getattr(voxel_triton_kernels if name == "spread" else cone_triton_kernels, name)
    constants = KERNELS[name]
    types = TYPES | ({"coefficients": "*fp64"} if name in ("interpolate", "spread") else {})
    signature = {a: "constexpr" if a in constants else types.get(a, "i32") for a in kernel.arg_names}
    aligned = {(i,): [["tt.divisibility", 16]] for i, a in enumerate(kernel.arg_names) if signature[a][0] == "*"}
    source = ASTSource(kernel, signature, constants, aligned)
    made = triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"enable_fp_fusion": True})
    assert made.asm["cubin"][:4] == b"\x7fELF"
    assert not re.search(r"\b(atom|red)\.", made.asm["ptx"])  # sums in one order


if __name__ == "__main__":
    runs = [(operator, torch.float32) for operator in CASES.values()] + [(HELIX, torch.float64)]
    coarse = FLAT.with_(bins=(3, 4), bin_size=(4.0, 3.0), size=(9, 5, 6))
    shifted = HELIX.with_(pitch=0.0, angles=[0.2, 5.0], size=(7, 4, 5))
    scans = [FLAT, shifted, coarse, CASES["turned detector"]]
    print(json.dumps([[compare(operator, dtype, "cpu") for operator, dtype in runs],
                      [interpolated(scan, "cpu") for scan in scans]]))  # fmt: skip
