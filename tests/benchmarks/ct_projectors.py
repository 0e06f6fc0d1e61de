"""Projectors at 512 x 512 x 720: CPU time per image against scikit-image, deepinv and ASTRA, and against the processor.

Contenders take turns within one process; a figure is the median of process CPU time (of wall time for the threads), a
ratio that of two medians. Beside every speed stand the gap of the dot test and the distance to the analytic sinogram
of an ellipse. ASTRA (CPU kernels) and deepinv are taken if they are there; without numba the sparse matrices are
measured.

Run: OMP_NUM_THREADS=1 python tests/benchmarks/ct_projectors.py [--size 512] [--views 720] [--repeat 5] [--peers]
     [--threads] [--first-call] [--memory] [--roofline]
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recon_plugins.radon import FanBeamRadon, Radon
from recon_plugins.radon.pool import run_all

Run = Callable[[], object]


def ellipse(size: int, oversample: int = 8) -> tuple[Tensor, tuple[float, float, float, float, float]]:
    """An ellipse and its half axes, centre (x, y up) and tilt in pixels."""
    a, b, x0, y0, tilt = 0.33 * size, 0.21 * size, 0.06 * size, -0.04 * size, 0.4
    x = (torch.arange(size * oversample) - (size * oversample - 1) / 2) / oversample - x0
    y = ((size * oversample - 1) / 2 - torch.arange(size * oversample))[:, None] / oversample - y0
    u, v = x * math.cos(tilt) + y * math.sin(tilt), y * math.cos(tilt) - x * math.sin(tilt)
    inside = ((u / a) ** 2 + (v / b) ** 2 <= 1).float()
    return torch.nn.functional.avg_pool2d(inside[None, None], oversample), (a, b, x0, y0, tilt)


def chords(radon: Radon | FanBeamRadon, shape: tuple[float, ...], per_bin: int = 8) -> Tensor:
    """Line integrals of that ellipse, averaged over each bin; the rays are the geometry's, which tests pin down."""
    a, b, x0, y0, tilt = shape
    turn = torch.tensor([[math.cos(tilt), math.sin(tilt)], [-math.sin(tilt), math.cos(tilt)]], dtype=torch.float64)
    scale = (turn / torch.tensor([[a], [b]])).T
    origin, direction = radon.geometry.rays(per_bin)
    p, d = (origin - torch.tensor([x0, y0])) @ scale, direction @ scale
    dd = (d * d).sum(-1)
    root = (p * d).sum(-1) ** 2 - dd * ((p * p).sum(-1) - 1)
    return (2 * root.clamp(min=0).sqrt() / dd).mean(-1)


def accuracy(radon: Radon | FanBeamRadon, size: int) -> str:
    image, shape = ellipse(size)
    expected = chords(radon, shape)
    y = radon(image)
    distance = (y[0, 0] - expected).norm() / expected.norm()
    x, z = torch.randn(1, 1, size, size), torch.randn_like(y)
    ax, atz = radon(x).double(), radon.adjoint(z).double()
    gap = abs((ax * z).sum() - (x * atz).sum()) / (ax.norm() * z.norm())
    return f"ellipse {distance:.4f} relative, dot test {gap:.1e}"


def interleaved(
    contenders: dict[str, Run],
    repeat: int,
    clock: Callable[[], float],
    of: Callable[[list[float]], float] = statistics.median,
) -> dict[str, float]:
    for run in contenders.values():
        run()
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(repeat):
        for name, run in contenders.items():
            start = clock()
            run()
            times[name].append(clock() - start)
    return {name: of(values) * 1e3 for name, values in times.items()}


def ours(radon: Radon | FanBeamRadon, batch: int, prefix: str) -> dict[str, Run]:
    x, y = torch.randn(batch, 1, *radon.size), torch.randn(batch, 1, *radon.sinogram_size)
    return {
        f"{prefix} forward B={batch}": lambda: radon(x),
        f"{prefix} adjoint B={batch}": lambda: radon.adjoint(y),
    }


def scikit_image(size: int, views: int) -> dict[str, Run]:
    from skimage.transform import iradon
    from skimage.transform import radon as project

    degrees = np.arange(views) * 180 / views
    x = np.random.default_rng(0).random((size, size), dtype=np.float32)
    y = project(x, degrees, circle=False)
    return {
        "skimage forward": lambda: project(x, degrees, circle=False),
        "skimage adjoint": lambda: iradon(y, degrees, filter_name=None, circle=False, output_size=size),
    }


def deepinv(size: int, views: int) -> dict[str, Run]:
    """Its Radon transform with the gradient as adjoint, one view at a time, and its unfiltered back-projection."""
    package = importlib.util.find_spec("deepinv")
    if package is None or package.origin is None:
        return {}
    # The one module, which needs torch alone.
    path = Path(package.origin).parent / "physics" / "functional" / "radon.py"
    spec = importlib.util.spec_from_file_location("deepinv_radon", path)
    module: Any = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    spec.loader.exec_module(module)  # type: ignore[union-attr]
    degrees = torch.arange(views) * (180 / views)
    project, x = module.Radon(size, degrees, False, parallel_computation=False), torch.rand(1, 1, size, size)
    y = project(x)
    back = module.IRadon(size, degrees, False, use_filter=False, out_size=size, parallel_computation=False)
    return {"deepinv forward": lambda: project(x), "deepinv adjoint": lambda: back(y)}


