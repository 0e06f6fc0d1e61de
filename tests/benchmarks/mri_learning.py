"""Does it learn? A small MoDL and a small VarNet on real brains with simulated coils, against what needs no training.

Images are real T1 slices (../shared/data/mri_images/jlf60_t1_axial), averaged to half their size, each with a smooth
phase of its own; coils, masks (a new one each step) and noise are simulated. Volumes 1, 2, 3 and 6-8 train, 9-11 are
held out: nobody is on both sides. Classical methods get the best of several settings, chosen on the training volumes.
MoDL is also trained without ground truth (SSDU), from one measurement of each slice.

Run: OMP_NUM_THREADS=1 python tests/benchmarks/mri_learning.py [--models modl varnet ssdu] [--steps 300] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import torch
from torch import Tensor

import recon
from recon.engine.losses import LossTerm
from recon.engine.regimes import Simulated
from recon.engine.trainer import Trainer
from recon.operators import Operator

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "mri_images" / "jlf60_t1_axial"
TRAIN, HELD_OUT = (1, 2, 3, 6, 7, 8), (9, 10, 11)
MASK = {"kind": "random", "acceleration": 4, "center_fraction": 0.08, "seed": 0}
COILS, SIGMA = 6, 0.01


class Slices:
    """Slices of volumes: ``image`` (1, H, W) complex with a smooth phase; with `coils` the images of the coils.

    Items of coils also have the ``target`` that the root sum of squares is compared with.
    """

    def __init__(self, volumes: Sequence[int], *, coils: bool = False) -> None:
        parts = [np.asarray(nibabel.load(DATA / f"ilist{n}.nii.gz").dataobj, np.float32) for n in volumes]
        images = torch.from_numpy(np.concatenate([part.transpose(1, 0, 2) for part in parts]))[:, None]
        images = torch.nn.functional.avg_pool2d(images, 2)
        self.magnitude = images[images.amax((1, 2, 3)) > 0.1]  # the ends of some volumes are empty
        self.coils = coils

    def __len__(self) -> int:
        return len(self.magnitude)

    def __getitem__(self, index: int) -> Mapping[str, Tensor]:
        image = self.magnitude[index]
        generator = torch.Generator().manual_seed(index)
        a = torch.randn(6, generator=generator)
        y, x = (torch.linspace(-1, 1, n) for n in image.shape[1:])
        y = y[:, None]
        phase = a[0] + a[1] * y + a[2] * x + 0.5 * (a[3] * y * x + a[4] * y**2 + a[5] * x**2)
        item = {"image": torch.polar(image, phase.expand_as(image))}
        if self.coils:
            maps = recon.build("operator", "multicoil_fourier", maps={"coils": COILS}).maps_for(item["image"][None])
            item = {"image": maps.reshape(COILS, *image.shape[1:]) * item["image"], "target": image}
        return item


def sense(*, resample: bool) -> Operator:
    operator = recon.build(
        "operator", "multicoil_fourier", maps={"coils": COILS}, mask=MASK | {"seed": 7}, resample=resample
    )
    return recon.build("operator", "gaussian_noise", sigma=SIGMA) @ operator


def coil_wise(*, resample: bool) -> Operator:
    operator = recon.build("operator", "fourier", mask=MASK | {"seed": 7}, resample=resample)
    return recon.build("operator", "gaussian_noise", sigma=SIGMA) @ operator


def modl() -> torch.nn.Module:
    denoiser = {"use": "dncnn", "channels": 2, "layers": 5, "features": 32, "batch_norm": False}
    return recon.build(
        "model", "modl", model={"use": "complex_channels", "model": denoiser}, iterations=4, cg_iterations=6
    )


def varnet() -> torch.nn.Module:
    return recon.build("model", "varnet", num_cascades=4, chans=8, pools=3, sens_chans=4, sens_pools=3)


def train(name: str, steps: int) -> tuple[torch.nn.Module, float]:
    """Train one of the models; return it, and the seconds of CPU that it took."""
    data: Any = Slices(TRAIN, coils=name == "varnet")
    plan = {
        "steps": steps,
        "batch_size": 2,
        "optimizer": {"name": "adam", "lr": 2e-3 if name == "varnet" else 1e-3},
        "schedule": {"name": "cosine", "warmup": 10},
        "clip": 1.0,
        "log_every": 25,
        "device": "cpu",
    }
    torch.manual_seed(0)
    model = varnet() if name == "varnet" else modl()
    loss: Any = recon.build("loss", "l1")
    operator = coil_wise(resample=True) if name == "varnet" else sense(resample=True)
    if name == "ssdu":
        operator = sense(resample=False)
        data = Simulated(data, operator, 1)
        loss = recon.build("loss", "measurement_splitting", grid="points", norm="l1_l2", keep_center=4)
    start = time.process_time()
    Trainer(
        model=model,
        train_data=data,
        loss=LossTerm(loss),
        plan=plan,
        regime="measurements" if name == "ssdu" else "operator",
        operator=operator,
    ).fit()
    return model.eval(), time.process_time() - start


@torch.no_grad()
def scores(
    data: Slices, reconstruct: Callable[[Tensor, Operator], Tensor], *, coils: bool, every: int = 1
) -> tuple[float, float]:
    """Mean PSNR and SSIM of magnitudes, in the range of each slice; masks and noise are keyed by the slice."""
    metrics = [recon.build("metric", name, data_range="target_max", **extra) for name, extra in METRICS]
    values = []
    for index in range(0, len(data), every):
        item = data[index]
        host, noise = torch.Generator().manual_seed(index), torch.Generator().manual_seed(index)
        operator = (coil_wise if coils else sense)(resample=True).sample(host)
        image = item["image"][None]
        x = reconstruct(operator(image, generator=noise), operator.noiseless).abs()
        target = item["target"][None] if coils else image.abs()
        values.append([float(metric(x, target)) for metric in metrics])
    psnr, ssim = np.mean(values, 0)
    return float(psnr), float(ssim)


METRICS = (("psnr", {}), ("ssim", {"variant": "uniform7"}))

CLASSICAL: dict[str, list[dict[str, Any]]] = {
    "cg_sense": [{"iterations": n, "maps": None} for n in (3, 5, 8, 15)],
    "l1_wavelet": [{"weight": w, "iterations": 60} for w in (3e-4, 1e-3, 3e-3, 1e-2)],
    "tv_sense": [{"weight": w, "iterations": 100} for w in (3e-4, 1e-3, 3e-3, 1e-2)],
}


def classical(name: str, settings: list[dict[str, Any]], train_data: Slices) -> tuple[dict[str, Any], Any]:
    """Return the setting that is best on the training subjects, and its method."""
    methods = []
    for setting in settings:
        setting = {key: value for key, value in setting.items() if value is not None}
        method = recon.build("method", name, **setting)
        methods.append((scores(train_data, method, coils=False, every=9)[0], setting, method))
    _, setting, method = max(methods, key=lambda entry: entry[0])
    return setting, method


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="*", default=["modl", "varnet", "ssdu"])
    parser.add_argument("--classical", nargs="*", default=list(CLASSICAL))
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    train_data, held_out = Slices(TRAIN), Slices(HELD_OUT)
    found: dict[str, Any] = {}

    def report(name: str, result: tuple[float, float], note: str) -> None:
        found[name] = {"psnr": result[0], "ssim": result[1], "note": note}
        print(f"{name:14s} {result[0]:6.2f} dB   SSIM {result[1]:.4f}   {note}", flush=True)

    size = tuple(held_out.magnitude.shape[2:])
    print(f"{len(train_data)} slices train, {len(held_out)} are held out, {size}, {COILS} coils, mask {MASK}")
    report("zero-filled", scores(held_out, lambda y, a: a.adjoint(y), coils=False), "adjoint with the true maps")
    for name in arguments.classical:
        setting, method = classical(name, CLASSICAL[name], train_data)
        report(name, scores(held_out, method, coils=False), f"true maps, {setting}")
    for name in arguments.models:
        model, seconds = train(name, arguments.steps)
        coils = name == "varnet"
        data = Slices(HELD_OUT, coils=True) if coils else held_out
        if coils:
            rss = recon.build("method", "rss")
            report("rss", scores(data, rss, coils=True), "zero-filled root sum of squares, no maps given")
        count = sum(p.numel() for p in model.parameters())
        note = f"{count} parameters, {arguments.steps} steps, {seconds:.0f} s of CPU"
        report(name, scores(data, model, coils=coils), note + (", no maps given" if coils else ", true maps"))
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
