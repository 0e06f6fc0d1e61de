"""Projectors on a GPU at 512 x 512 x 720: images per second, and the share of what arithmetic, cache and memory allow.

Times are medians between CUDA events of whole operator calls, packing included: warm (the same tensors again and again)
and cold (the second-level cache is overwritten before each call). Contenders take turns. Ceilings are measured on the
card: a large copy, reads of the first-level cache, multiply-adds. Beside each speed stands the gap of the dot test.
Peers (ct_gpu_peers.py): torch's sparse matrices (at 256 x 256 x 180, where they fit), ASTRA's CUDA kernels and
torch-radon where they can be imported; `--batches` without numbers leaves their figures alone.

Run: python tests/benchmarks/ct_gpu.py [--size 512] [--views 720] [--batches 1 32] [--seconds 1] [--sweep] [--json FILE]
     [--peers [astra] [torch_radon] [sparse]]
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
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


def measure(
    name: str, scan: Scan, batch: int, dtype: torch.dtype, limit: dict[str, float], seconds: float
) -> Iterator[dict[str, Any]]:
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


PEERS = ("astra", "torch_radon", "sparse")
PEER_SECONDS = 75


def peers(names: list[str], size: int, views: int, seconds: float) -> list[dict[str, Any]]:
    """Rows of ct_gpu_peers.py, each rival in a process of its own, which may crash or take too long."""
    rows = []
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "rows"
            script = Path(__file__).with_name("ct_gpu_peers.py")
            command = [sys.executable, script, name, "--rows", file, "--size", size, "--views", views]
            command += ["--seconds", seconds / 3]
            try:
                ended = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=PEER_SECONDS)
                failure = "" if ended.returncode == 0 else f"ended with {ended.returncode}: {ended.stderr[-300:]}"
            except subprocess.TimeoutExpired:
                failure = f"took more than {PEER_SECONDS} s"
            lines = file.read_text().splitlines() if file.exists() else []
            rows += [json.loads(line) for line in lines]
            rows += [{"peer": name, "error": failure}] if failure else []
    return rows


# Views, bins, lines unrolled and warps of a program that projects; rows, columns, views unrolled and warps of one that
# projects back; by how many images lie side by side.
CANDIDATES = {
    32: [
        (4, 32, 1, 8, 4, 32, 1, 4),
        (8, 8, 1, 4, 8, 8, 2, 2),
        (4, 16, 1, 4, 8, 16, 1, 4),
        (4, 32, 1, 4, 8, 16, 1, 8),
        (2, 64, 1, 8, 16, 16, 1, 8),
        (2, 32, 1, 4, 4, 16, 1, 4),
        (4, 64, 1, 16, 8, 8, 1, 2),
        (4, 16, 1, 2, 8, 8, 1, 4),
    ],
    8: [
        (4, 16, 4, 4, 8, 16, 2, 4),
        (4, 8, 4, 4, 8, 8, 2, 2),
        (8, 8, 4, 4, 4, 8, 4, 2),
        (4, 32, 2, 8, 8, 8, 4, 4),
        (2, 16, 4, 4, 8, 8, 1, 4),
        (4, 8, 8, 2, 4, 16, 2, 4),
        (2, 8, 8, 4, 8, 16, 1, 2),
        (8, 16, 1, 4, 8, 8, 2, 1),
    ],
    1: [
        (4, 32, 8, 4, 8, 16, 2, 4),
        (8, 32, 8, 4, 8, 16, 4, 4),
        (2, 64, 8, 4, 8, 32, 2, 4),
        (4, 32, 4, 4, 16, 16, 2, 8),
        (1, 128, 8, 4, 8, 16, 4, 2),
        (4, 32, 16, 4, 8, 8, 4, 2),
        (2, 32, 8, 2, 16, 32, 2, 8),
        (4, 64, 8, 8, 8, 32, 4, 4),
    ],
}


def scans_of(size: int, views: int) -> dict[str, Scan]:
    """Parallel and fan beams that turns map onto themselves, and views at golden angles that none does."""
    fan = {"source_distance": 2.0 * size, "detector_distance": 1.0 * size}
    golden = [math.pi * (view * (math.sqrt(5) - 1) / 2 % 1) for view in range(views)]
    return {
        "parallel": Radon(size=(size, size), angles=views),
        "fan": FanBeamRadon(size=(size, size), angles=views, **fan),
        "golden": Radon(size=(size, size), angles=golden),
        "golden fan": FanBeamRadon(size=(size, size), angles=[2 * angle for angle in golden], **fan),
    }


def trials(size: int, views: int) -> Iterator[tuple[int, str, Scan, int]]:
    """Number of images side by side, and a scan and a batch that lead to it."""
    scans = scans_of(size, views)
    yield from ((32, "parallel", scans["parallel"], 32), (32, "fan", scans["fan"], 32))
    yield from ((8, "parallel", scans["parallel"], 1), (8, "fan", scans["fan"], 1))
    yield from ((1, "parallel", scans["golden"], 1), (1, "fan", scans["golden fan"], 1))


def compile_candidate(lanes: int, sizes: tuple[int, ...]) -> None:
    """Compile the kernels for these block sizes on a small scan; later calls find them on disk."""
    for side_by_side, _, scan, batch in trials(64, 16):
        if side_by_side == lanes:
            time_candidate(scan, batch, sizes, 0)


def time_candidate(scan: Scan, batch: int, sizes: tuple[int, ...], seconds: float) -> dict[str, Any]:
    """Time of both directions for these block sizes."""
    chosen = module.blocks_for
    row: dict[str, Any] = {"blocks": sizes}
    x, y = tensors(scan, batch, torch.float32)
    try:
        module.blocks_for = lambda _: Blocks(*sizes)
        row["forward_ms"] = milliseconds(lambda: scan(x), seconds)
        row["adjoint_ms"] = milliseconds(lambda: scan.adjoint(y), seconds)
    except Exception as error:  # noqa: BLE001 - too much shared memory, say: the others still count
        row["error"] = f"{type(error).__name__}: {error}"[:200]
    finally:
        module.blocks_for = chosen
    return row


def sweep(size: int, views: int, seconds: float) -> list[dict[str, Any]]:
    """Time block sizes."""
    jobs = [(lanes, sizes) for lanes, candidates in CANDIDATES.items() for sizes in candidates]
    with ProcessPoolExecutor(min(14, os.cpu_count() or 1), multiprocessing.get_context("spawn")) as pool:
        list(pool.map(compile_candidate, *zip(*jobs, strict=True)))
    return [
        {"lanes": lanes, "scan": name, "batch": batch} | time_candidate(scan, batch, sizes, seconds)
        for lanes, name, scan, batch in trials(size, views)
        for sizes in CANDIDATES[lanes]
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--views", type=int, default=720)
    parser.add_argument("--batches", type=int, nargs="*", default=[1, 32])
    parser.add_argument("--seconds", type=float, default=0.3, help="time for one figure")
    parser.add_argument("--sweep", action="store_true", help="also time block sizes")
    parser.add_argument("--peers", nargs="*", choices=PEERS, help="also time these rivals, or all")
    parser.add_argument("--json", type=Path, default=Path(os.environ.get("OUT", ".")) / "ct_gpu.json")
    arguments = parser.parse_args()
    size, views = arguments.size, arguments.views
    scans = scans_of(size, views)
    limit = ceilings(arguments.seconds)
    report: dict[str, Any] = {
        "card": torch.cuda.get_device_name(), "torch": torch.__version__, "triton": triton.__version__,
        "size": size, "views": views, "ceilings": limit, "rows": [],
    }  # fmt: skip
    for (name, scan), batch, dtype in itertools.product(
        scans.items(), arguments.batches, (torch.float32, torch.bfloat16, torch.float16)
    ):
        odd = "golden" in name and (dtype != torch.float32 or batch > 1)
        if odd or (dtype == torch.float16 and (batch == 1 or name != "parallel")):
            continue  # as other rows
        report["rows"] += measure(name, scan, batch, dtype, limit, arguments.seconds)
        print(report["rows"][-2:], flush=True)
    if arguments.peers is not None:
        report["peers"] = peers(arguments.peers or list(PEERS), size, views, arguments.seconds)
    if arguments.sweep:
        report["sweep"] = sweep(size, views, arguments.seconds / 4)
    arguments.json.write_text(json.dumps(report, indent=1))
    show(report)


def show(report: dict[str, Any]) -> None:
    limit = report["ceilings"]
    print(
        f"\n{report['card']}, torch {report['torch']}, triton {report['triton']}: "
        f"copy {limit['memory'] / 1e12:.2f} TB/s, first-level cache {limit['cache'] / 1e12:.1f} TB/s, "
        f"{limit['multiply-adds'] / 1e12:.1f} T multiply-adds/s"
    )
    print(
        f"{report['size']}^2 x {report['views']:<19d}warm ms  cold ms  images/s  Gtap/s  FMA %  L1 %  mem %  dot test"
    )
    for row in report["rows"]:
        fma, cache, memory = (100 * row["share"][bound] for bound in ("multiply-adds", "cache", "memory"))
        print(
            f"{row['scan']:10s} {row['side']:7s} {row['dtype']:8s} B={row['batch']:<3d}{row['warm_ms']:7.3f} "
            f"{row['cold_ms']:8.3f} {row['images_per_s']:9.0f} {row['gigataps_per_s']:7.0f} {fma:6.1f} {cache:5.1f} "
            f"{memory:6.2f}  {row['gap']:.1e}"
        )
    show_peers(report.get("peers", []))
    for side in ("forward", "adjoint"):
        rows = [row for row in report.get("sweep", []) if f"{side}_ms" in row]
        for row in sorted(rows, key=lambda row: (row["lanes"], row["scan"], row[f"{side}_ms"])):
            sizes = row["blocks"][:4] if side == "forward" else row["blocks"][4:]
            print(f"sweep {side} lanes={row['lanes']:<3d}{row['scan']:9s}{row[f'{side}_ms']:8.3f}  {sizes}")
    for row in report.get("sweep", []):
        if "error" in row:
            print(row)


def show_peers(rows: list[dict[str, Any]]) -> None:
    if rows:
        print("rival                                        recon ms  rival ms  rival/recon  distance  dot tests")
    for row in rows:
        case = f"{row['peer']} {row.get('dtype', '')} {row.get('scan', '')} B={row.get('batch', '')}"
        if "error" in row:
            print(f"{case}: {row['error']}")
            continue
        print(
            f"{case:36s} {row['side']:7s} {row['recon_ms']:8.3f} {row['peer_ms']:9.3f} {row['ratio']:12.2f}  "
            f"{row['distance']:.1e}   {row['recon_gap']:.0e} {row['peer_gap']:.0e}"
        )


if __name__ == "__main__":
    main()