def astra(radon: Radon | FanBeamRadon, kernel: str, name: str) -> dict[str, Run]:
    try:
        import astra
    except ImportError:
        return {}
    g, angles = radon.geometry, radon.theta.numpy()
    scanner = ("parallel",) if isinstance(radon, Radon) else ("fanflat",)
    distances = () if isinstance(radon, Radon) else (g.source_distance, g.detector_distance)
    volume = astra.create_vol_geom(*radon.size)
    projection = astra.create_proj_geom(*scanner, g.bin_size, g.bins, angles, *distances)
    projector = astra.create_projector(kernel, projection, volume)
    image = astra.data2d.create("-vol", volume, np.random.default_rng(0).random(radon.size, dtype=np.float32))
    sinogram = astra.data2d.create("-sino", projection, 1.0)

    def algorithm(kind: str, **ids: int) -> Run:
        config = astra.astra_dict(kind) | {"ProjectorId": projector} | ids
        handle = astra.algorithm.create(config)
        return lambda: astra.algorithm.run(handle)

    return {
        f"{name} forward": algorithm("FP", VolumeDataId=image, ProjectionDataId=sinogram),
        f"{name} adjoint": algorithm("BP", ReconstructionDataId=image, ProjectionDataId=sinogram),
    }


def compare(title: str, radon: Radon | FanBeamRadon, peers: dict[str, Run], repeat: int) -> None:
    times = interleaved(ours(radon, 1, "recon") | ours(radon, 16, "recon") | peers, repeat, time.process_time)
    print(f"\n{title}: {accuracy(radon, radon.size[0])}")
    for name, value in times.items():
        per_image = value / (16 if name.endswith("B=16") else 1)
        line = f"  {name:28s}{per_image:9.1f} ms of CPU per image"
        if name in peers:
            side = name.split()[-1]
            one, many = times[f"recon {side} B=1"], times[f"recon {side} B=16"] / 16
            line += f"   {value / one:6.1f} x ours at batch 1, {value / many:6.1f} x at batch 16 (peer at batch 1)"
        print(line)


def threads(radon: Radon, repeat: int) -> None:
    def on(count: int, run: Run) -> Run:
        def call() -> None:
            torch.set_num_threads(count)
            run()

        return call

    pure = {name: [vectors(loads) for _ in range(8)] for name, loads in (("multiply-adds", False), ("loads", True))}
    runs: dict[str, Run] = {}
    for batch in (1, 16):
        sides = ours(radon, batch, "parallel")
        # One after the other, as every step of an iteration needs them.
        runs |= sides | {f"parallel both B={batch}": lambda sides=sides: [side() for side in sides.values()]}
    runs |= {f"{name} of the processor": lambda tasks=tasks: run_all(tasks) for name, tasks in pure.items()}
    print("\nleast wall time, two threads against one (means little on a busy machine: see what pure loops reach)")
    for name, run in runs.items():
        # The least: what else the machine does only adds, and takes a core from two threads more often than from one.
        one, two = interleaved({str(n): on(n, run) for n in (1, 2)}, 3 * repeat, time.perf_counter, min).values()
        print(f"  {name:28s}{one:9.1f} -> {two:7.1f} ms   {one / two:.2f} x")
    torch.set_num_threads(1)


FIRST_CALL = """
import time, torch
from recon_plugins.radon import Radon
torch.set_num_threads(1)
radon, x = Radon(size=(64, 64), angles=16), torch.ones(1, 1, 64, 64)
start = time.process_time()
y = radon(x)
middle = time.process_time()
radon.adjoint(y)
print(middle - start, time.process_time() - middle)
"""


def first_call() -> None:
    found = [
        subprocess.run([sys.executable, "-c", FIRST_CALL], check=True, capture_output=True, text=True) for _ in range(5)
    ]
    forward, adjoint = (statistics.median(float(run.stdout.split()[k]) for run in found) for k in (0, 1))
    print(f"\nfirst calls of a process, after importing torch: {forward:.2f} s of CPU forward, {adjoint:.2f} s adjoint")


def memory(size: int, views: int) -> None:
    """Peak memory that forward and adjoint add, each contender in a process of its own."""
    print()
    for name in ("recon batch 1", "recon batch 16", "deepinv"):
        command = [sys.executable, __file__, "--size", str(size), "--views", str(views), "--memory-of", name]
        run = subprocess.run(command, check=False, capture_output=True, text=True)
        print(f"  {name:28s}" + (run.stdout.strip() or "did not finish (out of memory)"))


