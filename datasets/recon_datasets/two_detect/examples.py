"""Small cases for the conformance kit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recon.testing import Example
from recon_datasets.two_detect.synthetic import write_synthetic

__all__ = ["dataset", "reader"]


def dataset() -> list[Example]:
    """Return low-dose sinograms with clean images, and sparse views alone."""
    return [
        Example(params={"mode": 1, "views": 24}, prepare=_root, name="low dose"),
        Example(params={"views": 6, "reference": None}, prepare=_root, name="sparse views"),
    ]


def reader() -> list[Example]:
    """Return one slice."""
    return [Example(prepare=lambda folder: {"path": _slice(_root(folder)["root"])}, name="clean")]


def _slice(root: Path) -> Path:
    return root / "2DeteCT_slices1-1000" / "slice00001" / "mode2"


def _root(folder: Path) -> Mapping[str, Any]:
    write_synthetic(folder)
    return {"root": folder}
