"""Train the networks of the CT gallery: FBPConvNet for 60 views and for a quarter of the dose, on clinical slices.

Three steps, since the machine that trains may have neither the projectors nor the slices:

    python docs/scripts/train_ct_gallery.py --prepare pairs.npz                     # CPU: simulate, reconstruct by FBP
    python docs/scripts/train_ct_gallery.py --train pairs.npz --out weights         # GPU (or CPU, slowly): train
    python docs/scripts/train_ct_gallery.py --evaluate weights --arrays arrays.npz  # CPU: patients that were left out

The slices are split by patient. The second step needs torch, numpy and this repository only. A network sees and gives
HU / 1000; its files load with `FBPConvNet.load_state_dict` after a cast to float32.
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import json
import math
import sys
import time
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data" / "ct_images" / "ct100_dicom"
TEST = ("TCGA-50-8460", "TCGA-17-Z059", "TCGA-60-2695")
VALIDATION = ("TCGA-92-8064",)
WATER = 0.0192  # 1/mm
NETWORK = {"features": 24, "levels": 4}  # 4.9 of the published 34.6 million parameters
STEP = {"target": 1, "image": 2, "noise": 4}  # HU to which stored images are rounded: below their noise
RANGE = (-1000.0, 1000.0)  # HU in which figures are computed


@dataclass(frozen=True)
class Task:
    """How a measurement is simulated: parallel views over half a turn, photons per ray, electronic noise in photons."""

    views: int
    photons: float
    filter: str
    electronic: float = 10.0


# 720 views of 1e5 photons a ray stand for the full dose, which the sparse views share among them.
TASKS = {"sparse_view": Task(60, 1.2e6, "hann"), "low_dose": Task(720, 2.5e4, "hann")}


# 1. Prepare


def slices(folder: Path) -> list[tuple[str, str, float, Tensor]]:
    """Return (part, file, pixel in mm, HU) of every slice; air outside the scanner's circle."""
    import pydicom

    import recon

    result = []
    for path in sorted(folder.glob("*.dcm")):
        patient = pydicom.dcmread(path, stop_before_pixels=True).PatientID
        part = "test" if patient in TEST else "validation" if patient in VALIDATION else "train"
        image = recon.read(path)
        pixel = float(np.linalg.norm(image.affine[:3, 0]))
        result.append(
            (part, path.name, pixel, image.data.float().reshape(1, 1, *image.data.shape[-2:]).clamp(-1000, 3000))
        )
    return result


def simulate(task: Task, hu: Tensor, pixel: float, seed: int, copies: int = 1, start: float = 0.0):
    """Return the operator, a clean and `copies` noisy sinograms (1 + copies, 1, A, D); views begin at `start`."""
    import recon

    angles = [start + k * math.pi / task.views for k in range(task.views)]
    radon = recon.build("operator", "radon", size=hu.shape[-2:], angles=angles, pixel=pixel)
    clean = radon(WATER * (1 + hu / 1000))
    dose = recon.build("operator", "low_dose", photons=task.photons, electronic=task.electronic, floor=1.0)
    noisy = dose(clean.expand(copies, -1, -1, -1), generator=torch.Generator().manual_seed(seed))
    return radon, torch.cat([clean, noisy])


def fbp(task: Task, y: Tensor, radon: nn.Module) -> Tensor:
    """Reconstruct by filtered back-projection, in HU."""
    import recon

    return 1000 * (recon.build("method", "fbp", filter=task.filter)(y, radon) / WATER - 1)