def peak() -> float:
    """Return the most memory that this process has had, in MiB (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def memory_of(name: str, size: int, views: int) -> None:
    if name.startswith("deepinv"):
        # Both directions hold a table of sampling points for every view.
        torch.set_num_threads(1)
        deepinv(8, 2)
        before = peak()
        for run in deepinv(size, views).values():
            run()
    else:
        batch = int(name.split()[-1])
        Radon(size=(8, 8), angles=2)(torch.zeros(1, 1, 8, 8))
        x = torch.zeros(batch, 1, size, size)
        before = peak()
        radon = Radon(size=(size, size), angles=views)
        radon.adjoint(radon(x))
    print(f"{peak() - before:.0f} MiB above the start")


def vectors(loads: bool) -> Run:
    """Make a loop of 20 million multiply-adds of 256 bits, each of which may load an operand from the first cache."""
    from recon_plugins.radon.machine import FLOAT, I64, Code, vector

    eight = vector(FLOAT, 8)
    code = Code("peak", {"values": eight.as_pointer(), "rounds": I64, "count": I64})
    emit = code.emit
    values = [emit.load(emit.gep(code.values, [I64(k)]), align=4) for k in range(11)]
    sums = [code.variable(value) for value in values[:10]]
    with code.loop(I64(0), code.rounds), code.loop(I64(0), code.count, 10) as index:
        for k, total in enumerate(sums):
            factor = emit.load(emit.gep(code.values, [emit.add(index, I64(k))]), align=4) if loads else values[10]
            code.add_to_variable(total, factor, values[10])
    for k, total in enumerate(sums):
        emit.store(emit.load(total), emit.gep(code.values, [I64(k)]), align=4)
    run, data = code.compile(), torch.zeros(400, 8)
    return lambda: run(data.data_ptr(), 50_000, 400)


def roofline(radon: Radon, repeat: int) -> None:
    """How many multiply-adds and loads of 256 bits the processor does from its first cache, and how many we do."""
    runs: dict[str, Run] = {"fma": vectors(False), "load": vectors(True)}
    runs |= ours(radon, 1, "recon") | ours(radon, 16, "recon")
    times = interleaved(runs, repeat, time.process_time)
    fma, load = 2e7 / times["fma"] / 1e6, 2e7 / times["load"] / 1e6
    rays = radon.rays()
    taps, line = 0.0, torch.arange(max(radon.size))
    for alpha, gamma, along_rows in zip(rays.alpha, rays.gamma, rays.along_rows, strict=True):
        crossing = alpha[..., None] + gamma[..., None] * line
        lines, cells = (torch.where(along_rows, *sizes)[..., None] for sizes in (radon.size, radon.size[::-1]))
        taps += float(((crossing > -1) & (crossing < cells) & (line < lines)).sum())
    print(f"\nthe processor: {fma:.2f} multiply-adds, {load:.2f} loads with multiply-add of 256 bits a nanosecond; "
          f"{taps / 1e6:.1f} million crossings of a line an image")  # fmt: skip
    for batch in (1, 16):
        for side in ("forward", "adjoint"):
            spent = times[f"recon {side} B={batch}"] / batch * 1e6  # ns an image
            # Two multiply-adds a crossing, each with its operand from memory.
            print(
                f"  {side} B={batch:<3d} {spent / 1e6:7.1f} ms an image: {2 * taps / 8 / load / spent:.0%} of that peak"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--views", type=int, default=720)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--peers", action="store_true", help="also time scikit-image, deepinv and ASTRA")
    parser.add_argument("--threads", action="store_true", help="two threads against one")
    parser.add_argument("--first-call", action="store_true", help="time of the first calls of a new process")
    parser.add_argument("--memory", action="store_true", help="peak memory, against deepinv")
    parser.add_argument("--roofline", action="store_true", help="share of what the processor can do")
    parser.add_argument("--only", action="store_true", help="only what the other options ask for")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    n, views = args.size, args.views
    if args.memory_of:
        memory_of(args.memory_of, n, views)
        return
    parallel = Radon(size=(n, n), angles=views)
    if not args.only:
        odd = Radon(size=(n, n), angles=[(k + 0.3) * math.pi / views for k in range(views)], offset=0.25)
        fan = FanBeamRadon(
            size=(n, n), angles=views, source_distance=2.0 * n, detector_distance=2.0 * n, bins=2 * n, bin_size=1.6
        )
        peers: dict[str, dict[str, Run]] = {"parallel": {}, "odd": {}, "fan": {}}
        if args.peers:
            linear = astra(parallel, "linear", "ASTRA linear")
            peers["parallel"] = scikit_image(n, views) | deepinv(n, views) | linear
            peers["odd"] = linear
            peers["fan"] = astra(fan, "line_fanflat", "ASTRA line_fanflat")
        compare("parallel beam", parallel, peers["parallel"], args.repeat)
        compare("parallel beam without symmetry", odd, peers["odd"], args.repeat)
        compare("fan beam, flat detector", fan, peers["fan"], args.repeat)
    if args.threads:
        threads(parallel, args.repeat)
    if args.first_call:
        first_call()
    if args.memory:
        memory(n, views)
    if args.roofline:
        roofline(parallel, args.repeat)


if __name__ == "__main__":
    main()
