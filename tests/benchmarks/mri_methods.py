"""MRI methods at equal iterations: CPU time against sigpy's apps and pygrappa, on a brain that is sampled in full.

Contenders take turns within one process; a figure is the median of process CPU time, a ratio that of two medians.
Beside each speed stands the PSNR against the full data (the coils combined by their sensitivities; for GRAPPA their
root sum of squares), and for CG-SENSE the difference from sigpy's image.

Run: OMP_NUM_THREADS=1 python tests/benchmarks/mri_methods.py [--repeat 5] [--iterations 30] [--grappa]
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import recon
from recon.kspace import fft_centred, ifft_centred, root_sum_of_squares
from recon_plugins.mri_methods import CGSense, Grappa, L1Wavelet, TVSense

BRAIN = Path(__file__).resolve().parents[3] / "shared" / "data" / "mri_kspace" / "moco_brain7" / "brain_slice.npz"
Run = Callable[[], Any]


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


def psnr(x: Any, reference: Tensor) -> float:
    x, reference = torch.as_tensor(x).abs().reshape(reference.shape), reference.abs()
    return float(20 * torch.log10(reference.max() / (x - reference).square().mean().sqrt()))


def compare(title: str, contenders: dict[str, Run], reference: Tensor, repeat: int) -> None:
    images = {name: run() for name, run in contenders.items()}
    times = interleaved(contenders, repeat)
    first, *others = times
    print(title)
    for name, value in times.items():
        print(f"  {name:12} {value:8.0f} ms   {psnr(images[name], reference):.2f} dB")
    for name in others:
        print(f"  {first} / {name}: {times[first] / times[name]:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--iterations", type=int, default=30)
    parser.add_argument("--grappa", action="store_true", help="also against pygrappa, which takes seconds")
    a = parser.parse_args()
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from sigpy.mri import app
    with np.load(BRAIN) as stored:
        images = torch.from_numpy(stored["arr_0"]).movedim(-1, 0)[None].contiguous()
    k, fourier = fft_centred(images), recon.build("operator", "fourier")
    maps = recon.build("method", "espirit")(k, fourier)
    reference = (maps.conj() * images).sum(1, keepdim=True)
    peak, coils = float(reference.abs().max()), maps[0].numpy()
    masks: dict[str, dict[str, Any]] = {
        "every second column": {"kind": "equispaced", "acceleration": 2, "center_fraction": 24 / 216},
        "Poisson disc, R = 4": {"kind": "poisson", "acceleration": 4, "calibration": 24},
    }
    for name, config in masks.items():
        operator = fourier.with_(mask=config).with_maps(maps)  # type: ignore[attr-defined]
        y = torch.where(operator.mask_for(k.shape[2:]), k, 0) / peak
        data, n, weight = y[0].numpy(), a.iterations, 0.001
        quiet = {"max_iter": n, "show_pbar": False}
        ours, theirs = CGSense(iterations=10), {"max_iter": 10, "show_pbar": False}
        difference = torch.as_tensor(app.SenseRecon(data, coils, **theirs).run()) - ours(y, operator)[0, 0]
        print(f"{name}: CG-SENSE differs from sigpy's by {float(difference.norm() / reference.norm() * peak):.1e}")
        compare(
            f"{name}: CG-SENSE, 10 iterations",
            {"recon": lambda: ours(y, operator), "sigpy": lambda: app.SenseRecon(data, coils, **theirs).run()},  # noqa: B023
            reference / peak,
            a.repeat,
        )
        contenders: dict[str, Run] = {
            "recon": lambda: L1Wavelet(weight=weight, scale=1.0, iterations=n)(y, operator),  # noqa: B023
            "one grid": lambda: L1Wavelet(weight=weight, scale=1.0, iterations=n, shifts=False)(y, operator),  # noqa: B023
            "sigpy": lambda: app.L1WaveletRecon(data, coils, weight, **quiet).run(),  # noqa: B023
        }
        compare(f"{name}: L1-wavelet, {n} iterations", contenders, reference / peak, a.repeat)
        contenders = {
            "recon": lambda: TVSense(weight=weight, scale=1.0, iterations=n)(y, operator),  # noqa: B023
            "sigpy": lambda: app.TotalVariationRecon(data, coils, weight, **quiet).run(),  # noqa: B023
        }
        compare(f"{name}: total variation, {n} iterations", contenders, reference / peak, a.repeat)
    if a.grappa:
        from pygrappa import cgrappa

        operator = fourier.with_(mask=masks["every second column"])
        y = torch.where(operator.mask_for(k.shape[2:]), k, 0)
        wide, calibration = y[0].to(torch.complex128).numpy(), k[0, ..., 96:120].to(torch.complex128).numpy()

        def theirs_filled() -> Tensor:
            filled = cgrappa(wide.copy(), calibration.copy(), kernel_size=(5, 5), coil_axis=0, lamda=1e-3)
            return root_sum_of_squares(ifft_centred(torch.from_numpy(filled)[None]))

        contenders = {"recon": lambda: Grappa()(y, operator), "pygrappa": theirs_filled}
        compare("every second column: GRAPPA", contenders, root_sum_of_squares(images), a.repeat)


if __name__ == "__main__":
    main()
