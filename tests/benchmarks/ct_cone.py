"""Cone-beam projectors and FDK: time, taps per second, and the accuracy beside every speed.

A tap is one ray meeting one plane of the volume: four voxels in three dimensions, two pixels in two. On the CPU a
figure is the median of process CPU time, contenders taking turns within one process: the kernels, the two-dimensional
kernels on the same machine (a tap there has half as many samples), and torch's sparse matrices at a size that they can
hold. With --device cuda it is the median between CUDA events, after warming up; --sweep tries block sizes.

Run: OMP_NUM_THREADS=1 python tests/benchmarks/ct_cone.py [--size 128] [--views 90] [--device cpu] [--sweep]
"""

from __future__ import annotations

import argparse
import itertools
import math
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

import torch
from torch import Tensor

from recon.testing.ellipsoids import Ellipsoid, chords, values_at
from recon_plugins.radon import FDK, ConeBeamRadon, Radon

Run = Callable[[], object]


def scanner(size: int, views: int, **changes: object) -> ConeBeamRadon:
    """A cube seen from twice its edge away, magnified by two: 14 degrees of half cone, rays one voxel apart."""
    return ConeBeamRadon(
        size=(size,) * 3, angles=views, source_distance=2.0 * size, detector_distance=2.0 * size,
        bins=(round(1.2 * size), round(1.5 * size)), **changes,
    )  # fmt: skip


def planes_crossed(operator: ConeBeamRadon) -> float:
    """Number of taps that fall inside the volume, from the projection of ones."""
    rays = operator.geometry.ray_fans().rays()[1]
    inner = rays[..., :2].abs().amax(-1) / rays.norm(dim=-1)
    ones = torch.ones(1, 1, *operator.size, device="cpu")
    return float((operator.with_()(ones)[0, 0] * inner).sum() / operator.grid.pixel[-1])


def accuracy(operator: ConeBeamRadon, device: str) -> str:
    """Distance from the line integrals of an ellipsoid, and the gap of the dot test."""
    n = operator.size[0]
    shape = [Ellipsoid(0.02, (0.06 * n, -0.04 * n, 0.05 * n), (0.31 * n, 0.22 * n, 0.27 * n), 0.4)]
    axes = [((torch.arange(4 * n) + 0.5) / 4 - n / 2).tolist()] * 3
    z, y, x = torch.meshgrid(*map(torch.tensor, axes), indexing="ij") if n <= 64 else (None,) * 3
    gap_x, gap_y = torch.randn(1, 1, *operator.size), torch.randn(1, 1, *operator.sinogram_size)
    ax, aty = operator(gap_x.to(device)).cpu().double(), operator.adjoint(gap_y.to(device)).cpu().double()
    gap = abs((ax * gap_y).sum() - (gap_x * aty).sum()) / (ax.norm() * gap_y.norm())
    text = f"dot test {float(gap):.1e}"
    if z is not None:
        fine = torch.from_numpy(values_at(shape, torch.stack([x, -y, z], -1).numpy())).float()
        image = torch.nn.functional.avg_pool3d(fine[None, None], 4)
        origin, towards = operator.geometry.finer(3, 3).ray_fans().rays()
        exact = torch.from_numpy(chords(shape, origin.numpy(), (towards / towards.norm(dim=-1, keepdim=True)).numpy()))
        views, rows, columns = operator.sinogram_size
        exact = exact.reshape(views, rows, 3, columns, 3).mean((2, 4))
        found = operator(image.to(device))[0, 0].cpu().double()
        text += f", ellipsoid {float((found - exact).norm() / exact.norm()):.4f} relative"
    return text


