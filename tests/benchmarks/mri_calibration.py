"""Coil sensitivities, 12 coils at 320 x 320, 24 x 24 calibration samples: CPU time and error against SigPy and truth.

Contenders take turns within one process; a figure is the median of process CPU time, a ratio that of two medians.
Beside every speed stand the error 1 - |<m, true>| within the object, mean and largest, and the distance
1 - |<m, SigPy's>|. There are two kinds of data: a phantom with known maps and noise, and with --brain real k-space.

Run: OMP_NUM_THREADS=1 python tests/benchmarks/mri_calibration.py [--size 320] [--coils 12] [--repeat 5] [--brain FILE]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from sigpy import shepp_logan
from sigpy.mri.app import EspiritCalib
from torch import Tensor

import recon
from recon.kspace import fft_centred

Run = Callable[[], Tensor]

OURS = {
    "espirit": {"use": "espirit"},
    "espirit, two sets": {"use": "espirit", "sets": 2},
    "espirit, step 2": {"use": "espirit", "step": 2},
    "espirit, step 4": {"use": "espirit", "step": 4},
    "inati": {"use": "inati"},
    "walsh": {"use": "walsh"},
    "low_resolution_maps": {"use": "low_resolution_maps"},
}


def phantom(size: int, coils: int, noise: float = 1e-3) -> tuple[Tensor, Tensor, Tensor]:
    """Noisy k-space of coils on a ring about the Shepp-Logan phantom, the true maps, and where the object is."""
    image = torch.from_numpy(shepp_logan((size, size), dtype=np.complex64))
    operator = recon.build("operator", "multicoil_fourier", maps={"coils": coils})
    maps = operator.maps.maps((size, size))
    y = fft_centred((maps * image)[None])
    return (
        y + noise * torch.randn(y.shape, dtype=y.dtype, generator=torch.Generator().manual_seed(0)),
        maps,
        image.abs() > 0.05,
    )


def interleaved(contenders: dict[str, Run], repeat: int) -> dict[str, float]:
    for run in contenders.values():
        run()
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(repeat):
        for name, run in contenders.items():
            start = time.process_time()
            run()
            times[name].append(time.process_time() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def apart(a: Tensor, b: Tensor, where: Tensor) -> str:
    """1 - |<a, b>| of the pixels, mean and largest; in double precision, as 1 - 1e-7 is rounding in single."""
    a, b = a.to(torch.complex128), b.to(torch.complex128)
    product = (a.conj() * b).sum(0).abs() / (torch.linalg.vector_norm(a, dim=0) * torch.linalg.vector_norm(b, dim=0))
    wrong = 1 - product[where]
    return f"{float(wrong.mean()):8.1e} {float(wrong.max()):8.1e}"


def compare(y: Tensor, mask: Tensor | None, truth: Tensor | None, inside: Tensor | None, repeat: int) -> None:
    operator = recon.build("operator", "fourier", mask=mask)
    k = y[0].numpy()
    contenders: dict[str, Run] = {
        "sigpy EspiritCalib": lambda: torch.from_numpy(EspiritCalib(k, show_pbar=False).run())[None]
    }
    for name, config in OURS.items():
        method = recon.build("method", config)
        contenders[name] = lambda method=method: method(y, operator)
    times = interleaved(contenders, repeat)
    theirs = contenders["sigpy EspiritCalib"]()[0]
    print(f"{'':22s}{'CPU s':>8s}{'ratio':>7s}   {'error: mean, largest':20s}  to sigpy: mean, largest")
    for name, run in contenders.items():
        maps = run()[0]
        maps = maps[0] if maps.ndim == 4 else maps
        both = (maps.abs().sum(0) > 0) & (theirs.abs().sum(0) > 0)
        error = apart(maps, truth, inside & both) if truth is not None and inside is not None else " " * 17
        to_sigpy = apart(maps, theirs, both if inside is None else both & inside)
        ratio = times[name] / times["sigpy EspiritCalib"]
        print(f"{name:22s}{times[name]:8.3f}{ratio:7.3f}   {error:20s}  {to_sigpy}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--coils", type=int, default=12)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--brain", type=Path, help="k-space (coil, y, x) as .npy")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    np.seterr(all="ignore")  # SigPy divides by a first coil that sees nothing
    y, maps, inside = phantom(arguments.size, arguments.coils)
    print(f"phantom, {arguments.coils} coils, {arguments.size} x {arguments.size}")
    compare(y, None, maps, inside, arguments.repeat)
    if arguments.brain:
        k = torch.from_numpy(np.load(arguments.brain))[None]
        print(f"\n{arguments.brain.name}, {' x '.join(map(str, k.shape[1:]))}")
        compare(k, (k[0] != 0).any(0), None, None, arguments.repeat)


if __name__ == "__main__":
    main()
