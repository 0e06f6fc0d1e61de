"""Projectors at 512 x 512 x 720: CPU time per image against scikit-image and ASTRA, and two threads against one.

Contenders take turns within one process; a figure is the median of process CPU time (of wall time for the threads), a
ratio that of two medians. Beside every speed stand the gap of the dot test and the distance to the analytic sinogram
of an ellipse. ASTRA (CPU kernels) is taken if it can be imported; without numba the sparse matrices are measured.

Run: OMP_NUM_THREADS=1 python tests/benchmarks/ct_projectors.py [--size 512] [--views 720] [--repeat 5] [--peers]
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from recon_plugins.radon import FanBeamRadon, Radon

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


def interleaved(contenders: dict[str, Run], repeat: int, clock: Callable[[], float]) -> dict[str, float]:
    for run in contenders.values():
        run()
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(repeat):
        for name, run in contenders.items():
            start = clock()
            run()
            times[name].append(clock() - start)
    return {name: statistics.median(values) * 1e3 for name, values in times.items()}


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

    runs = ours(radon, 1, "parallel") | ours(radon, 16, "parallel")
    contenders = {f"{name}, {n}": on(n, run) for name, run in runs.items() for n in (1, 2)}
    times = interleaved(contenders, repeat, time.perf_counter)
    torch.set_num_threads(1)
    print("\nwall time, two threads against one (means little on a busy machine)")
    for name in runs:
        print(f"  {name:28s}{times[f'{name}, 1']:9.1f} -> {times[f'{name}, 2']:7.1f} ms   "
              f"{times[f'{name}, 1'] / times[f'{name}, 2']:.2f} x")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--views", type=int, default=720)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--peers", action="store_true", help="also time scikit-image and ASTRA")
    args = parser.parse_args()
    torch.set_num_threads(1)
    n, views = args.size, args.views
    parallel = Radon(size=(n, n), angles=views)
    odd = Radon(size=(n, n), angles=[(k + 0.3) * math.pi / views for k in range(views)], offset=0.25)
    fan = FanBeamRadon(
        size=(n, n), angles=views, source_distance=2.0 * n, detector_distance=2.0 * n, bins=2 * n, bin_size=1.6
    )
    peers: dict[str, dict[str, Run]] = {"parallel": {}, "fan": {}}
    if args.peers:
        peers["parallel"] = scikit_image(n, views) | astra(parallel, "linear", "ASTRA linear")
        peers["fan"] = astra(fan, "line_fanflat", "ASTRA line_fanflat")
    compare("parallel beam", parallel, peers["parallel"], args.repeat)
    compare("parallel beam without symmetry", odd, {}, args.repeat)
    compare("fan beam, flat detector", fan, peers["fan"], args.repeat)
    threads(parallel, args.repeat)


if __name__ == "__main__":
    main()