def prepare(file: Path, folder: Path, variants: int, noises: int) -> None:
    """Write pairs of the training and validation patients.

    Of 60 views each slice is seen from `variants` starting angles. Of the low dose there are the clean image and
    `noises` images of noise alone: FBP is linear, so clean + noise is a reconstruction, and so is clean + a combination
    of noises whose weights have squares that sum to 1.
    """
    arrays: dict[str, np.ndarray] = {}

    def store(name: str, kind: str, values: Tensor) -> None:
        arrays[name] = np.round(values.numpy() / STEP[kind]).clip(-32000, 32000).astype(np.int16)

    for number, (part, name, pixel, hu) in enumerate(s for s in slices(folder) if s[0] != "test"):
        key, began = f"{part}/{number:02d}", time.perf_counter()
        store(f"{key}/target", "target", hu[0])
        task = TASKS["sparse_view"]
        images = []
        for variant in range(variants):
            start = variant / variants * math.pi / task.views
            radon, y = simulate(task, hu, pixel, 100 * number + variant, start=start)
            images.append(fbp(task, y[1:], radon)[0])
        store(f"{key}/sparse_view/image", "image", torch.stack(images))
        task = TASKS["low_dose"]
        radon, y = simulate(task, hu, pixel, 100 * number + 99, copies=noises)
        images = fbp(task, torch.cat([y[:1], y[1:] - y[:1]]), radon)
        images[1:] += 1000  # noise has no water in it
        store(f"{key}/low_dose/image", "image", images[:1])
        store(f"{key}/low_dose/noise", "noise", images[1:])
        print(f"{key}: {name}, {time.perf_counter() - began:.0f} s", flush=True)
    save(file, arrays)


