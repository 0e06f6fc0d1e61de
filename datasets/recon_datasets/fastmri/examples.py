"""Small cases for the conformance kit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from recon.io import Image
from recon.testing import Example
from recon_datasets.fastmri.reconstruction import ReconstructionWriter
from recon_datasets.fastmri.synthetic import write_synthetic

__all__ = ["dataset", "reader", "reconstruction_reader", "reconstruction_writer"]


def dataset() -> list[Example]:
    """Return multi-coil, single-coil and undersampled sets in all forms, slice-wise and volume-wise."""
    mask = {"kind": "fastmri_random", "acceleration": 3, "center_fraction": 0.2}
    return [
        Example(prepare=_multicoil, name="multi-coil"),
        Example(params={"challenge": "singlecoil", "scale": 1e4}, prepare=_singlecoil, name="single-coil"),
        Example(prepare=_test_set, name="test set"),
        Example(params={"form": "coils"}, prepare=_multicoil, name="coil images"),
        Example(params={"form": "unet", "mask": mask}, prepare=_multicoil, name="U-Net"),
        Example(params={"mask": mask, "only": {"coils": 4}}, prepare=_multicoil, name="masked"),
        Example(params={"items": "volumes", "challenge": "singlecoil"}, prepare=_singlecoil, name="volumes"),
    ]


def reader() -> list[Example]:
    """Return multi-coil, single-coil and undersampled files."""
    cases = {"multi-coil": _multicoil, "single-coil": _singlecoil, "test set": _test_set}
    return [Example(prepare=_file_of(prepare), name=name) for name, prepare in cases.items()]


def reconstruction_reader() -> list[Example]:
    """Return a reconstructed volume."""
    return [Example(prepare=_reconstruction)]


def reconstruction_writer() -> list[Example]:
    """Return a volume."""
    return [Example(shape=(3, 6, 5))]


def _reconstruction(folder: Path) -> Mapping[str, Any]:
    image = Image(data=torch.rand(2, 6, 5, generator=torch.Generator().manual_seed(0)), metadata={"acceleration": 4})
    ReconstructionWriter().write(image, folder / "file1.h5")
    return {"path": folder / "file1.h5"}


def _file_of(prepare: Any) -> Any:
    def path(folder: Path) -> Mapping[str, Any]:
        prepare(folder)
        return {"path": folder / "file1.h5"}

    return path


def _multicoil(folder: Path) -> Mapping[str, Any]:
    write_synthetic(folder / "file1.h5", slices=2)
    write_synthetic(folder / "file2.h5", slices=1, coils=4, shape=(30, 25), seed=1)
    return {"root": folder}


def _singlecoil(folder: Path) -> Mapping[str, Any]:
    write_synthetic(folder / "file1.h5", slices=3, coils=None)
    return {"root": folder}


def _test_set(folder: Path) -> Mapping[str, Any]:
    write_synthetic(folder / "file1.h5", mask=torch.arange(24) % 3 == 0, reference=False)
    return {"root": folder}
