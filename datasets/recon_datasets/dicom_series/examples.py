"""Small cases for the conformance kit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from recon.testing import Example
from recon_datasets.dicom_series.synthetic import write_slices

__all__ = ["dataset", "reader"]


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


def _two_series(folder: Path) -> Mapping[str, Any]:
    _series(folder / "ct")
    _series(folder / "mr", modality="MR", name="other", slope=0.5, intercept=0)
    return {"root": folder}


def _series(folder: Path, **options: Any) -> list[Path]:
    return write_slices(folder, np.random.default_rng(0).integers(0, 3000, (3, 5, 7)), **options)
