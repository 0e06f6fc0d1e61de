"""NUFFT of 12 coils of 320 x 320 against bare finufft, and against sigpy: CPU time and error.

Contenders take turns within one process; a figure is the median of process CPU time, a ratio that of two medians.
Beside every speed stands the error against the direct sum in double precision, on some of the samples and of the
pixels. sigpy is taken if it is there. ``--normal`` also times A^H A by way of the samples and as a convolution, and
``--cg`` ten steps of conjugate gradients.

Run: OMP_NUM_THREADS=1 python tests/benchmarks/mri_nufft.py [--size 320] [--coils 12] [--eps 1e-3] [--repeat 9]
     [--normal] [--cg]
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable

import finufft
import numpy as np
import torch
from torch import Tensor

from recon_plugins.nufft import NUFFT

Run = Callable[[], object]


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


class Direct:
    """The sums themselves, at some samples and pixels."""

    def __init__(self, nufft: NUFFT, x: Tensor, y: Tensor) -> None:
        generator = torch.Generator().manual_seed(2)
        n, k = nufft.size[0], nufft.cycles() * (2 * math.pi / nufft.size[0])
        self.samples = torch.randperm(len(k), generator=generator)[:300]
        self.pixels = torch.randint(n, (200, 2), generator=generator)
        r = torch.arange(n, dtype=torch.float64) - n // 2
        along = [torch.exp(-1j * k[self.samples, d, None] * r) for d in (0, 1)]
        self.forward = torch.einsum("my,mx,cyx->cm", *along, x.to(torch.complex128)) / n
        waves = torch.exp(1j * ((self.pixels - n // 2).double() @ k.T)) / n
        self.adjoint = torch.einsum("pm,cm->cp", waves, y.to(torch.complex128))

    def errors(self, forward: Tensor, adjoint: Tensor) -> str:
        a = forward[:, self.samples].to(torch.complex128) - self.forward
        b = adjoint[:, self.pixels[:, 0], self.pixels[:, 1]].to(torch.complex128) - self.adjoint
        return f"error {a.norm() / self.forward.norm():.1e} forward, {b.norm() / self.adjoint.norm():.1e} adjoint"


def compare(spokes: int, args: argparse.Namespace) -> None:
    n, coils = args.size, args.coils
    trajectory = {"kind": "radial", "spokes": spokes, "angles": "golden"}
    nufft = NUFFT(size=(n, n), trajectory=trajectory, eps=args.eps, toeplitz=False)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, coils, n, n, dtype=torch.complex64, generator=generator)
    y = torch.randn(1, coils, *nufft.samples, dtype=torch.complex64, generator=generator)
    flat = y[0].flatten(1)
    points = [column.contiguous().float().numpy() for column in nufft.points().T]
    images, samples = x[0].numpy(), flat.numpy()
    plans = {}
    for kind, sign in ((2, -1), (1, 1)):
        plans[kind] = finufft.Plan(kind, (n, n), coils, args.eps, sign, "complex64", nthreads=1)
        plans[kind].setpts(*points)
    runs: dict[str, Run] = {
        "recon forward": lambda: nufft(x),
        "finufft forward": lambda: plans[2].execute(images),
        "recon adjoint": lambda: nufft.adjoint(y),
        "finufft adjoint": lambda: plans[1].execute(samples),
    }
    direct = Direct(nufft, x[0], flat)
    lines = {
        "recon": direct.errors(nufft(x)[0].flatten(1), nufft.adjoint(y)[0]),
        "finufft": direct.errors(*(torch.from_numpy(plans[i].execute(d)) / n for i, d in ((2, images), (1, samples)))),
    }
    try:
        import sigpy
    except ImportError:
        print("sigpy is not here")
    else:
        coord = nufft.cycles().numpy().astype(np.float32)
        runs["sigpy forward"] = lambda: sigpy.nufft(images, coord)
        runs["sigpy adjoint"] = lambda: sigpy.nufft_adjoint(samples, coord, images.shape)
        theirs = (sigpy.nufft(images, coord), sigpy.nufft_adjoint(samples, coord, images.shape))
        lines["sigpy"] = direct.errors(*(torch.from_numpy(part) for part in theirs))
    if args.normal:
        convolved = nufft.with_(toeplitz=True)
        runs["recon normal, samples"] = lambda: nufft.normal(x)
        runs["recon normal, convolution"] = lambda: convolved.normal(x)
    if args.cg:
        maps = torch.randn(coils, n, n, dtype=torch.complex64, generator=generator)
        sense = nufft.with_maps(maps / torch.linalg.vector_norm(maps, dim=0))
        auto = sense.with_(toeplitz="auto")
        runs["recon CG, samples"] = lambda: sense.pinv(y, iterations=10, tolerance=0)
        runs["recon CG, auto"] = lambda: auto.pinv(y, iterations=10, tolerance=0)
    times = interleaved(runs, args.repeat)
    print(f"\n{spokes} spokes of {nufft.samples[1]} samples, {coils} coils of {n} x {n}, eps {args.eps:g}")
    for name, value in times.items():
        ratio = ""
        for side in ("forward", "adjoint"):
            if name.endswith(side):
                ratio = f"   {value / times[f'finufft {side}']:5.2f} x finufft"
        print(f"  {name:28s}{value:9.1f} ms of CPU{ratio}")
    for name, line in lines.items():
        print(f"  {name:28s}{line}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--coils", type=int, default=12)
    parser.add_argument("--eps", type=float, default=1e-3)
    parser.add_argument("--repeat", type=int, default=9)
    parser.add_argument("--spokes", type=int, nargs="+", default=[50, 200])
    parser.add_argument("--normal", action="store_true", help="also A^H A both ways")
    parser.add_argument("--cg", action="store_true", help="also ten steps of conjugate gradients")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with torch.no_grad():
        for spokes in args.spokes:
            compare(spokes, args)


if __name__ == "__main__":
    main()
