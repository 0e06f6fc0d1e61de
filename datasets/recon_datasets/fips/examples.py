"""Small cases for the conformance kit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from recon.testing import Example
from recon_datasets.fips.synthetic import write_synthetic

__all__ = ["reader"]


def reader() -> list[Example]:
    """Return a file of each version."""
    params = {"sinogram": "sinogram120", "downsample": 8}
    return [
        Example(params=params, prepare=lambda folder: _file(folder, "5"), name="MATLAB 5"),
        Example(params=params, prepare=lambda folder: _file(folder, "7.3"), name="MATLAB 7.3"),
    ]


def _file(folder: Path, version: Literal["5", "7.3"]) -> Mapping[str, Any]:
    write_synthetic(folder / "walnut.mat", version=version)
    return {"path": folder / "walnut.mat"}