def save(file: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write a file that `numpy.load` reads; bzip2 makes it a quarter smaller than numpy's own compression."""
    temporary = file.with_name(file.name + ".part")
    with zipfile.ZipFile(temporary, "w", zipfile.ZIP_BZIP2) as archive:
        for name, values in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
                np.lib.format.write_array(stream, np.ascontiguousarray(values))
    temporary.rename(file)
    print(f"{file}: {file.stat().st_size / 1e6:.1f} MB")


# 2. Train


def network(**params: int) -> nn.Module:
    """Build FBPConvNet, also where recon is not installed."""
    sys.path[:0] = [str(ROOT), str(ROOT / "plugins")]
    path = ROOT / "plugins" / "recon_plugins" / "fbpconvnet" / "model.py"
    spec = importlib.util.spec_from_file_location("fbpconvnet_model", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.FBPConvNet(**(params or NETWORK))


class Pairs:
    """The stored images of one task and part, on the device, in HU / 1000."""

    def __init__(self, file: Path, task: str, part: str, device: torch.device) -> None:
        with np.load(file) as arrays:
            keys = sorted({name.rsplit("/", 1)[0] for name in arrays if name.startswith(part) and task in name})

            def load(key: str, kind: str) -> Tensor:
                return torch.from_numpy(arrays[f"{key}/{kind}"]).to(device).float() * (STEP[kind] / 1000)

            self.targets = torch.stack([load(key.removesuffix(f"/{task}"), "target") for key in keys])
            self.images = torch.stack([load(f"{key}", "image") for key in keys])  # (slice, variant, 1, H, W)
            noisy = f"{keys[0]}/noise" in arrays
            self.noises = torch.stack([load(key, "noise") for key in keys]) if noisy else None

    def draw(self, count: int, crop: int | None, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return images and targets (count, 1, H, W), turned and mirrored; 60 views keep their directions by that."""
        images, targets = [], []
        for _ in range(count):
            index, variant, turns, mirror = (
                int(torch.randint(n, (), generator=generator)) for n in (len(self.targets), self.images.shape[1], 4, 2)
            )
            image, target = self.images[index, variant].reshape(1, *self.targets.shape[-2:]), self.targets[index]
            if self.noises is not None:
                weights = torch.randn(self.noises.shape[1], generator=generator)
                weights = (weights / weights.norm()).to(image.device)
                image = image + torch.einsum("n,n...->...", weights, self.noises[index]).reshape(image.shape)
            pair = torch.stack([image, target]).rot90(turns, (2, 3))
            pair = pair.flip(3) if mirror else pair
            if crop:
                top, left = (int(torch.randint(n - crop + 1, (), generator=generator)) for n in pair.shape[2:])
                pair = pair[..., top : top + crop, left : left + crop]
            image, target = pair
            images.append(image)
            targets.append(target)
        return torch.stack(images), torch.stack(targets)

    def fixed(self) -> tuple[Tensor, Tensor]:
        """Return one image of each slice, the same always, and the targets."""
        images = self.images[:, 0].reshape(self.targets.shape)
        return (images if self.noises is None else images + self.noises[:, 0].reshape(images.shape)), self.targets


def train(
    file: Path,
    out: Path,
    tasks: list[str],
    *,
    seconds: float,
    steps: int | None,
    batch: int,
    crop: int | None,
    lr: float,
) -> None:
    """Train one network a task for so many seconds (or steps); write the weights of the best validation, and a log."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")
    out.mkdir(parents=True, exist_ok=True)
    log = out / "log.json"
    logs = json.loads(log.read_text()) if log.exists() else {}
    for name in tasks:
        torch.manual_seed(0)
        pairs, held = Pairs(file, name, "train", device), Pairs(file, name, "validation", device)
        model = network().to(device, memory_format=torch.channels_last)
        optimiser = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=1e-4)
        generator = torch.Generator().manual_seed(1)
        records, losses, step, began = [], [], 0, time.perf_counter()
        while True:
            share = step / steps if steps else (time.perf_counter() - began) / seconds
            if share >= 1 and records:
                break
            for group in optimiser.param_groups:  # rises for 2 % of the time, then falls along a cosine
                group["lr"] = lr * min(1, (share + 1e-3) / 0.02) * (0.5 + 0.5 * math.cos(math.pi * share))
            x, target = pairs.draw(batch, crop, generator)
            x = x.contiguous(memory_format=torch.channels_last)
            optimiser.zero_grad(set_to_none=True)
            with half(device):
                loss = (model.train()(x) - target).abs().mean()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            losses.append(loss.detach())
            step += 1
            if step % 250 == 0 or step == steps:
                seen = float(torch.stack(losses).mean()) * 1000
                losses.clear()
                records.append(
                    {
                        "step": step,
                        "seconds": round(time.perf_counter() - began, 1),
                        "loss_hu": round(seen, 3),
                        "validation_rmse_hu": round(rmse(model, held), 2),
                    }
                )
                print(name, records[-1], flush=True)
                if records[-1]["validation_rmse_hu"] <= min(r["validation_rmse_hu"] for r in records):
                    best = copy.deepcopy(model.state_dict())
        images, targets = held.fixed()
        logs[name] = {
            "task": asdict(TASKS[name]),
            "network": NETWORK,
            "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
            "seconds": round(time.perf_counter() - began, 1),
            "steps": step,
            "batch": batch,
            "crop": crop,
            "slices": len(pairs.targets),
            "fbp_rmse_hu": round(1000 * float((images - targets).square().mean().sqrt()), 2),
            "kept": min(records, key=lambda record: record["validation_rmse_hu"]),
            "records": records,
        }
        # Halves are exact enough for kernels (their error is far below the image's noise), not for variances.
        state = {k: v.cpu().half() if v.ndim == 4 else v.cpu() for k, v in best.items()}
        torch.save({k: v.contiguous() for k, v in state.items()}, out / f"{name}.pt")
        log.write_text(json.dumps(logs, indent=1))
        size = (out / f"{name}.pt").stat().st_size / 1e6
        print(f"{name}: {step} steps, {logs[name]['seconds']} s, {size:.1f} MB", flush=True)


def half(device: torch.device) -> torch.autocast:
    """Compute in bfloat16 on a GPU; many CPUs only emulate it."""
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")


def rmse(model: nn.Module, pairs: Pairs) -> float:
    """Return the error on the validation slices in HU."""
    images, targets = pairs.fixed()
    with torch.no_grad(), half(images.device):
        model.eval()
        results = torch.cat([model(image[None]) for image in images])
    return 1000 * float((results - targets).square().mean().sqrt())


# 3. Evaluate


def load(folder: Path, name: str) -> nn.Module:
    """Read a trained network."""
    model = network()
    state = torch.load(folder / f"{name}.pt", map_location="cpu", weights_only=True)
    model.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in state.items()})
    return model.eval().to(memory_format=torch.channels_last)


def figures(image: Tensor, target: Tensor) -> dict[str, float]:
    """Return PSNR and SSIM of HU cut to [-1000, 1000], with the data range 2000, and the RMSE in HU."""
    import recon

    image, target = (x.clamp(*RANGE) for x in (image, target))
    values = {
        name: recon.build("metric", name, data_range=RANGE[1] - RANGE[0])(image, target) for name in ("psnr", "ssim")
    }
    return {k: float(v) for k, v in values.items()} | {"rmse_hu": float((image - target).square().mean().sqrt())}


