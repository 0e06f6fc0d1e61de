"""Projectors on a GPU at 512 x 512 x 720: images per second, and the share of what arithmetic, cache and memory allow.

Times are medians between CUDA events of whole operator calls, packing included: warm (the same tensors again and again)
and cold (the second-level cache is overwritten before each call). Contenders take turns. Ceilings are measured on the
card: a large copy, reads of the first-level cache, multiply-adds. Beside each speed stands the gap of the dot test.
Peers: torch's sparse matrices (at 256 x 256 x 180, where they fit), ASTRA's CUDA kernels and torch-radon where they can
be imported.

Run: python tests/benchmarks/ct_gpu.py [--size 512] [--views 720] [--batches 1 32] [--seconds 1] [--sweep] [--json FILE]
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from recon_plugins.radon import FanBeamRadon, Radon
from recon_plugins.radon import triton_projector as module
from recon_plugins.radon.rays import matrix_entries
from recon_plugins.radon.triton_projector import Blocks

Run = Callable[[], object]
Scan = Radon | FanBeamRadon


@triton.jit
def read_kernel(source, target, turns, SIZE: tl.constexpr):
    index = tl.arange(0, SIZE)
    total = tl.zeros((SIZE,), tl.float32)
    for turn in range(turns):
        total += tl.load(source + index + (turn & 3) * SIZE)
    tl.store(target + index + tl.program_id(0) * SIZE, total)


@triton.jit
def multiply_kernel(source, target, turns, SIZE: tl.constexpr):
    index = tl.arange(0, SIZE)
    a = tl.load(source + index)
    b, c, d, e = a + 1, a + 2, a + 3, a + 4
    for _ in range(turns):
        b = b * a + a
        c = c * a + a
        d = d * a + a
        e = e * a + a
    tl.store(target + index + tl.program_id(0) * SIZE, b + c + d + e)


def milliseconds(run: Run, seconds: float, flush: Tensor | None = None) -> float:
    """Median time of a call between CUDA events, after warm-up."""
    for _ in range(2):
        run()
    torch.cuda.synchronize()
    start = time.perf_counter()
    run()
    torch.cuda.synchronize()
    repeat = max(5, min(200, int(seconds / (time.perf_counter() - start + 1e-6))))
    events = [(torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)) for _ in range(repeat)]
    for before, after in events:
        if flush is not None:
            flush.fill_(1.0)
        before.record()
        run()
        after.record()
    torch.cuda.synchronize()
    return statistics.median(before.elapsed_time(after) for before, after in events)


def ceilings(seconds: float) -> dict[str, float]:
    """Bytes per second of memory (read and written) and of the first-level cache, multiply-adds per second."""
    big = torch.rand(2**28, device="cuda")
    other = torch.empty_like(big)
    copied = 2 * big.nbytes / milliseconds(lambda: other.copy_(big), seconds) * 1e3
    programs, turns = 132 * 64, 2000
    read = milliseconds(lambda: read_kernel[(programs,)](big, other, turns, SIZE=2048, num_warps=8), seconds)
    multiply = milliseconds(lambda: multiply_kernel[(programs,)](big, other, turns, SIZE=2048, num_warps=8), seconds)
    return {
        "memory": copied,
        "cache": programs * turns * 2048 * 4 / read * 1e3,
        "multiply-adds": programs * turns * 2048 * 4 / multiply * 1e3,
    }


def gap(scan: Scan, x: Tensor, y: Tensor) -> float:
    ax, aty = scan(x).double(), scan.adjoint(y).double()
    difference = (ax * y.double()).sum() - (x.double() * aty).sum()
    return float(abs(difference) / (torch.linalg.vector_norm(ax) * torch.linalg.vector_norm(y.double())))


def tensors(scan: Scan, batch: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    generator = torch.Generator("cuda").manual_seed(0)
    x = torch.randn(batch, 1, *scan.size, device="cuda", generator=generator)
    y = torch.randn(batch, 1, *scan.sinogram_size, device="cuda", generator=generator)
    return x.to(dtype), y.to(dtype)


def measure(name: str, scan: Scan, batch: int, dtype: torch.dtype, limit: dict[str, float], seconds: float) -> Iterator[dict[str, Any]]:
    """Time both directions warm and cold; limits are those of the taps (two samples, two multiply-adds) alone."""
    x, y = tensors(scan, batch, dtype)
    taps = matrix_entries(scan.rays(), scan.grid.size) / 2 * batch
    difference = gap(scan, x[:4], y[:4])
    flush = torch.empty(2**26, device="cuda")
    for side, run in (("forward", lambda: scan(x)), ("adjoint", lambda: scan.adjoint(y))):
        warm, cold = milliseconds(run, seconds), milliseconds(run, seconds, flush)
        bounds = {
            "multiply-adds": 2 * taps / limit["multiply-adds"] * 1e3,
            "cache": 2 * taps * x.element_size() / limit["cache"] * 1e3,
            "memory": (x.nbytes + y.nbytes) / limit["memory"] * 1e3,
        }
        yield {
            "scan": name, "batch": batch, "dtype": str(dtype)[6:], "side": side, "warm_ms": warm, "cold_ms": cold,
            "images_per_s": batch / warm * 1e3, "gigataps_per_s": taps / warm / 1e6, "gap": difference,
            "share": {bound: value / warm for bound, value in bounds.items()},
        }  # fmt: skip


def peers(seconds: float) -> list[dict[str, Any]]:
    """Against torch's sparse matrices, at a size that they can hold."""
    scan = Radon(size=(256, 256), angles=180)
    sparse = scan.with_(backend="sparse")
    rows = []
    for batch in (1, 32):
        x, y = tensors(scan, batch, torch.float32)
        for side, ours, theirs in (
            ("forward", lambda x=x: scan(x), lambda x=x: sparse(x)),
            ("adjoint", lambda y=y: scan.adjoint(y), lambda y=y: sparse.adjoint(y)),
        ):
            pairs = [(milliseconds(ours, seconds), milliseconds(theirs, seconds)) for _ in range(3)]
            own, other = (statistics.median(values) for values in zip(*pairs, strict=True))
            rows.append({"batch": batch, "side": side, "recon_ms": own, "sparse_ms": other})
    return rows


