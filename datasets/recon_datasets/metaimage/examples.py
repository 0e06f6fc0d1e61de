"""Small cases for the conformance kit."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np

from recon.testing import Example

__all__ = ["reader"]

_HEADER = """ObjectType = Image
NDims = 3
BinaryData = True
BinaryDataByteOrderMSB = False
CompressedData = {packed}
TransformMatrix = 0 1 0 1 0 0 0 0 -1
Offset = 10 -20 30
ElementSpacing = 1.5 2 5
DimSize = 5 4 3
ElementType = MET_SHORT
ElementDataFile = {source}
"""


def reader() -> list[Example]:
    """Return a plain and a packed file, and one of two parts."""
    return [
        Example(prepare=lambda folder: {"path": _save(folder, packed=False, source="LOCAL")}, name="plain"),
        Example(prepare=lambda folder: {"path": _save(folder, packed=True, source="LOCAL")}, name="packed"),
        Example(prepare=lambda folder: {"path": _save(folder, packed=False, source="a.raw")}, name="two files"),
    ]


def _save(folder: Path, *, packed: bool, source: str) -> Path:
    values = np.random.default_rng(0).integers(-1000, 1000, (3, 4, 5)).astype("<i2").tobytes()
    values = zlib.compress(values) if packed else values
    local = source == "LOCAL"
    path = folder / ("a.mha" if local else "a.mhd")
    path.write_bytes(_HEADER.format(packed=packed, source=source).encode() + (values if local else b""))
    if not local:
        (folder / source).write_bytes(values)
    return path