def tv(y: Tensor, radon: nn.Module, weight: float) -> Tensor:
    """Reconstruct by total variation, in HU."""
    import recon

    method = recon.build("method", "tv", weight=weight, iterations=60, constraint="nonnegative")
    return 1000 * (method(y, radon) / WATER - 1)


def evaluate(folder: Path, data: Path, arrays: Path, tasks: list[str], count: int | None) -> None:
    """Compare FBP, TV and the network on the test patients; the weight of TV is chosen on a validation slice."""
    every = slices(data)
    results: dict[str, dict[str, list[dict[str, float]]]] = {}
    pictures: dict[str, np.ndarray] = {}
    for name in tasks:
        task, model = TASKS[name], load(folder, name)
        _, _, pixel, hu = next(s for s in every if s[0] == "validation")
        radon, y = simulate(task, hu, pixel, seed=7)
        # |A|^2 grows with the number of views and with the pixel; so does a good weight.
        scale = radon.norm(iterations=15) ** 2
        choices = [scale * WATER * f for f in (1e-4, 3e-4, 1e-3)]
        best = max(range(len(choices)), key=lambda k: figures(tv(y[1:], radon, choices[k]), hu)["psnr"])
        factor = choices[best] / scale
        print(f"{name}: weight of total variation {factor / WATER:.0e} |A|^2 {WATER} / mm", flush=True)
        results[name] = {"fbp": [], "tv": [], "network": []}
        for number, (_, file, pixel, hu) in enumerate([s for s in every if s[0] == "test"][:count]):
            radon, y = simulate(task, hu, pixel, seed=1000 + number)
            images = {"fbp": fbp(task, y[1:], radon)}
            images["tv"] = tv(y[1:], radon, factor * radon.norm(iterations=15) ** 2)
            with torch.no_grad():
                images["network"] = 1000 * model(images["fbp"] / 1000)
            for method, image in images.items():
                results[name][method].append(figures(image, hu))
                pictures[f"{name}/{file}/{method}"] = image[0, 0].numpy().astype(np.float16)
            pictures[f"{name}/{file}/target"] = hu[0, 0].numpy().astype(np.float16)
            print(
                name,
                file,
                {m: {k: round(v, 3) for k, v in r[-1].items()} for m, r in results[name].items()},
                flush=True,
            )
        for method, values in results[name].items():
            means = {k: float(np.mean([value[k] for value in values])) for k in values[0]}
            print(f"{name:12} {method:8} " + "  ".join(f"{k} {v:.3f}" for k, v in means.items()), flush=True)
    (folder / "figures.json").write_text(json.dumps(results, indent=1))
    save(arrays, pictures)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verb = parser.add_mutually_exclusive_group(required=True)
    verb.add_argument("--prepare", type=Path, metavar="FILE", help="write the training pairs")
    verb.add_argument("--train", type=Path, metavar="FILE", help="train on such a file")
    verb.add_argument("--evaluate", type=Path, metavar="FOLDER", help="compare the networks of a folder")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of DICOM slices")
    parser.add_argument("--out", type=Path, default=Path("ct_gallery"), help="folder for weights and log")
    parser.add_argument("--arrays", type=Path, default=Path("ct_gallery.npz"), help="file for the evaluated images")
    parser.add_argument("--task", action="append", choices=list(TASKS), help="by default both")
    parser.add_argument("--variants", type=int, default=3, help="starting angles of the sparse views")
    parser.add_argument("--noises", type=int, default=3, help="images of noise for each slice")
    parser.add_argument("--seconds", type=float, default=150.0, help="training time of each network")
    parser.add_argument("--steps", type=int, help="training steps instead")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--crop", type=int, help="train on parts of so many pixels instead of whole slices")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--count", type=int, help="evaluate so many slices only")
    a = parser.parse_args()
    tasks = a.task or list(TASKS)
    if a.prepare:
        prepare(a.prepare, a.data, a.variants, a.noises)
    elif a.train:
        train(a.train, a.out, tasks, seconds=a.seconds, steps=a.steps, batch=a.batch, crop=a.crop, lr=a.lr)
    else:
        evaluate(a.evaluate, a.data, a.arrays, tasks, a.count)


if __name__ == "__main__":
    main()
