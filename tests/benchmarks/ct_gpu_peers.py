"""One rival of recon's projectors on a GPU: ASTRA's CUDA kernels, torch-radon, or torch's sparse matrices.

A process of its own for each rival, started by ``ct_gpu.py --peers``: two of them end the process where CUDA fails.
Both take turns on the same smooth phantoms. ASTRA is called in two ways: on tensors that stay on the GPU (a batch of
parallel scans as slices of one three-dimensional scan, fans as cones of one slice, one after the other), and through
its two-dimensional kernels, which copy from and to the host; then recon starts and ends at the host as well.

Run: python tests/benchmarks/ct_gpu_peers.py astra|torch_radon|sparse --rows FILE [--size 512] [--views 720]
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ct_gpu import Run, Scan, milliseconds, scans_of
from torch import Tensor

DEVICE = "cuda"
ROUNDS = 3
Map = Callable[[Tensor], Tensor]
Maps = tuple[Map, Map]
"""Projection (B, H, W) -> (B, A, D) and back projection (B, A, D) -> (B, H, W) of a rival."""


@dataclass(frozen=True)
class Peer:
    """A way to use a rival: its name, what makes its maps for a scan and a batch, and what it is given."""

    name: str
    build: Callable[[Scan, int], Maps]
    dtype: torch.dtype = torch.float32
    at_host: bool = False
    batches: tuple[int, ...] = (1, 32)


def vectors(scan: Scan) -> np.ndarray:
    """ASTRA's three-dimensional vectors of a scan, one row high: its y grows with the rows, ours against them."""
    geometry = scan.geometry
    theta = np.asarray(geometry.angles, np.float64)
    zero, one = np.zeros_like(theta), np.ones_like(theta)
    along, across = (
        np.stack([-np.sin(theta), -np.cos(theta), zero], 1),
        np.stack([np.cos(theta), -np.sin(theta), zero], 1),
    )
    source, centre = -along, np.zeros_like(along)
    if hasattr(geometry, "source_distance"):
        source, centre = -geometry.source_distance * along, geometry.detector_distance * along
    return np.concatenate([source, centre, geometry.bin_size * across, np.stack([zero, zero, one], 1)], 1)


def astra_on_gpu(scan: Scan, batch: int) -> Maps:
    """ASTRA's three-dimensional kernels on tensors that stay where they are."""
    import astra
    import astra.experimental

    fan = hasattr(scan.geometry, "source_distance")
    slices = 1 if fan else batch
    kind = "cone_vec" if fan else "parallel3d_vec"
    config = astra.astra_dict("cuda3d")
    config["ProjectionGeometry"] = astra.create_proj_geom(kind, slices, scan.geometry.bins, vectors(scan))
    config["VolumeGeometry"] = astra.create_vol_geom(*scan.size, slices)
    if fan:
        config["ProjectionKernel"] = "2d_weighting"
    projector = astra.projector3d.create(config)
    image = torch.zeros(batch, *scan.size, device=DEVICE)  # a call that fails says nothing and leaves it as it is
    sinogram = torch.zeros(batch, *scan.sinogram_size, device=DEVICE)

    def forward(x: Tensor) -> Tensor:
        # ASTRA's projections are (row, view, column): with a row a slice, that is (image, view, bin).
        for first in range(0, batch, slices):
            astra.experimental.direct_FP3D(projector, x[first : first + slices], sinogram[first : first + slices])
        return sinogram

    def adjoint(y: Tensor) -> Tensor:
        for first in range(0, batch, slices):
            astra.experimental.direct_BP3D(projector, image[first : first + slices], y[first : first + slices])
        return image

    return forward, adjoint


def astra_at_host(scan: Scan, batch: int) -> Maps:
    """ASTRA's two-dimensional CUDA kernels, which take one image at a time from the host."""
    import astra
    import astra.experimental

    geometry = scan.geometry
    fan = hasattr(geometry, "source_distance")
    distances = (geometry.source_distance, geometry.detector_distance) if fan else ()
    angles = np.asarray(geometry.angles)
    projections = astra.create_proj_geom(
        "fanflat" if fan else "parallel", geometry.bin_size, geometry.bins, angles, *distances
    )
    projector = astra.create_projector("cuda", projections, astra.create_vol_geom(*scan.size))
    image, sinogram = torch.zeros(batch, *scan.size), torch.zeros(batch, *scan.sinogram_size)

    def forward(x: Tensor) -> Tensor:
        for source, target in zip(x, sinogram, strict=True):
            astra.experimental.direct_FP2D(projector, source.numpy(), target.numpy())
        return sinogram

    def adjoint(y: Tensor) -> Tensor:
        for source, target in zip(y, image, strict=True):
            astra.experimental.direct_BP2D(projector, target.numpy(), source.numpy())
        return image

    return forward, adjoint


def torch_radon(scan: Scan, batch: int) -> Maps:
    """torch-radon (the fork on conda-forge) as its users call it."""
    import torch_radon as library

    geometry = scan.geometry
    volume = library.Volume2D()
    volume.set_size(*scan.size)
    angles = torch.tensor(geometry.angles, dtype=torch.float32)
    if hasattr(geometry, "source_distance"):
        distances = geometry.source_distance, geometry.detector_distance
        radon = library.FanBeam(geometry.bins, angles, *distances, geometry.bin_size, volume)
    else:
        radon = library.ParallelBeam(geometry.bins, angles, geometry.bin_size, volume)
    return radon.forward, radon.backward


def sparse(scan: Scan, batch: int) -> Maps:
    """torch's sparse matrices."""
    reference = scan.with_(backend="sparse")
    return (lambda x: reference(x[:, None])[:, 0]), (lambda y: reference.adjoint(y[:, None])[:, 0])


