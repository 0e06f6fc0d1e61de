"""Iterative reconstruction of a real CT slice from 60 noisy views: PSNR and CPU time, method by method.

A clinical slice (DICOM, HU) is brought to 1/mm and to 256 x 256 pixels; 60 parallel views of 1e5 photons a ray are
simulated on pixels of half the size, so that the methods do not invert the very model that made their data. PSNR has
the slice's maximum as peak. For each method: its best PSNR and when it was reached, and what it takes to come within
0.1 dB. CPU time is that of the process on one thread, without what looking at the states costs. Weights were chosen
on this very slice, the best of a grid in factors of four: what is compared is speed.

Run: OMP_NUM_THREADS=1 python tests/benchmarks/ct_iterative.py SLICE.dcm [--size 256] [--views 60] [--photons 1e5]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import pydicom
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

import recon

WATER = 0.02  # 1/mm

METHODS = {
    "sirt": {"use": "sirt", "iterations": 300},
    "os_sirt, 10 subsets": {"use": "os_sirt", "subsets": 10, "iterations": 30},
    "os_sirt, views (SART)": {"use": "os_sirt", "subsets": "views", "relaxation": 0.5, "iterations": 10},
    "cgls": {"use": "cgls", "iterations": 40, "constraint": "none"},
    "pwls, quadratic": {"use": "pwls", "weight": 4e4, "penalty": "quadratic", "iterations": 100},
    "pwls, huber": {"use": "pwls", "weight": 8e5, "penalty": "huber", "delta": 5e-4, "iterations": 200},
    "pwls, huber, 10 subsets": {"use": "pwls", "weight": 8e5, "penalty": "huber", "delta": 5e-4, "subsets": 10,
                                "iterations": 40},
    "tv (FISTA)": {"use": "tv", "weight": 0.05, "iterations": 150},
    "pdhg": {"use": "pdhg", "weight": 0.05, "iterations": 400},
    "pdhg, weighted": {"use": "pdhg", "weight": 400.0, "iterations": 400},
    "pwls, tv": {"use": "pwls", "weight": 400.0, "penalty": "tv", "iterations": 150},
}  # fmt: skip
STATISTICAL = ("pwls", "weighted")


def slice_of(path: Path, size: int) -> tuple[Tensor, float]:
    """Return attenuation in 1/mm on twice as many pixels along each axis, and the edge of a pixel of `size` in mm."""
    data = pydicom.dcmread(path)
    hu = data.pixel_array * float(data.RescaleSlope) + float(data.RescaleIntercept)
    image = torch.from_numpy(np.clip(hu / 1000 + 1, 0, None) * WATER).float()[None, None]
    fine = interpolate(image, (2 * size, 2 * size), mode="bilinear", antialias=True, align_corners=False)
    rows, columns = torch.meshgrid(*[torch.linspace(-1, 1, 2 * size)] * 2, indexing="ij")
    edge = float(data.PixelSpacing[0]) * image.shape[-1] / size
    return fine * (rows**2 + columns**2 <= 1), edge


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("slice", type=Path)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--views", type=int, default=60)
    parser.add_argument("--photons", type=float, default=1e5)
    parser.add_argument("--only", help="methods whose label begins so")
    parser.add_argument("--weights", type=float, nargs="*", help="try these multiples of each weight")
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    fine, pixel = slice_of(arguments.slice, arguments.size)
    truth = avg_pool2d(fine, 2)
    bins = int(1.45 * arguments.size)
    scan = {"angles": arguments.views, "bins": bins, "bin_size": pixel}
    size = (arguments.size, arguments.size)
    operator = recon.build("operator", "radon", size=size, pixel=pixel, **scan)
    simulated = recon.build("operator", "radon", size=tuple(fine.shape[2:]), pixel=pixel / 2, **scan)
    clean = simulated(fine)
    generator = torch.Generator().manual_seed(0)
    counts = torch.poisson(arguments.photons * torch.exp(-clean), generator=generator).clamp(min=1)
    y = -torch.log(counts / arguments.photons)
    operator.adjoint(operator(truth))

    def psnr(x: Tensor) -> float:
        return float(10 * torch.log10(truth.max() ** 2 / (x - truth).square().mean()))

    fbp = recon.build("method", "fbp", filter="hann")(y, operator)
    print(f"{arguments.slice.name}: {arguments.size}^2, {arguments.views} views, {arguments.photons:g} photons")
    print(f"{'fbp, hann':32} {psnr(fbp):6.2f} dB")
    for label, config in METHODS.items():
        if arguments.only and not label.startswith(arguments.only):
            continue
        factors = arguments.weights if arguments.weights and "weight" in config else [1.0]
        for factor in factors:
            params = {"constraint": "nonnegative"} | config
            if "weight" in config:
                params["weight"] = factor * config["weight"]
            if any(word in label for word in STATISTICAL):
                params["photons"] = arguments.photons
            method = recon.build("method", params)
            values, times, spent = [], [], 0.0
            states = method.iterate(y, operator)
            while True:
                start = time.process_time()
                state = next(states, None)
                spent += time.process_time() - start
                if state is None:
                    break
                values.append(psnr(state.x))
                times.append(spent)
            best = int(np.argmax(values))
            near = next(k for k, value in enumerate(values) if value >= values[best] - 0.1)
            end = f"end {values[-1]:6.2f} dB" + (f", weight {params['weight']:g}" if "weight" in config else "")
            print(
                f"{label:32} {values[best]:6.2f} dB at {best:3d} ({times[best]:5.2f} s); "
                f"within 0.1 dB at {near:3d} ({times[near]:5.2f} s); {end}",
                flush=True,
            )


if __name__ == "__main__":
    main()
