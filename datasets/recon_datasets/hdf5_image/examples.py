"""Small cases for the conformance kit."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from recon.testing import Example

__all__ = ["reader", "writer"]


def reader() -> list[Example]:
    """Return an image with its place, and one in a group."""
    return [
        Example(prepare=lambda folder: {"path": _save(folder, "image", place=True)}, name="placed"),
        Example(
            params={"dataset": "volume"},
            prepare=lambda folder: {"path": _save(folder, "volume", place=False)},
            name="named",
        ),
    ]


def writer() -> list[Example]:
    """Return a volume, and a packed slice."""
    return [
        Example(shape=(3, 5, 7), name="volume"),
        Example(params={"compress": True}, shape=(6, 5), name="packed slice"),
    ]


def _save(folder: Path, name: str, *, place: bool) -> Path:
    path = folder / "a.h5"
    with h5py.File(path, "w") as file:
        data = file.create_dataset(name, data=np.random.default_rng(0).normal(size=(3, 4, 5)).astype("f4"))
        if place:
            data.attrs["affine"] = np.diag([1.5, 2.0, 5.0, 1.0])
            data.attrs["unit"] = "HU"
    return path
