"""Small cases for the conformance kit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from recon.testing import Example
from recon_datasets.data_exchange.synthetic import counts, write_projection_folder, write_synthetic

__all__ = ["folder", "reader"]


def reader() -> list[Example]:
    """Return a scan with its axis off the middle, and one row of it with the axis given."""
    return [
        Example(prepare=_file, name="axis found"),
        Example(params={"centre": 25.3, "rows": (1, 2)}, prepare=_file, name="axis given"),
    ]


def folder() -> list[Example]:
    """Return a scan with repeated angles."""
    return [Example(prepare=_folder, name="repeated angles")]


def _file(folder: Path) -> Mapping[str, Any]:
    write_synthetic(folder / "scan.h5", views=30)
    return {"path": folder / "scan.h5"}


def _folder(folder: Path) -> Mapping[str, Any]:
    theta = np.arange(24) * math.pi / 24
    write_projection_folder(folder / "scan", counts(theta), theta, waits=3)
    return {"path": folder / "scan"}
