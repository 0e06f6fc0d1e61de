"""Small cases for the conformance kit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recon.testing import Example
from recon_datasets.dicom_ct_pd.synthetic import write_synthetic

__all__ = ["reader"]


def reader() -> list[Example]:
    """Return a scan rebinned to slices, and one as measured, of implicit value representation."""
    return [
        Example(params={"size": 32}, prepare=lambda folder: _scan(folder, implicit=False), name="fan"),
        Example(
            params={"size": 32, "geometry": "helix", "spacing": 6.0},
            prepare=lambda folder: _scan(folder, implicit=True),
            name="helix",
        ),
    ]


def _scan(folder: Path, *, implicit: bool) -> Mapping[str, Any]:
    write_synthetic(folder / "scan", turns=1.5, views_per_turn=24, columns=20, rows=6, implicit=implicit)
    return {"path": folder / "scan"}
