"""Small cases for the conformance kit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from recon.io import Image, Measurement
from recon.testing import Example
from recon_datasets.bart.writer import BartWriter

__all__ = ["reader", "writer"]


def reader() -> list[Example]:
    """Return k-space of slices and of a volume, and an image of two sets."""
    cases = {"slices": _slices, "volume": _volume, "image": _image}
    return [Example(prepare=_file(make), name=name) for name, make in cases.items()]


def writer() -> list[Example]:
    """Return the same."""
    cases = {"slices": _slices, "volume": _volume, "image": _image}
    return [Example(prepare=_given(make), name=name) for name, make in cases.items()]


def _file(make: Any) -> Any:
    def prepare(folder: Path) -> Mapping[str, Any]:
        BartWriter().write(make(), folder / "array.cfl")
        return {"path": folder / "array.cfl"}

    return prepare


def _given(make: Any) -> Any:
    return lambda _: {"image": make()}


def _slices() -> Measurement:
    generator = torch.Generator().manual_seed(0)
    data = torch.randn(6, 2, 7, 10, generator=generator, dtype=torch.complex64)
    data[:, :, 1::2] = 0
    return Measurement(data=data, operator_config={"use": "fourier"}, dims=("contrast", "z", "y", "x"), batch=(2, 3))


def _volume() -> Measurement:
    data = torch.randn(1, 3, 4, 5, 6, generator=torch.Generator().manual_seed(1), dtype=torch.complex64)
    return Measurement(data=data, operator_config={"use": "fourier", "dimensions": 3}, dims=("z", "y", "x"))


def _image() -> Image:
    generator = torch.Generator().manual_seed(2)
    return Image(data=torch.randn(2, 5, 9, generator=generator, dtype=torch.complex64), dims=("channel", "y", "x"))
