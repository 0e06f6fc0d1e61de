"""A folder of synthetic files in fastMRI's layout, to try things out before the real data are there."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from recon.building import build
from recon.errors import UsageError
from recon.io.atomic import atomic_folder
from recon.kspace import fft_centred
from recon_datasets.fastmri.synthetic import write_fastmri

__all__ = ["command", "write_phantoms"]

_ANATOMIES = {  # matrix (H, W) of k-space volume by volume, size of the reference, protocols
    "knee": (((640, 368), (640, 372)), (320, 320), ("CORPD_FBK", "CORPDFS_FBK")),
    "brain": (((640, 320), (640, 264)), (320, 260), ("AXT2", "AXFLAIR", "AXT1POST")),
}
_MASK = {"kind": "fastmri_random", "acceleration": 4, "center_fraction": 0.08}
_SPLITS = ("train", "val", "test")


def write_phantoms(
    folder: Path,
    *,
    anatomy: str = "knee",
    coils: int | None = 4,
    volumes: int = 3,
    slices: int = 2,
    seed: int = 0,
) -> None:
    """Write phantoms of ellipses with coils, phase and noise as ``multicoil_train``, ``_val`` and ``_test``.

    Sizes, widths that differ, header, attributes, padding and, in the test set, masks without references are those of
    fastMRI's files. What they show is no anatomy: numbers measured on them mean nothing for real data.

    Parameters
    ----------
    folder
        New folder.
    anatomy
        knee or brain, whose matrix sizes and protocols are taken.
    coils
        Number of coils; None for single-coil files.
    volumes
        Files of each split.
    slices
        Slices of a file.
    seed
        Another seed gives other phantoms.

    Raises
    ------
    UsageError
        If the folder exists and has content.
    """
    sizes, crop, protocols = _ANATOMIES[anatomy]
    if min(volumes, slices, 1 if coils is None else coils) < 1:
        raise UsageError("volumes, slices and coils are numbers above 0")
    count = len(_SPLITS) * volumes * slices
    data: Any = build("dataset", "multicoil_phantom", size=crop, coils=coils or 1, count=count, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with atomic_folder(folder) as temporary:
        for number in range(len(_SPLITS) * volumes):
            split = _SPLITS[number // volumes]
            height, width = sizes[number % len(sizes)]
            images = []
            for cut in range(slices):
                item = data[number * slices + cut]
                images.append(item["image"] * (item["maps"] if coils else 1))
            top, left = (height - crop[0]) // 2, (width - crop[1]) // 2
            wide = torch.zeros(slices, coils or 1, height, width, dtype=torch.complex64)
            wide[..., top : top + crop[0], left : left + crop[1]] = torch.stack(images)
            noise = torch.randn(wide.shape, generator=generator, dtype=torch.complex64)
            kspace = 3e-4 * (fft_centred(wide) + 0.02 * noise)
            place = temporary / f"{'multicoil' if coils else 'singlecoil'}_{split}"
            place.mkdir(exist_ok=True)
            name = f"file{1000000 + number}.h5" if anatomy == "knee" else f"file_brain_{1000000 + number}.h5"
            mask = None
            if split == "test":
                operator: Any = build("operator", "fourier", mask={**_MASK, "seed": name})
                mask = operator.mask_for((height, width))
            write_fastmri(
                place / name,
                kspace if coils else kspace[:, 0],
                size=crop,
                mask=mask,
                acquisition=protocols[number % len(protocols)],
                measured=(8, width - 6),
                reference=mask is None,
            )


def command(arguments: Sequence[str]) -> int:
    """Run ``recon make-fastmri``."""
    parser = argparse.ArgumentParser(
        prog="recon make-fastmri",
        description="Write synthetic files in fastMRI's layout: phantoms with coils, phase and noise.",
        epilog="example: recon make-fastmri phantoms --anatomy brain --coils 8",
    )
    parser.add_argument("folder", type=Path, help="new folder")
    parser.add_argument("--anatomy", choices=list(_ANATOMIES), default="knee", help="whose sizes and protocols")
    parser.add_argument("--coils", type=int, default=4, help="number of coils (default 4); 0 writes single-coil files")
    parser.add_argument("--volumes", type=int, default=3, help="files of each split (default 3)")
    parser.add_argument("--slices", type=int, default=2, help="slices of a file (default 2)")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(list(arguments))
    write_phantoms(
        given.folder,
        anatomy=given.anatomy,
        coils=given.coils or None,
        volumes=given.volumes,
        slices=given.slices,
        seed=given.seed,
    )
    sys.stdout.write(f"{given.folder}\n")
    return 0
