"""Small cases for the conformance kit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image as Pillow

from recon.io import Image
from recon.testing import Example

__all__ = ["dataset", "reader", "stack", "writer"]


def dataset() -> list[Example]:
    """Return gray and colour folders."""
    return [
        Example(prepare=_folder, name="gray"),
        Example(params={"mode": "rgb"}, prepare=_folder, name="rgb"),
    ]


def reader() -> list[Example]:
    """Return an 8-bit gray and a colour picture."""
    return [
        Example(prepare=lambda folder: {"path": _save(folder / "a.png", (5, 7))}, name="gray"),
        Example(prepare=lambda folder: {"path": _save(folder / "b.bmp", (6, 4, 3))}, name="colour"),
    ]


def stack() -> list[Example]:
    """Return a folder of numbered pictures, and pages."""
    return [
        Example(prepare=_numbered, name="folder"),
        Example(params={"voxel_size": (0.5, 0.5, 2.0), "scaled": True}, prepare=_pages, name="pages"),
    ]


def writer() -> list[Example]:
    """Return both depths, and colour."""
    gray = Image(data=torch.linspace(0, 1, 35).reshape(5, 7))
    colour = Image(data=torch.arange(105, dtype=torch.uint8).reshape(3, 5, 7).float() / 255, dims=("channel", "y", "x"))
    return [
        Example(params={"bits": 16}, prepare=lambda _: {"image": gray}, name="16 bits"),
        Example(params={"bits": 8}, prepare=lambda _: {"image": colour}, name="colour"),
    ]


def _folder(folder: Path) -> Mapping[str, Any]:
    _save(folder / "a.png", (5, 7))
    (folder / "more").mkdir()
    _save(folder / "more" / "b.png", (5, 7, 3))
    return {"root": folder}


def _numbered(folder: Path) -> Mapping[str, Any]:
    place = folder / "stack"
    place.mkdir()
    for number in range(9, 12):
        _save(place / f"slice_{number}.png", (5, 7))
    return {"path": place}


def _pages(folder: Path) -> Mapping[str, Any]:
    values = np.random.default_rng(0).integers(0, 65536, (3, 5, 7), dtype=np.uint16)
    first, *others = [Pillow.fromarray(page) for page in values]
    first.save(folder / "a.tif", save_all=True, append_images=others)
    return {"path": folder / "a.tif"}


def _save(path: Path, shape: tuple[int, ...]) -> Path:
    values = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    Pillow.fromarray(values).save(path)
    return path