def cpu_time(contenders: dict[str, Run], repeat: int) -> dict[str, float]:
    for run in contenders.values():
        run()
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(repeat):
        for name, run in contenders.items():
            start = time.process_time()
            run()
            times[name].append(time.process_time() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def cuda_time(contenders: dict[str, Run], repeat: int) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for name, run in contenders.items():
        run()
        run()
        for _ in range(repeat):
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            run()
            end.record()
            torch.cuda.synchronize()
            times[name].append(start.elapsed_time(end) / 1e3)
    return {name: statistics.median(values) for name, values in times.items()}


def contenders(operator: ConeBeamRadon, name: str, device: str) -> tuple[dict[str, Run], Tensor]:
    x = torch.randn(1, 1, *operator.size, device=device)
    y = operator(x)
    return {
        f"{name} forward": lambda: operator(x),
        f"{name} adjoint": lambda: operator.adjoint(y),
        f"{name} FDK": lambda: FDK()(y, operator),
    }, y


def report(times: dict[str, float], taps: dict[str, float], samples: dict[str, int]) -> None:
    for name, seconds in times.items():
        line = f"  {name:34s}{seconds * 1e3:10.2f} ms"
        key = name.rsplit(" ", 1)[0]
        if key in taps and not name.endswith("FDK"):
            rate = taps[key] / seconds / 1e9
            line += f"   {rate:8.2f} Gtap/s  {rate * samples[key]:8.2f} Gsample/s"
        print(line)


def on_cpu(args: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    flat, curved = scanner(args.size, args.views), scanner(args.size, args.views, detector="curved")
    small, plane = scanner(24, 24), Radon(size=(4 * args.size,) * 2, angles=args.views)
    sparse = small.with_(backend="sparse")
    runs = contenders(flat, "flat", "cpu")[0] | contenders(curved, "curved", "cpu")[0]
    for name, operator in (("24^3 kernels", small), ("24^3 sparse", sparse)):
        runs |= {k: v for k, v in contenders(operator, name, "cpu")[0].items() if not k.endswith("FDK")}
    for batch in (1, 16):
        image = torch.randn(batch, 1, *plane.size)
        views = plane(image)
        runs[f"2-D batch {batch} forward"] = lambda image=image: plane(image)
        runs[f"2-D batch {batch} adjoint"] = lambda views=views: plane.adjoint(views)
    theta = plane.theta
    lengths = torch.maximum(theta.cos().abs(), theta.sin().abs())[:, None]
    flat_taps = float((plane(torch.ones(1, 1, *plane.size))[0, 0] * lengths).sum())
    taps = {
        "flat": planes_crossed(flat), "curved": planes_crossed(curved),
        "24^3 kernels": planes_crossed(small), "24^3 sparse": planes_crossed(small),
        "2-D batch 1": flat_taps, "2-D batch 16": 16 * flat_taps,
    }  # fmt: skip
    samples = {name: 2 if name.startswith("2-D") else 4 for name in taps}
    print(
        f"volume {flat.size}, projections {flat.sinogram_size}, {taps['flat'] / 1e9:.2f} G taps;", accuracy(flat, "cpu")
    )
    print(f"24^3: {accuracy(small, 'cpu')}")
    report(cpu_time(runs, args.repeat), taps, samples)


def on_cuda(args: argparse.Namespace) -> None:
    print(torch.cuda.get_device_name())
    print("64^3:", accuracy(scanner(64, 60), "cuda"))
    operators = {
        "flat": scanner(args.size, args.views),
        "curved": scanner(args.size, args.views, detector="curved"),
    }
    for name, operator in operators.items():
        taps = {name: planes_crossed(operator)}
        torch.cuda.reset_peak_memory_stats()
        times = cuda_time(contenders(operator, name, "cuda")[0], args.repeat)
        peak = torch.cuda.max_memory_allocated() / 2**20
        x, y = math.prod(operator.size) * 4 / 2**20, math.prod(operator.sinogram_size) * 4 / 2**20
        print(f"volume {operator.size} ({x:.0f} MiB), projections {operator.sinogram_size} ({y:.0f} MiB): "
              f"{taps[name] / 1e9:.2f} G taps, peak {peak:.0f} MiB; {accuracy(operator, 'cuda')}")  # fmt: skip
        report(times, taps, {name: 4})
    if args.sweep:
        sweep(operators["flat"], args.repeat)


# Columns, rows and warps of a program that projects; height, width, slices and warps of one that projects back.
FORWARD = list(itertools.product((4, 8, 16), (32, 64), (4, 8)))
ADJOINT = list(itertools.product((1, 2, 4), (4, 8), (32, 64), (4, 8)))


def with_blocks(operator: ConeBeamRadon, sizes: tuple[int, ...]) -> ConeBeamRadon:
    """Return a copy whose kernels have these block sizes."""
    from recon_plugins.radon import cone_triton

    names = ("COLUMNS", "ROWS", "WARPS") if len(sizes) == 3 else ("TALL", "WIDE", "SLICES", "WARPS")
    for name, size in zip(names, sizes, strict=True):
        setattr(cone_triton, name, size)
    return operator.with_()


def compile_blocks(sizes: tuple[int, ...]) -> None:
    """Compile one kernel; later calls find it on disk."""
    operator = with_blocks(scanner(64, 8), sizes)
    x, y = torch.zeros(1, 1, *operator.size, device="cuda"), torch.zeros(1, 1, *operator.sinogram_size, device="cuda")
    operator(x) if len(sizes) == 3 else operator.adjoint(y)


def sweep(operator: ConeBeamRadon, repeat: int) -> None:
    """Time block sizes, the fastest first."""
    with ProcessPoolExecutor(min(14, os.cpu_count() or 1), multiprocessing.get_context("spawn")) as pool:
        list(pool.map(compile_blocks, FORWARD + ADJOINT))
    taps = planes_crossed(operator)
    x = torch.randn(1, 1, *operator.size, device="cuda")
    y = operator(x)
    for side, candidates in (("forward", FORWARD), ("adjoint", ADJOINT)):
        found = []
        for sizes in candidates:
            fresh = with_blocks(operator, sizes)
            run = (lambda fresh=fresh: fresh(x)) if side == "forward" else (lambda fresh=fresh: fresh.adjoint(y))
            found.append((taps / cuda_time({side: run}, repeat)[side] / 1e9, sizes))
        for rate, sizes in sorted(found, reverse=True):
            print(f"  {side} {' x '.join(map(str, sizes[:-1]))}, {sizes[-1]} warps: {rate:8.2f} Gtap/s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--views", type=int, default=90)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--sweep", action="store_true", help="on cuda: try block sizes")
    args = parser.parse_args()
    (on_cuda if args.device == "cuda" else on_cpu)(args)


if __name__ == "__main__":
    main()