# Views, bins, lines unrolled; rows, columns, views unrolled; warps.
CANDIDATES = {
    32: [Blocks(*sizes) for sizes in (
        (8, 16, 1, 8, 16, 1, 4), (8, 32, 1, 8, 32, 1, 8), (4, 32, 1, 16, 16, 1, 8), (16, 8, 1, 4, 32, 1, 4),
        (8, 32, 1, 8, 32, 1, 4), (8, 16, 2, 8, 16, 2, 8), (4, 16, 1, 8, 8, 1, 2), (8, 8, 2, 8, 8, 2, 2),
    )],
    1: [Blocks(*sizes) for sizes in (
        (8, 32, 4, 8, 32, 2, 8), (4, 64, 4, 8, 32, 4, 4), (8, 32, 8, 8, 64, 2, 4), (4, 64, 8, 16, 32, 2, 8),
        (1, 128, 4, 8, 16, 4, 4), (4, 32, 8, 16, 32, 1, 4), (8, 64, 4, 16, 16, 2, 8),
    )],
}  # fmt: skip


def compile_candidate(blocks: Blocks, batch: int) -> None:
    """Compile the kernels for these block sizes on a small scan; later calls find them on disk."""
    scans = {
        "parallel": Radon(size=(64, 64), angles=8),
        "fan": FanBeamRadon(size=(64, 64), angles=8, source_distance=128.0, detector_distance=64.0),
    }
    sweep(scans, batch, [blocks], 0, show=False)


