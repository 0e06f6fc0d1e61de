"""CG-SENSE against sigpy, and the Cartesian operators in their folded against their plain form.

Contenders take turns within one process on one thread; a figure is the median of process CPU time, a ratio that of two
medians. The plain form is the operator's own formula with autograd's operations: shifts of all coil images and
two-dimensional transforms. sigpy is taken if it is there.

Run: OMP_NUM_THREADS=1 python tests/benchmarks/mri_operators.py [--size 320] [--coils 12] [--repeat 15] [--masks]
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

import recon
from recon.kspace import fft_centred, ifft_centred
from recon.solvers import conjugate_gradient
from recon_plugins.fourier import MulticoilFourier, as_sampling

Run = Callable[[], Tensor]


def plain_forward(maps: Tensor, mask: Tensor, x: Tensor) -> Tensor:
    return torch.where(mask, fft_centred(maps * x), 0)


def plain_adjoint(maps: Tensor, mask: Tensor, y: Tensor) -> Tensor:
    return (maps.conj() * ifft_centred(torch.where(mask, y, 0))).sum(1, keepdim=True)


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


def distance(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm() / b.norm())


def scan(size: int, coils: int) -> tuple[Tensor, Tensor]:
    """A phantom with smooth phase and the maps of a birdcage."""
    phantom = recon.build("dataset", "shepp_logan", size=(size, size))[0]["image"][None]
    y, x = torch.meshgrid(torch.linspace(-1, 1, size), torch.linspace(-1, 1, size), indexing="ij")
    birdcage = MulticoilFourier(maps={"coils": coils})
    return phantom * torch.exp(1j * (x + y**2)), birdcage.maps_for(phantom)[0, 0].contiguous()


def sigpy_sense(y: Tensor, maps: Tensor, iterations: int) -> Run | None:
    try:
        from sigpy.mri.app import SenseRecon
    except ImportError:
        return None
    k, s = y[0].numpy(), maps.numpy()

    def run() -> Tensor:
        app = SenseRecon(k, s, max_iter=iterations, tol=0, show_pbar=False)
        return torch.from_numpy(app.run())[None, None]

    return run


def cg_sense(size: int, coils: int, repeat: int) -> None:
    image, maps = scan(size, coils)
    rule = {"kind": "equispaced", "acceleration": 4, "center_fraction": 0.08}
    operator = MulticoilFourier(maps=maps, mask=rule)
    mask = operator.mask_for((size, size))
    assert mask is not None
    noise = torch.Generator().manual_seed(0)
    y = operator(image)
    y = torch.where(mask, y + 0.005 * torch.randn(y.shape, dtype=y.dtype, generator=noise), 0)

    def plain() -> Tensor:
        def normal(x: Tensor) -> Tensor:
            return plain_adjoint(maps, mask, plain_forward(maps, mask, x))

        return conjugate_gradient(normal, plain_adjoint(maps, mask, y), iterations=10, tolerance=0)

    runs: dict[str, Run] = {"recon": lambda: operator.pinv(y, iterations=10, tolerance=0), "plain form": plain}
    if sigpy := sigpy_sense(y, maps, 10):
        runs["sigpy SenseRecon"] = sigpy
    double = operator.pinv(y.to(torch.complex128), iterations=10, tolerance=0)
    times = interleaved(runs, repeat)
    print(f"CG-SENSE, {coils} coils, {size} x {size}, R = {operator.acceleration((size, size)):.2f}, 10 iterations")
    for name, run in runs.items():
        print(
            f"  {name:18s}{times[name]:9.1f} ms   recon takes {times['recon'] / times[name]:.2f} of it; "
            f"from double precision {distance(run().to(torch.complex128), double):.1e}, "
            f"from recon {distance(run(), runs['recon']()):.1e}"
        )


def forms(size: int, coils: int, repeat: int) -> None:
    image, maps = scan(size, coils)
    for name, mask in {"columns": torch.arange(size) % 4 == 0, "plane": torch.rand(size, size) < 0.25}.items():
        operator = MulticoilFourier(maps=maps, mask=mask)
        y = operator(image)

        def normal(mask: Tensor = mask) -> Tensor:
            return plain_adjoint(maps, mask, plain_forward(maps, mask, image))

        pairs: dict[str, tuple[Run, Run]] = {
            "forward": (lambda a=operator: a(image), lambda m=mask: plain_forward(maps, m, image)),  # type: ignore[misc]
            "adjoint": (lambda a=operator, y=y: a.adjoint(y), lambda m=mask, y=y: plain_adjoint(maps, m, y)),  # type: ignore[misc]
            "normal": (lambda a=operator: a.normal(image), normal),  # type: ignore[misc]
        }
        print(f"mask of {name}: folded, plain form, ratio, difference")
        for part, (folded, plain) in pairs.items():
            times = interleaved({"folded": folded, "plain": plain}, repeat)
            print(
                f"  {part:10s}{times['folded']:8.1f} {times['plain']:8.1f} ms   {times['folded'] / times['plain']:.2f}"
                f"   {distance(folded(), plain()):.1e}"
            )


def masks(size: int, repeat: int) -> None:
    """Time of a new mask, as a training step draws it: the first one of a size also finds the distance."""
    seeds = itertools.count(1)

    def ours(kind: str) -> Run:
        return lambda: as_sampling({"kind": kind, "acceleration": 8, "seed": next(seeds)}).mask((size, size))

    contenders = {kind: ours(kind) for kind in ("poisson", "gaussian_2d", "radial", "spiral")}
    try:
        from sigpy.mri.samp import poisson
    except ImportError:
        pass
    else:
        shape = (size, size)
        contenders["sigpy poisson"] = lambda: torch.from_numpy(poisson(shape, 8, calib=(16, 16), seed=next(seeds)))
    print(f"masks of {size} x {size}, acceleration 8")
    for name, value in interleaved(contenders, repeat).items():
        print(f"  {name:18s}{value:9.1f} ms   acceleration {size**2 / float(contenders[name]().count_nonzero()):.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--coils", type=int, default=12)
    parser.add_argument("--repeat", type=int, default=15)
    parser.add_argument("--masks", action="store_true", help="time of masks, against sigpy's Poisson disc")
    args = parser.parse_args()
    torch.set_num_threads(1)
    cg_sense(args.size, args.coils, args.repeat)
    forms(args.size, args.coils, args.repeat)
    if args.masks:
        masks(args.size, args.repeat)


if __name__ == "__main__":
    main()
