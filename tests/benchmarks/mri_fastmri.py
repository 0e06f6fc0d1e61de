"""Items of fastMRI files: CPU time and difference against fastMRI's own data set and transform; slices a second.

A file with the sizes of a knee (multi-coil 15 x 640 x 368 and single-coil) is written to a temporary folder, contiguous
and, for comparison, chunked by slice. Contenders take turns within one process on the same slices in the same random
order; a figure is the median of process CPU time per item, a ratio that of two medians. The difference is the largest
of image and target in normalised units. The file stays in the page cache ("warm"): what is timed is the work, not the
disk.

Run: OMP_NUM_THREADS=1 python tests/benchmarks/mri_fastmri.py [--slices 12] [--repeat 5] [--fastmri FOLDER]

FOLDER is a site-packages folder with fastmri, if it is not installed here; its other packages come from here first.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch

from recon_datasets.fastmri import FastMRI, write_fastmri

Take = Callable[[int], Any]
MASK = {"kind": "fastmri_random", "acceleration": 4.0, "center_fraction": 0.08}


def write(folder: Path, coils: int | None, slices: int) -> None:
    """Noise with the size of a knee, contiguous and chunked."""
    generator = torch.Generator().manual_seed(0)
    count = (slices,) if coils is None else (slices, coils)
    kspace = 1e-5 * torch.randn(*count, 640, 368, generator=generator, dtype=torch.complex64)
    (folder / "contiguous").mkdir(parents=True)
    (folder / "chunked").mkdir()
    write_fastmri(folder / "contiguous" / "file1000001.h5", kspace, size=(320, 320))
    with (
        h5py.File(folder / "contiguous" / "file1000001.h5") as source,
        h5py.File(folder / "chunked" / "file1000001.h5", "w") as copy,
    ):
        for name, value in source.items():
            chunks = (1, *value.shape[1:]) if value.ndim > 2 else None
            copy.create_dataset(name, data=value[()], chunks=chunks)
        for name, value in source.attrs.items():
            copy.attrs[name] = value


def open_per_item(path: Path) -> Take:
    """Read a slice as fastMRI's `SliceDataset` does: open, read the slice, its target and all attributes, close."""

    def take(index: int) -> Any:
        with h5py.File(path, "r") as file:
            key = "reconstruction_rss" if file["kspace"].ndim == 4 else "reconstruction_esc"
            mask = np.asarray(file["mask"]) if "mask" in file else None
            return file["kspace"][index], mask, file[key][index], dict(file.attrs)

    return take


def theirs(root: Path, challenge: str) -> Take | None:
    try:
        from fastmri.data import SliceDataset
        from fastmri.data.subsample import RandomMaskFunc
        from fastmri.data.transforms import UnetDataTransform
    except ImportError as error:
        print(f"fastMRI is not here ({error}): only our own times are shown")
        return None
    transform = UnetDataTransform(challenge, RandomMaskFunc([0.08], [4]))
    data = SliceDataset(root=root, challenge=challenge, transform=transform)
    return lambda index: data[index]


def interleaved(contenders: dict[str, Take], order: list[int], repeat: int) -> dict[str, float]:
    for take in contenders.values():
        take(order[0])
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(repeat):
        for index in order:
            for name, take in contenders.items():
                start = time.process_time()
                take(index)
                times[name].append(time.process_time() - start)
    return {name: statistics.median(values) * 1e3 for name, values in times.items()}


def difference(ours: Take, other: Take, order: list[int]) -> float:
    worst = 0.0
    for index in order:
        a, b = ours(index), other(index)
        for mine, their in ((a["measurement"], b.image), (a["image"], b.target)):
            worst = max(worst, float((mine[0] - their).abs().max()))
    return worst


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, default=12)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--fastmri", help="site-packages folder with fastmri")
    args = parser.parse_args()
    if args.fastmri:
        sys.path.append(args.fastmri)
    torch.set_num_threads(1)
    order = np.random.default_rng(0).permutation(args.slices).tolist()
    for challenge, coils in (("singlecoil", None), ("multicoil", 15)):
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder), coils, args.slices)
            print(f"\n{challenge}, {args.slices} slices of {coils or 1} x 640 x 368")
            root = Path(folder) / "contiguous"
            item = FastMRI(root=root, form="unet", mask=MASK)
            contenders: dict[str, Take] = {"training item": lambda index, item=item: item[index]}
            other = theirs(root, challenge)
            if other is not None:
                contenders["fastMRI's"] = other
            times = interleaved(contenders, order, args.repeat)
            for name, value in times.items():
                print(f"  {name:34s}{value:9.2f} ms of CPU")
            if other is not None:
                ratio = times["training item"] / times["fastMRI's"]
                gap = difference(contenders["training item"], other, order)
                print(f"  ratio {ratio:.2f}, largest difference {gap:.1e}")
            for layout in ("contiguous", "chunked"):
                data = FastMRI(root=Path(folder) / layout)
                times = interleaved(
                    {
                        f"slice, {layout}": lambda index, data=data: data[index],
                        f"slice, {layout}, opened per item": open_per_item(data.files[0]),
                    },
                    order,
                    args.repeat,
                )
                ours, opened = times.values()
                for name, value in times.items():
                    print(f"  {name:34s}{value:9.2f} ms of CPU, {1e3 / value:7.0f} a second")
                print(f"  {opened / ours:.2f} x the slices a second of opening per item")


if __name__ == "__main__":
    main()