def sweep(scans: dict[str, Scan], batch: int, candidates: list[Blocks], seconds: float, show: bool = True) -> list[dict[str, Any]]:
    """Time of both directions for block sizes."""
    rows = []
    chosen = module.blocks_for
    try:
        for blocks, (name, scan) in itertools.product(candidates, scans.items()):
            x, y = tensors(scan, batch, torch.float32)
            module.blocks_for = lambda _, blocks=blocks: blocks
            row: dict[str, Any] = {"scan": name, "batch": batch, "blocks": repr(blocks)}
            try:
                row["forward_ms"] = milliseconds(lambda x=x, scan=scan: scan(x), seconds)
                row["adjoint_ms"] = milliseconds(lambda y=y, scan=scan: scan.adjoint(y), seconds)
            except Exception as error:  # noqa: BLE001 - too much shared memory, say: the others still count
                row["error"] = f"{type(error).__name__}: {error}"[:200]
            rows.append(row)
            if show:
                print(row, flush=True)
    finally:
        module.blocks_for = chosen
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--views", type=int, default=720)
    parser.add_argument("--batches", type=int, nargs="*", default=[1, 32])
    parser.add_argument("--seconds", type=float, default=0.3, help="time for one figure")
    parser.add_argument("--sweep", action="store_true", help="also time block sizes")
    parser.add_argument("--json", type=Path, default=Path(os.environ.get("OUT", ".")) / "ct_gpu.json")
    arguments = parser.parse_args()
    size, views = arguments.size, arguments.views
    scans: dict[str, Scan] = {
        "parallel": Radon(size=(size, size), angles=views),
        "fan": FanBeamRadon(
            size=(size, size), angles=views, source_distance=2.0 * size, detector_distance=1.0 * size
        ),
    }
    limit = ceilings(arguments.seconds)
    report: dict[str, Any] = {
        "card": torch.cuda.get_device_name(), "torch": torch.__version__, "triton": triton.__version__,
        "size": size, "views": views, "ceilings": limit, "rows": [],
    }  # fmt: skip
    for (name, scan), batch, dtype in itertools.product(
        scans.items(), arguments.batches, (torch.float32, torch.bfloat16, torch.float16)
    ):
        if dtype == torch.float16 and (batch == 1 or name == "fan"):
            continue  # as bfloat16
        report["rows"] += measure(name, scan, batch, dtype, limit, arguments.seconds)
        print(report["rows"][-2:], flush=True)
    report["peers"] = peers(arguments.seconds)
    if arguments.sweep:
        known = [(batch, CANDIDATES[batch]) for batch in arguments.batches if batch in CANDIDATES]
        with ProcessPoolExecutor(min(12, os.cpu_count() or 1), multiprocessing.get_context("spawn")) as pool:
            list(pool.map(compile_candidate, *zip(*((blocks, batch) for batch, all_ in known for blocks in all_), strict=True)))
        report["sweep"] = [
            row for batch, candidates in known for row in sweep(scans, batch, candidates, arguments.seconds / 3)
        ]
    arguments.json.write_text(json.dumps(report, indent=1))
    show(report)


def show(report: dict[str, Any]) -> None:
    limit = report["ceilings"]
    print(f"\n{report['card']}, torch {report['torch']}, triton {report['triton']}: copy {limit['memory'] / 1e12:.2f} TB/s, "
          f"first-level cache {limit['cache'] / 1e12:.1f} TB/s, {limit['multiply-adds'] / 1e12:.1f} T multiply-adds/s")  # fmt: skip
    print(f"{report['size']}^2 x {report['views']}        warm ms  cold ms  images/s  Gtap/s  FMA %  L1 %  mem %  dot test")
    for row in report["rows"]:
        share = {bound: 100 * value for bound, value in row["share"].items()}
        print(f"{row['scan']:8s} {row['side']:7s} {row['dtype']:8s} B={row['batch']:<3d}{row['warm_ms']:8.3f} {row['cold_ms']:8.3f} "
              f"{row['images_per_s']:9.0f} {row['gigataps_per_s']:7.0f} {share['multiply-adds']:6.1f} {share['cache']:5.1f} "
              f"{share['memory']:6.2f}  {row['gap']:.1e}")  # fmt: skip
    for row in report["peers"]:
        print(f"256^2 x 180 {row['side']:7s} B={row['batch']:<3d} recon {row['recon_ms']:.3f} ms, torch sparse CSR "
              f"{row['sparse_ms']:.3f} ms: {row['sparse_ms'] / row['recon_ms']:.1f} x")  # fmt: skip
    for row in sorted(report.get("sweep", []), key=lambda row: (row["batch"], row["scan"], row.get("forward_ms", 1e9))):
        times = " ".join(f"{row[key]:8.3f}" for key in ("forward_ms", "adjoint_ms") if key in row)
        print(f"sweep B={row['batch']:<3d}{row['scan']:9s}{times}  {row['blocks']} {row.get('error', '')}")


if __name__ == "__main__":
    main()
