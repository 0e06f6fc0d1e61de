"""The Triton kernel of pixel-driven back-projection without a GPU: interpreted, and compiled for one.

The interpreter is chosen when kernels are imported, hence a process of its own for it; on a GPU the kernel is tested in
test_fbp_pixel_driven.py.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch

from recon_plugins.radon.geometry import FanBeam, ParallelBeam
from recon_plugins.radon.grid import Grid
from recon_plugins.radon.pixel_lookup import PixelLookup
from recon_plugins.radon.view_table import view_table

pytest.importorskip("triton", reason="needs triton: pip install 'recon-toolkit[triton]'")

LISTED = (0.1, 2.2, 3.9)
UNEVEN = Grid((9, 35), (1.2, 0.5), (1.0, -2.0))
CASES = {
    "parallel": (ParallelBeam(LISTED, 12, 0.8, 0.3), UNEVEN),
    "tilted": (FanBeam(LISTED, 20, 1.5, 30.0, 20.0, 0.3, "flat", 0.2), UNEVEN),
    "curved": (FanBeam(LISTED, 20, 1.5, 16.0, 20.0, 0.3, "curved"), UNEVEN),
}


@pytest.fixture(scope="module")
def interpreted() -> dict[str, list[float]]:
    """Distances from double precision, case by case."""
    environment = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, __file__], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("case", CASES)
def test_equal_to_double_precision(case: str, interpreted: dict[str, list[float]]) -> None:
    assert max(interpreted[case]) < 2e-6


@pytest.mark.parametrize("beam", [0, 1, 2])
def test_compiles_for_hopper(beam: int) -> None:
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from recon_plugins.radon.pixel_triton_kernels import interpolate

    constants = {"BEAM": beam, "TAPS": 2, "TALL": 8, "WIDE": 32, "LANES": 4}
    types = {"y": "*fp32", "x": "*fp32", "coefficients": "*fp64", "numbers": "*fp64"}
    signature = {name: "constexpr" if name in constants else types.get(name, "i32") for name in interpolate.arg_names}
    source = ASTSource(interpolate, signature, constants)
    made = triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"enable_fp_fusion": True})
    assert made.asm["cubin"][:4] == b"\x7fELF"


def _interpret() -> dict[str, list[float]]:
    """Run every case on the interpreter; called in a process of its own."""
    from recon_plugins.radon.pixel_triton import PixelTriton

    generator, found = torch.Generator().manual_seed(0), {}
    for case, (geometry, grid) in CASES.items():
        table = view_table(geometry, grid)
        found[case] = []
        for taps, batch in ((2, 1), (4, 3)):
            y = torch.randn(batch, len(geometry.angles) * geometry.bins, generator=generator)
            exact = PixelLookup(table, grid.size, taps).adjoint(y.double())
            result = PixelTriton(table, grid.size, taps, torch.device("cpu")).adjoint(y)
            found[case].append(float((result.double() - exact).norm() / exact.norm()))
    return found


if __name__ == "__main__":
    print(json.dumps(_interpret()))
