"""Small cases for the conformance kit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recon.io import Image
from recon.testing import Example
from recon_datasets.dicom_series.synthetic import write_slices

__all__ = ["dataset", "reader", "writer"]


def dataset() -> list[Example]:
    """Return slices of two series, and volumes in [0, 1]."""
    return [
        Example(prepare=_two_series, name="slices"),
        Example(params={"items": "volumes", "shift": -1024, "divide_by": 4096}, prepare=_two_series, name="volumes"),
    ]


def reader() -> list[Example]:
    """Return a series and a slice."""
    return [
        Example(prepare=lambda folder: {"path": _series(folder / "ct")[0].parent}, name="series"),
        Example(prepare=lambda folder: {"path": _series(folder / "ct")[1]}, name="slice"),
    ]


def writer() -> list[Example]:
    """Return a slice of whole HU, and one of any."""
    return [
        Example(prepare=lambda folder: {"image": _slice(1.0)}, name="whole numbers"),  # noqa: ARG005
        Example(prepare=lambda folder: {"image": _slice(0.37)}, name="fractions"),  # noqa: ARG005
    ]


def _slice(step: float) -> Image:
    affine = np.array([[0.0, -0.9, 0.0, 10.0], [0.7, 0.0, 0.0, -20.0], [0.0, 0.0, 2.5, 30.0], [0.0, 0.0, 0.0, 1.0]])
    return Image(data=torch.arange(35.0).reshape(5, 7) * 50 * step - 1000, affine=affine, unit="HU")


def _two_series(folder: Path) -> Mapping[str, Any]:
    _series(folder / "ct")
    _series(folder / "mr", modality="MR", name="other", slope=0.5, intercept=0)
    return {"root": folder}


def _series(folder: Path, **options: Any) -> list[Path]:
    return write_slices(folder, np.random.default_rng(0).integers(0, 3000, (3, 5, 7)), **options)
