"""Small cases for the conformance kit."""

from __future__ import annotations

from pathlib import Path

import nrrd
import numpy as np

from recon.testing import Example

__all__ = ["reader"]


def reader() -> list[Example]:
    """Return a plain and a gzipped file, and one of colours."""
    return [
        Example(prepare=lambda folder: {"path": _save(folder, "raw", "i2")}, name="plain"),
        Example(prepare=lambda folder: {"path": _save(folder, "gzip", "f4")}, name="gzipped"),
        Example(prepare=lambda folder: {"path": _save(folder, "gzip", "u1", colours=3)}, name="colours"),
    ]


def _save(folder: Path, encoding: str, dtype: str, colours: int = 0) -> Path:
    shape = (*([colours] if colours else []), 5, 4, 3)
    values = (100 * np.random.default_rng(0).normal(size=shape)).astype(dtype)
    rows = [[0, 1.5, 0], [2.0, 0, 0], [0, 0, -5]]
    header = {
        "encoding": encoding,
        "space": "left-posterior-superior",
        "space directions": np.array([*([[np.nan] * 3] if colours else []), *rows]),
        "space origin": [10.0, -20.0, 30.0],
        "kinds": [*(["RGB-color"] if colours else []), "domain", "domain", "domain"],
    }
    path = folder / "a.nrrd"
    nrrd.write(str(path), values, header)
    return path
