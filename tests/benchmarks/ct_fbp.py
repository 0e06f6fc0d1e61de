"""Filtered back-projection: CPU time per image and accuracy, against scikit-image, ASTRA and deepinv; or time on CUDA.

Contenders take turns within one process; a figure is the median of process CPU time, from the sinogram to the image,
and a ratio that of two medians. Accuracy is that of the Shepp-Logan head (unit contrast, N x N pixels) from its
closed-form sinogram, each contender fed with the head about the centre that it assumes (scikit-image and deepinv turn
the image about pixel N // 2). Peers that cannot be imported are left out.

On CUDA: medians between events, and the most memory beyond what was there, of FBP and FDK, their gradients, and the
gradients' back-projector alone, which gathers; against plain torch, which adds by `index_add_`, and by a sort.

Run: OMP_NUM_THREADS=1 python tests/benchmarks/ct_fbp.py [--size 512] [--views 720] [--repeat 5] [--peers] [--accuracy]
     python tests/benchmarks/ct_fbp.py --device cuda [--size 512] [--views 720] [--limit 15]
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from recon.testing.ellipsoids import Ellipsoid, chords, values_at
from recon_plugins.radon import (
    FBP,
    FDK,
    ConeBeamRadon,
    FanBeam,
    ParallelBeam,
    RayTransform,
    VolumeTransform,
    pixel_lookup,
    voxel_driven,
)  # fmt: skip
from recon_plugins.radon.geometry import equispaced
from recon_plugins.radon.pixel_driven import PixelDriven
from recon_plugins.radon.voxel_driven import VoxelDriven

Run = Callable[[], Tensor]
# Value, semi-axes, centre, turn in degrees: Toft's version of the phantom, on the square from -1 to 1.
HEAD = (
    (1.0, 0.69, 0.92, 0.0, 0.0, 0.0),
    (-0.8, 0.6624, 0.874, 0.0, -0.0184, 0.0),
    (-0.2, 0.11, 0.31, 0.22, 0.0, -18.0),
    (-0.2, 0.16, 0.41, -0.22, 0.0, 18.0),
    (0.1, 0.21, 0.25, 0.0, 0.35, 0.0),
    (0.1, 0.046, 0.046, 0.0, 0.1, 0.0),
    (0.1, 0.046, 0.046, 0.0, -0.1, 0.0),
    (0.1, 0.046, 0.023, -0.08, -0.605, 0.0),
    (0.1, 0.023, 0.023, 0.0, -0.606, 0.0),
    (0.1, 0.023, 0.046, 0.06, -0.605, 0.0),
)


def head(size: int, centre: tuple[float, float] = (0.0, 0.0)) -> list[Ellipsoid]:
    h = size / 2
    return [
        Ellipsoid(v, (x * h + centre[0], y * h + centre[1]), (a * h, b * h), math.radians(turn))
        for v, a, b, x, y, turn in HEAD
    ]


def reference(size: int) -> Tensor:
    centres = (np.arange(8 * size) - (8 * size - 1) / 2) / 8
    points = np.stack(np.meshgrid(centres, -centres), -1)
    return torch.tensor(values_at(head(size), points).reshape(size, 8, size, 8).mean((1, 3)))


def sinogram(geometry: ParallelBeam | FanBeam, shapes: list[Ellipsoid]) -> Tensor:
    origins, directions = geometry.rays(8)
    return torch.tensor(chords(shapes, origins.numpy(), directions.numpy()).mean(-1), dtype=torch.float32)


def figures(image: Tensor, truth: Tensor) -> str:
    error = image.double() - truth
    x = torch.arange(len(truth)) - (len(truth) - 1) / 2
    inside = (x / (0.3 * len(truth))) ** 2 + (x[:, None] / (0.4 * len(truth))) ** 2 < 1
    return f"{-10 * (error**2).mean().log10():6.2f} dB, bias {error[inside].mean():+.5f}"


def interleaved(contenders: dict[str, Run], repeat: int) -> dict[str, float]:
    for run in contenders.values():
        run()
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(repeat):
        for name, run in contenders.items():
            start = time.process_time()
            run()
            times[name].append(time.process_time() - start)
    return {name: statistics.median(values) * 1e3 for name, values in times.items()}


def ours(radon: RayTransform, y: Tensor, batch: int) -> dict[str, Run]:
    many, method = y.expand(batch, 1, -1, -1).contiguous(), FBP()
    return {
        "recon B=1": lambda: method(many[:1], radon)[0, 0],
        f"recon B={batch}": lambda: method(many, radon)[0, 0],
        "recon cubic B=1": lambda: FBP(interpolation="cubic")(many[:1], radon)[0, 0],
    }


def scikit_image(y: Tensor, size: int) -> dict[str, Run]:
    from skimage.transform import iradon

    data = y.numpy().T.copy()
    degrees = np.arange(len(y)) * 180 / len(y)
    return {
        "scikit-image": lambda: torch.from_numpy(
            iradon(data, degrees, filter_name="ramp", circle=False, output_size=size)
        )
    }


def astra(radon: RayTransform, y: Tensor, kernel: str) -> dict[str, Run]:
    """Its CPU code has no FBP of fans."""
    try:
        import astra
    except ImportError:
        return {}
    g = radon.geometry
    volume = astra.create_vol_geom(*radon.size)
    scan = astra.create_proj_geom("parallel", g.bin_size, g.bins, radon.theta.numpy())
    image, data = astra.data2d.create("-vol", volume), astra.data2d.create("-sino", scan, y.numpy())
    config = astra.astra_dict("FBP") | {
        "ProjectorId": astra.create_projector(kernel, scan, volume),
        "ReconstructionDataId": image,
        "ProjectionDataId": data,
        "option": {"FilterType": "ram-lak"},
    }
    algorithm = astra.algorithm.create(config)

    def run() -> Tensor:
        astra.algorithm.run(algorithm)
        return torch.from_numpy(astra.data2d.get(image))

    return {f"ASTRA {kernel}": run}


def deepinv(y: Tensor, size: int) -> dict[str, Run]:
    try:
        from deepinv.physics import Tomography
    except ImportError:
        return {}
    degrees = torch.arange(len(y)) * 180 / len(y)
    physics = Tomography(angles=degrees, img_width=size, circle=False, normalize=False)
    data = y.T[None, None].contiguous()
    return {"deepinv": lambda: physics.fbp(data)[0, 0]}


def compare(title: str, radon: RayTransform, args: argparse.Namespace) -> None:
    size = radon.size[0]
    y = sinogram(radon.geometry, head(size))
    contenders = ours(radon, y, 16)
    peers: dict[str, Run] = {}
    if args.peers and isinstance(radon.geometry, ParallelBeam):
        other = sinogram(radon.geometry, head(size, (-0.5, 0.5)))
        peers = astra(radon, y, "linear") | scikit_image(other, size) | deepinv(other, size)
    times = interleaved(contenders | peers, args.repeat)
    truth = reference(size) if args.accuracy else None
    print(f"\n{title}, {size} x {size} from {radon.sinogram_size}")
    for name, value in times.items():
        per_image = value / (16 if name.endswith("B=16") else 1)
        line = f"  {name:20s}{per_image:9.1f} ms of CPU per image"
        if truth is not None:
            line += "   " + figures((contenders | peers)[name](), truth)
        if name in peers:
            one, many = times["recon B=1"], times["recon B=16"] / 16
            line += f"   {value / one:5.1f} x ours at batch 1, {value / many:5.1f} x at batch 16"
        print(line)


Figure = tuple[float, float]


def measured(run: Run, seconds: float = 0.2) -> Figure:
    """Median milliseconds between CUDA events, and most memory in MB beyond what was allocated before."""
    run()
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    start = time.perf_counter()
    run()
    torch.cuda.synchronize()
    peak = (torch.cuda.max_memory_allocated() - before) / 1e6
    repeat = max(1, min(50, int(seconds / (time.perf_counter() - start + 1e-6))))
    pairs = [(torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)) for _ in range(repeat)]
    for first, last in pairs:
        first.record()
        run()
        last.record()
    torch.cuda.synchronize()
    return statistics.median(first.elapsed_time(last) for first, last in pairs), peak


@contextmanager
def by_index_add() -> Iterator[None]:
    """Let plain torch add in any order, by atomics."""
    kept = pixel_lookup.add_rows

    def add(target: Tensor, index: Tensor, rows: Tensor) -> None:
        target.index_add_(0, index, rows)

    pixel_lookup.add_rows = voxel_driven.add_rows = add
    try:
        yield
    finally:
        pixel_lookup.add_rows = voxel_driven.add_rows = kept


def gradients(method: FBP | FDK, scan: RayTransform | VolumeTransform, batch: int) -> dict[str, Figure | str]:
    """Figures of a reconstruction and its gradient."""
    y, seed = random(scan.sinogram_size, batch), random(scan.grid.size, batch)
    leaf = y.clone().requires_grad_()
    x = method(leaf, scan)
    kernels = back_projector(scan)
    first = kernels(seed)
    return {
        "reconstruction": measured(lambda: method(y, scan)),
        "its gradient": measured(lambda: torch.autograd.grad(x, leaf, seed, retain_graph=True)[0]),
        "views interpolated": measured(lambda: kernels.adjoint(y)),
        "the transpose": measured(lambda: kernels(seed)),
        "repeats bit by bit": str(all(torch.equal(kernels(seed), first) for _ in range(3))),
    }


def plain(_: FBP | FDK, scan: RayTransform | VolumeTransform, batch: int) -> dict[str, Figure | str]:
    """Figures of the transpose in plain torch operations."""
    kernels, seed, rows = back_projector(scan), random(scan.grid.size, batch), {}
    lookup = kernels.with_(backend="sparse")
    if batch == 1:
        rows["transpose, sorted"] = measured(lambda: lookup(seed), 0.0)
    with by_index_add():
        rows["transpose, index_add_"] = measured(lambda: lookup(seed), 0.0)
        exact = lookup(seed[:1])
    difference = torch.linalg.vector_norm(kernels(seed[:1]) - exact) / torch.linalg.vector_norm(exact)
    return rows | {"differs from the kernel's by": f"{float(difference):.1e}"}


def back_projector(scan: RayTransform | VolumeTransform) -> PixelDriven | VoxelDriven:
    driven = VoxelDriven if isinstance(scan, VolumeTransform) else PixelDriven
    return driven(geometry=scan.geometry, grid=scan.grid)


def random(shape: tuple[int, ...], batch: int) -> Tensor:
    return torch.rand(batch, 1, *shape, device="cuda", generator=torch.Generator("cuda").manual_seed(0))


def on_cuda(args: argparse.Namespace) -> None:
    """Print figures as they come; what fails, or comes too late, is left out."""
    start, n = time.perf_counter(), args.size
    parallel = ParallelBeam(equispaced(args.views, math.pi), math.ceil(math.sqrt(2) * n), 1.0)
    fan = FanBeam(equispaced(args.views, 2 * math.pi), 2 * n, 1.6, 2.0 * n, 2.0 * n)
    scans: dict[str, RayTransform | VolumeTransform] = {
        "parallel": RayTransform(geometry=parallel, size=(n, n)),
        "flat": RayTransform(geometry=fan, size=(n, n)),
        "curved": RayTransform(geometry=replace(fan, detector="curved"), size=(n, n)),
        # A fourth of the pixels and views each way.
        "cone": ConeBeamRadon(
            size=(n // 4,) * 3, angles=args.views // 4, source_distance=0.75 * n, detector_distance=n / 4
        ),
    }
    runs = [("parallel", 32), ("parallel", 1), ("flat", 32), ("flat", 1), ("cone", 1), ("curved", 32)]
    jobs = [(gradients, *run) for run in runs] + [(plain, *run) for run in (("parallel", 1), ("cone", 1), runs[0])]
    print(torch.cuda.get_device_name())
    for figures_of, name, batch in jobs:
        if time.perf_counter() - start > args.limit:
            print(f"{name}, batch {batch}, {figures_of.__name__}: left out, time is over")
            continue
        print(f"{name}, {scans[name].grid.size} from {scans[name].sinogram_size}, batch {batch}:", flush=True)
        try:
            found = figures_of(FDK() if name == "cone" else FBP(), scans[name], batch)
        except Exception as error:  # noqa: BLE001 - the others still count
            print(f"  {type(error).__name__}: {str(error)[:300]}", flush=True)
            continue
        for row, figure in found.items():
            text = figure if isinstance(figure, str) else f"{figure[0]:9.3f} ms {figure[1]:8.0f} MB"
            print(f"  {row:30s}{text}", flush=True)
        torch.cuda.empty_cache()
    print(f"{time.perf_counter() - start:.0f} s in all, compilation included")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--views", type=int, default=720)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--peers", action="store_true", help="also time scikit-image, ASTRA and deepinv")
    parser.add_argument("--accuracy", action="store_true", help="also show the error against the closed-form image")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--limit", type=float, default=15.0, help="on CUDA, seconds after which nothing new begins")
    args = parser.parse_args()
    if args.device == "cuda":
        on_cuda(args)
        return
    torch.set_num_threads(1)
    n, views = args.size, args.views
    parallel = ParallelBeam(equispaced(views, math.pi), math.ceil(math.sqrt(2) * n), 1.0)
    fan = FanBeam(equispaced(views, 2 * math.pi), 2 * n, 1.6, 2.0 * n, 2.0 * n)
    compare("parallel beam", RayTransform(geometry=parallel, size=(n, n)), args)
    odd = tuple(angle + 0.3 * math.pi / views for angle in parallel.angles)
    without = argparse.Namespace(**(vars(args) | {"peers": False}))
    compare(
        "parallel beam without symmetry", RayTransform(geometry=replace(parallel, angles=odd), size=(n, n)), without
    )
    compare("fan beam, flat detector", RayTransform(geometry=fan, size=(n, n)), args)
    curved = replace(fan, detector="curved")
    compare("fan beam, curved detector", RayTransform(geometry=curved, size=(n, n)), without)


if __name__ == "__main__":
    main()
