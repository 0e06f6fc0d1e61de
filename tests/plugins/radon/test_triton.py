"""The Triton kernels without a GPU: interpreted, against the sparse reference, and compiled for one.

What runs on a GPU is in test_triton_cuda.py. The interpreter is chosen when kernels are imported, hence a process of
its own for it; it takes a tenth of a second for a program of some hundred rays, hence the small cases.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest
import torch

from recon.errors import UsageError
from recon_plugins.radon import FanBeam, FanBeamRadon, ParallelBeam, Radon, RayTransform
from recon_plugins.radon.backends import choose

pytest.importorskip("triton", reason="needs triton: pip install 'recon-toolkit[triton]'")

FAN = {"source_distance": 30.0, "detector_distance": 20.0}
CASES = {
    "parallel": Radon(size=(12, 12), angles=5),
    "pixels that are not square, fine bins, image aside": Radon(
        size=(7, 12), angles=[0.2, 3.0, 5.1], pixel=(0.7, 1.1), bin_size=0.4, centre=(1.0, -2.0)
    ),
    "coarse bins": Radon(size=(9, 9), angles=4, bin_size=2.5, offset=0.4),
    "one bin, one row": Radon(size=(1, 9), angles=[0.1, 0.7, 1.6], bins=1),
    "flat fan": FanBeamRadon(size=(12, 12), angles=6, **FAN),
    "curved fan": FanBeamRadon(size=(8, 12), angles=5, **FAN, detector="curved", offset=0.7),
    "fan of coarse bins": FanBeamRadon(size=(9, 9), angles=[0.3, 2.5], **FAN, bin_size=4.0),
    "tilted detector": RayTransform(geometry=FanBeam((0.0, 1.1, 2.9, 5.0), 11, 1.3, 20.0, 15.0, tilt=0.2), size=(8, 9)),
    "source inside the image": RayTransform(geometry=FanBeam((0.3, 2.0), 9, 1.0, 3.0, 4.0), size=(8, 8)),
    "half out of sight": RayTransform(geometry=ParallelBeam((0.4, 1.3), 6, 1.0, 5.0), size=(9, 9), centre=(2.0, 0.0)),
}


@pytest.fixture(scope="module")
def interpreted() -> dict[str, list[dict[str, Any]]]:
    """What the interpreter computes for every case."""
    environment = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, __file__], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("case", CASES)
def test_equal_to_the_sparse_reference_and_matched(case: str, interpreted: dict[str, list[dict[str, Any]]]) -> None:
    for found in interpreted[case]:
        single = found["dtype"] != "float64"
        assert found["result"] == ("float32" if single else "float64")
        assert found["forward"] < (1e-6 if single else 1e-13), found
        assert found["adjoint"] < (1e-6 if single else 1e-13), found
        assert found["gap"] < (1e-6 if single else 1e-14), found


def test_where_it_serves() -> None:
    cuda, cpu = torch.device("cuda"), torch.device("cpu")
    for dtype in (torch.float32, torch.float64):
        assert choose("auto", dtype, cuda).name == choose("triton", dtype, cuda).name == "triton"
        assert choose("auto", dtype, cpu).name != "triton"
    radon = Radon(size=(8, 8), angles=3, backend="triton")
    with pytest.raises(UsageError, match=r"^backend 'triton' serves images on CUDA, not on cpu: move .*$"):
        radon(torch.zeros(1, 1, 8, 8))


def test_without_triton(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recon_plugins.radon.backends.importlib.util.find_spec", lambda name: None)
    assert choose("auto", torch.float32, torch.device("cuda")).name == "sparse"
    with pytest.raises(UsageError, match=r"^backend 'triton': triton is not installed: pip install .*, or take .*$"):
        Radon(size=(8, 8), angles=3, backend="triton")


KERNELS = {
    "pack_image": {"LANES": 32, "TURNS": 1, "CELLS": 32},
    "pack_sinogram": {"SCALED": True, "LANES": 32, "TURNS": 8, "BINS": 32},
    "project": {"DOUBLE": False, "LANES": 32, "TURNS": 1, "VIEWS": 8, "BINS": 16, "UNROLL": 1},
    "back_project": {"DOUBLE": False, "CURVED": True, "LANES": 1, "TURNS": 1, "TALL": 8, "WIDE": 32},
    "back_project_fan": {"BITS": 40, "LANES": 32, "TURNS": 1, "TALL": 8, "WIDE": 16},
    "back_project_parallel": {"BITS": 30, "REACH": 1, "LANES": 8, "TURNS": 8, "TALL": 8, "WIDE": 16, "UNROLL": 1},
}
TYPES = {
    **dict.fromkeys(("x", "y", "out", "rows", "columns", "weight", "search", "shares", "lengths", "factor"), "*fp32"),
    **dict.fromkeys(("alpha", "gamma", "origin", "places"), "*i64"),
    **dict.fromkeys(("blocks", "starts", "turns", "present", "slopes"), "*i32"),
    **dict.fromkeys(("angle_scale", "angle_shift", "margin", "limit"), "fp32"),
}


@pytest.mark.parametrize("name", KERNELS)
def test_compiles_for_hopper(name: str) -> None:
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from recon_plugins.radon import triton_kernels

    kernel = getattr(triton_kernels, name)
    constants = KERNELS[name]
    signature = {a: "constexpr" if a in constants else TYPES.get(a, "i32") for a in kernel.arg_names}
    aligned = {(i,): [["tt.divisibility", 16]] for i, a in enumerate(kernel.arg_names) if signature[a][0] == "*"}
    source = ASTSource(kernel, signature, constants, aligned)
    made = triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"enable_fp_fusion": True})
    assert made.asm["cubin"][:4] == b"\x7fELF"
    if name in ("project", "back_project_parallel"):
        assert "ld.global.v4" in made.asm["ptx"]  # four images a load
        assert ".f64" not in made.asm["ptx"]  # a sixty-fourth of the speed on most cards


def _interpret() -> dict[str, list[dict[str, Any]]]:
    """Run every case on the interpreter; called in a process of its own."""
    from recon_plugins.radon.sparse import SparseProjector
    from recon_plugins.radon.triton_projector import TritonProjector

    def relative(a: torch.Tensor, b: torch.Tensor) -> float:
        return float(torch.linalg.vector_norm(a.double() - b) / torch.linalg.vector_norm(b))

    generator = torch.Generator().manual_seed(0)
    found: dict[str, list[dict[str, Any]]] = {}
    for case, radon in CASES.items():
        rays, cpu = radon.rays(), torch.device("cpu")
        reference = SparseProjector(rays, radon.grid.size, torch.float64, cpu)
        runs = [(torch.float32, 3)]
        if case in ("parallel", "curved fan"):
            runs += [(torch.float32, 1), (torch.float64, 2), (torch.bfloat16, 2)]
        for dtype, batch in runs:
            projector = TritonProjector(
                rays, radon.geometry, radon.grid, torch.float64 if dtype == torch.float64 else torch.float32, cpu
            )
            x, y = (
                torch.randn(batch, int(torch.tensor(shape).prod()), generator=generator).to(dtype)
                for shape in (radon.size, radon.sinogram_size)
            )
            ax, aty = projector.forward(x), projector.adjoint(y)
            difference = (ax.double() * y.double()).sum() - (x.double() * aty.double()).sum()
            size = torch.linalg.vector_norm(ax.double()) * torch.linalg.vector_norm(y.double())
            found.setdefault(case, []).append(
                {
                    "dtype": str(dtype)[6:],
                    "result": str(ax.dtype)[6:],
                    "forward": relative(ax, reference.forward(x.double())),
                    "adjoint": relative(aty, reference.adjoint(y.double())),
                    "gap": float(abs(difference) / size),
                }
            )
    return found


if __name__ == "__main__":
    print(json.dumps(_interpret()))