PEERS = {
    "astra": (Peer("ASTRA 3-D", astra_on_gpu), Peer("ASTRA 2-D, from host", astra_at_host, at_host=True)),
    "torch_radon": (
        Peer("torch-radon", torch_radon),
        Peer("torch-radon", torch_radon, dtype=torch.float16, batches=(32,)),
    ),
    "sparse": (Peer("torch sparse CSR", sparse),),
}


def phantoms(batch: int, size: tuple[int, int]) -> Tensor:
    """Smooth blobs off the centre, in another place in each image, of tissue's attenuation (1/mm)."""
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, n, device=DEVICE) for n in size), indexing="ij")
    turns = 2 * math.pi * torch.arange(batch, device=DEVICE)[:, None, None] / batch
    large = torch.exp(-12 * ((x - 0.3 * torch.cos(turns)) ** 2 + (y - 0.3 * torch.sin(turns) - 0.1) ** 2))
    small = torch.exp(-60 * ((x + 0.4 * torch.cos(turns)) ** 2 + (y - 0.2) ** 2))
    return 0.02 * (large - 0.5 * small)


def clocked(run: Run, seconds: float) -> float:
    """Median time of a call by the clock in ms, with all that it set off."""
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < 5 or (time.perf_counter() < end and len(times) < 200):
        start = time.perf_counter()
        run()
        torch.cuda.synchronize()
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times[2:])


def noise(batch: int, size: tuple[int, int]) -> Tensor:
    """White noise in a disc: its projections are rough, where those of phantoms hide what is not matched."""
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, n, device=DEVICE) for n in size), indexing="ij")
    generator = torch.Generator(DEVICE).manual_seed(0)
    return 0.02 * torch.randn(batch, *size, device=DEVICE, generator=generator) * (x**2 + y**2 < 0.9)


def distance(a: Tensor, b: Tensor) -> float:
    a, b = a.double().to(b.device), b.double()
    return float(torch.linalg.vector_norm(a - b) / torch.linalg.vector_norm(b))


def gap(x: Tensor, y: Tensor, ax: Tensor, aty: Tensor) -> float:
    """Gap of the dot test: |<Ax, y> - <x, A'y>| / (|Ax| |y|)."""
    x, y, ax, aty = (tensor.to(DEVICE).double() for tensor in (x, y, ax, aty))
    norms = torch.linalg.vector_norm(ax) * torch.linalg.vector_norm(y)
    return float(abs((ax * y).sum() - (x * aty).sum()) / norms)


def compare(peer: Peer, scan: Scan, batch: int, seconds: float) -> Iterator[dict[str, Any]]:
    """Results and times of both, in turns."""
    given = torch.device("cpu" if peer.at_host else DEVICE)
    forward, adjoint = peer.build(scan, batch)

    def images_and_sinograms(x: Tensor) -> tuple[Tensor, Tensor]:
        return x.to(given, peer.dtype), scan(x[:, None])[:, 0].to(given, peer.dtype)

    def ours(operator: Map, tensor: Tensor) -> Tensor:
        return operator(tensor.to(DEVICE)[:, None])[:, 0].to(given)

    x, y = images_and_sinograms(noise(batch, scan.size))
    gaps = [
        gap(x, y, project(x).clone(), back(y).clone())
        for project, back in ((partial(ours, scan), partial(ours, scan.adjoint)), (forward, adjoint))
    ]
    x, y = images_and_sinograms(phantoms(batch, scan.size))
    clock = clocked if peer.at_host else milliseconds
    for side, own, other, tensor in (("forward", scan, forward, x), ("adjoint", scan.adjoint, adjoint, y)):
        difference = distance(other(tensor), ours(own, tensor))
        runs = partial(ours, own, tensor), partial(other, tensor)
        pairs = [tuple(clock(run, seconds) for run in runs) for _ in range(ROUNDS)]
        own_ms, other_ms = (statistics.median(values) for values in zip(*pairs, strict=True))
        yield {
            "side": side, "recon_ms": own_ms, "peer_ms": other_ms, "ratio": other_ms / own_ms,
            "distance": difference, "recon_gap": gaps[0], "peer_gap": gaps[1],
        }  # fmt: skip


def figures(rival: str, size: int, views: int, seconds: float) -> Iterator[dict[str, Any]]:
    """One row a figure; what fails gives a row with its error."""
    if rival == "sparse":
        size, views = 256, 180  # they hold no more
    scans = scans_of(size, views)
    for peer in PEERS[rival]:
        for name in ("parallel",) if rival == "sparse" else ("parallel", "fan"):
            for batch in peer.batches:
                row = {"peer": peer.name, "dtype": str(peer.dtype)[6:], "scan": name, "batch": batch, "size": size}
                try:
                    yield from (row | figure for figure in compare(peer, scans[name], batch, seconds))
                except Exception as error:  # noqa: BLE001 - the others still count
                    yield row | {"error": f"{type(error).__name__}: {error}".splitlines()[0][:200]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rival", choices=PEERS)
    parser.add_argument("--rows", type=Path, required=True, help="file that gets a line of JSON for each figure")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--views", type=int, default=720)
    parser.add_argument("--seconds", type=float, default=0.1, help="time for one of the three rounds of a figure")
    arguments = parser.parse_args()
    with arguments.rows.open("a") as file, torch.no_grad():
        for row in figures(arguments.rival, arguments.size, arguments.views, arguments.seconds):
            file.write(json.dumps(row) + "\n")
            file.flush()


if __name__ == "__main__":
    main()
