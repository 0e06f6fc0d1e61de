"""Filtered back-projection: CPU time per image and accuracy, against scikit-image, ASTRA and deepinv.

Contenders take turns within one process; a figure is the median of process CPU time, from the sinogram to the image,
and a ratio that of two medians. Accuracy is that of the Shepp-Logan head (unit contrast, N x N pixels) from its
closed-form sinogram, each contender fed with the head about the centre that it assumes (scikit-image and deepinv turn
the image about pixel N // 2). Peers that cannot be imported are left out.

Run: OMP_NUM_THREADS=1 python tests/benchmarks/ct_fbp.py [--size 512] [--views 720] [--repeat 5] [--peers] [--accuracy]
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from recon.testing.ellipsoids import Ellipsoid, chords, values_at
from recon_plugins.radon import FBP, FanBeam, ParallelBeam, RayTransform
from recon_plugins.radon.geometry import equispaced

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--views", type=int, default=720)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--peers", action="store_true", help="also time scikit-image, ASTRA and deepinv")
    parser.add_argument("--accuracy", action="store_true", help="also show the error against the closed-form image")
    args = parser.parse_args()
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
