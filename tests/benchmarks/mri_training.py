"""Training steps of the fastMRI U-Net and VarNet: steps per second, memory, and fastMRI's own code beside them.

A step is forward, loss, backward and an Adam update on data that are already there. Contenders take turns; on the CPU
process time counts (of one thread), on CUDA the time between synchronisations. Ratios are of medians. fastMRI's models
run with the same weights where its package is given (--fastmri: a site-packages folder that holds it; torch stays
ours); the largest difference of the two outputs is printed, relative to the largest value. On CUDA, float32 and bf16
autocast, with and without checkpoints, and the peak memory of each.

Run: OMP_NUM_THREADS=1 python tests/benchmarks/mri_training.py [--device cuda] [--size 640 368] [--coils 15]
     [--cascades 12] [--chans 18] [--unet-batch 1] [--seconds 20] [--fastmri DIR] [--json FILE]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import recon
from recon.kspace import crop_centred

Step = Callable[[], object]


def training_step(model: nn.Module, forward: Callable[[], Tensor], target: Tensor, precision: str) -> Step:
    """Return a function that makes one step; the loss is L1 in float32."""
    optimizer = torch.optim.Adam(model.parameters(), 1e-4, fused=True)
    device = target.device.type
    cast: Any = torch.autocast(device, torch.bfloat16) if precision == "bf16" else contextlib.nullcontext()

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with cast:
            output = forward()
        loss = (crop_centred(output.float(), target.shape[-2:]) - target).abs().mean()
        loss.backward()
        optimizer.step()

    return step


def measure(steps: dict[str, Step], seconds: float, device: torch.device) -> dict[str, dict[str, float]]:
    """Time the steps in turns; return medians in seconds, and peak memory on CUDA in GB."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    memory: dict[str, float] = {}
    for name, step in steps.items():
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        step()
        step()
        if device.type == "cuda":
            memory[name] = torch.cuda.max_memory_allocated() / 1e9
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(next(iter(times.values()))) < 3:
        for name, step in steps.items():
            synchronise(device)
            start = clock()
            step()
            synchronise(device)
            times[name].append(clock() - start)
    return {
        name: {"seconds": statistics.median(values), **({"GB": memory[name]} if name in memory else {})}
        for name, values in times.items()
    }


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def unet_steps(arguments: argparse.Namespace, device: torch.device) -> dict[str, Step]:
    """The U-Net of 32 channels on normalised images of 320 x 320."""
    x = torch.randn(arguments.unet_batch, 1, 320, 320, device=device)
    steps: dict[str, Step] = {}
    state = None
    for precision in precisions(device):
        model = recon.build("model", "unet", chans=32).to(device)
        state = state or {key: value.clone() for key, value in model.state_dict().items()}
        model.load_state_dict(state)
        steps[f"U-Net {precision}"] = training_step(model, lambda model=model: model(x), x.flip(-1), precision)
    if arguments.fastmri:
        from fastmri.models import Unet

        theirs = Unet(1, 1, 32, 4).to(device)
        theirs.load_state_dict(state)
        ours = recon.build("model", "unet", chans=32).to(device)
        ours.load_state_dict(state)
        with torch.no_grad():
            compare("U-Net", ours(x), theirs(x))
        steps["U-Net fastMRI"] = training_step(theirs, lambda: theirs(x), x.flip(-1), "fp32")
    return steps


def varnet_steps(arguments: argparse.Namespace, device: torch.device) -> dict[str, Step]:
    """The VarNet on one slice of k-space, a quarter of its columns."""
    height, width = arguments.size
    generator = torch.Generator().manual_seed(0)
    k = torch.randn(1, arguments.coils, height, width, dtype=torch.complex64, generator=generator)
    ky, kx = (torch.linspace(-8, 8, n) for n in (height, width))
    mask = (torch.rand(width, generator=generator) < 0.2) | (kx.abs() < 0.64)
    y = torch.where(mask, k / (1 + ky[:, None] ** 2 + kx**2), 0).to(device)
    operator = recon.build("operator", "fourier", mask=mask).to(device)
    settings = {"num_cascades": arguments.cascades, "chans": arguments.chans}
    steps: dict[str, Step] = {}
    ours = recon.build("model", "varnet", **settings).to(device)
    state = {key: value.clone() for key, value in ours.state_dict().items()}
    with torch.no_grad():
        output = ours(y, operator)
    target = crop_centred(output, [min(320, n) for n in output.shape[2:]]).clone()
    for precision in precisions(device):
        for checkpoint in (False, True):
            model = recon.build("model", "varnet", **settings, checkpoint=checkpoint).to(device)
            model.load_state_dict(state)
            name = f"VarNet {precision}{' checkpoints' if checkpoint else ''}"
            steps[name] = training_step(model, lambda model=model: model(y, operator), target, precision)
    if arguments.fastmri:
        from fastmri.models import VarNet

        theirs = VarNet(arguments.cascades, chans=arguments.chans).to(device)
        theirs.load_state_dict(state)
        pairs, columns = torch.view_as_real(y).contiguous(), mask.to(device)[None, None, None, :, None]
        with torch.no_grad():
            compare("VarNet", output[:, 0], theirs(pairs, columns))
        steps["VarNet fastMRI"] = training_step(theirs, lambda: theirs(pairs, columns), target[:, 0], "fp32")
    return steps


def precisions(device: torch.device) -> tuple[str, ...]:
    return ("fp32", "bf16") if device.type == "cuda" else ("fp32",)


def compare(name: str, ours: Tensor, theirs: Tensor) -> None:
    print(f"{name}: difference to fastMRI {float((ours - theirs).abs().max() / theirs.abs().max()):.1e}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--size", type=int, nargs=2, default=(640, 368))
    parser.add_argument("--coils", type=int, default=15)
    parser.add_argument("--cascades", type=int, default=12)
    parser.add_argument("--chans", type=int, default=18)
    parser.add_argument("--unet-batch", type=int, default=1)
    parser.add_argument("--only", choices=["unet", "varnet"], nargs="*", default=["unet", "varnet"])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--fastmri", type=Path)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    if arguments.fastmri:
        sys.path.append(str(arguments.fastmri))
    torch.manual_seed(0)
    found: dict[str, Any] = {}
    for name, make in (("unet", unet_steps), ("varnet", varnet_steps)):
        if name not in arguments.only:
            continue
        results = measure(make(arguments, device), arguments.seconds, device)
        first = next(iter(results.values()))["seconds"]
        for label, values in results.items():
            memory = f"   {values['GB']:.1f} GB" if "GB" in values else ""
            seconds = values["seconds"]
            print(f"{label:28s} {1 / seconds:8.3f} steps/s   {seconds / first:5.2f} of the first{memory}", flush=True)
        found |= results
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
