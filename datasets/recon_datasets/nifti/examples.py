"""Small cases for the conformance kit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from recon.testing import Example

__all__ = ["dataset", "reader", "writer"]

AFFINE = np.array([[0, -2.0, 0, 10], [1.5, 0, 0, -20], [0, 0, 5, 30], [0, 0, 0, 1]])


def dataset() -> list[Example]:
    """Return slices of several files and volumes of a series."""
    return [
        Example(prepare=_folder, name="slices"),
        Example(params={"items": "volumes", "divide_by": "maximum"}, prepare=_folder, name="volumes"),
    ]


def reader() -> list[Example]:
    """Return a plain, a gzipped and a complex file."""
    return [
        Example(prepare=lambda folder: {"path": _save(folder / "a.nii", (5, 7, 3), "i2")}, name="int16"),
        Example(prepare=lambda folder: {"path": _save(folder / "a.nii.gz", (5, 6, 3, 2), "f4")}, name="gzipped 4-D"),
        Example(prepare=lambda folder: {"path": _save(folder / "a.nii", (5, 7, 2), "c8")}, name="complex"),
    ]


def writer() -> list[Example]:
    """Return a volume and a slice."""
    return [Example(shape=(3, 5, 7), name="volume"), Example(shape=(6, 5), name="slice")]


def _folder(folder: Path) -> Mapping[str, Any]:
    _save(folder / "a.nii", (5, 7, 3), "i2")
    _save(folder / "b.nii.gz", (5, 7, 3, 2), "f4")
    return {"root": folder}


def _save(path: Path, shape: tuple[int, ...], dtype: str) -> Path:
    random = np.random.default_rng(0)
    values = 100 * random.normal(size=shape) + (100j * random.normal(size=shape) if dtype == "c8" else 0)
    nib.save(nib.Nifti1Image(values.astype(dtype), AFFINE), path)
    return path
