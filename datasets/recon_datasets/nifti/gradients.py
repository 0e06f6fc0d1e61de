"""Diffusion weighting beside a NIfTI image: NAME.bval and NAME.bvec, as FSL, DIPY and MRtrix take them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from recon.io import Image
from recon.io.atomic import beside
from recon.io.metadata import Value

__all__ = ["read_tables", "write_tables"]

B_VALUES = "b_values_s_mm2"
GRADIENTS = ("gradient_x", "gradient_y", "gradient_z")
UNIT_TOLERANCE = 1e-2
"""How far the length of a direction may be off 1: tables are often rounded to two digits."""

_SUFFIXES = (".nii", ".nii.gz", ".hdr", ".hdr.gz")
_LARGEST = 2**22
"""Bytes of a table that is read: fifty thousand volumes."""


class _UnusableError(Exception):
    """A table that cannot be used, in a few words."""


def write_tables(image: Image, path: Path) -> None:
    """Write the tables of an image that is written to `path`; none where it has no b-value for each volume.

    ``.bval`` is one line of b-values in s/mm2. ``.bvec`` is three lines of unit vectors along the image's own axes, the
    first of which is reversed where the affine has a positive determinant: FSL's convention. A grid that is sheared has
    the axes of the rotation that is closest to it. Vectors of unweighted volumes, and of weighted ones without a
    direction, are zero; without any direction, or without an affine, there is no ``.bvec``.

    References
    ----------
    FSL, FDT user guide: "What conventions do the bvecs use?"
    """
    values = _per_volume(image.metadata, B_VALUES, image)
    if not values:
        return
    _table(path, ".bval").write_text(_line(values), encoding="ascii")
    gradients = [_per_volume(image.metadata, name, image) for name in GRADIENTS]
    if image.affine is None or not np.any(gradients):
        return
    vectors = _axes(image.affine).T @ np.array(gradients) * _weighted(values)
    _table(path, ".bvec").write_text("".join(map(_line, vectors)), encoding="ascii")


def read_tables(path: Path, volumes: int, affine: np.ndarray | None) -> tuple[dict[str, Value], tuple[str, ...]]:
    """Return the metadata that the tables beside an image tell, and notes on what of them could not be used.

    Parameters
    ----------
    path
        The image.
    volumes
        How many it has.
    affine
        Its affine; None leaves the directions out, which are along its axes.
    """
    table = _table(path, ".bval")
    if not table.is_file():
        return {}, ()
    try:
        numbers = _numbers(table)
        values = [number for row in numbers for number in row]
        if len(values) != volumes or min(len(numbers), max(map(len, numbers))) != 1:
            raise _UnusableError(f"has {len(values)} values for {volumes} volumes")
        if min(values) < 0:
            raise _UnusableError("has negative values")
    except _UnusableError as error:
        return {}, (f"RECON-NIFTI-GRADIENTS: the .bval beside the image was left out: it {error}",)
    found: dict[str, Value] = {B_VALUES: tuple(values)}
    try:
        vectors = _vectors(_table(path, ".bvec"), values)
        if vectors is None:
            return found, ()
        if affine is None:
            raise _UnusableError("is along the axes of an image that does not say where they point")
    except _UnusableError as error:
        return found, (f"RECON-NIFTI-GRADIENTS: the .bvec beside the image was left out: it {error}",)
    for name, row in zip(GRADIENTS, _axes(affine) @ vectors, strict=True):
        found[name] = tuple((row + 0.0).tolist())  # no negative zero
    return found, ()


def _table(path: Path, ending: str) -> Path:
    return beside(path, ending, _SUFFIXES)


def _per_volume(metadata: Mapping[str, Any], name: str, image: Image) -> list[float]:
    """Return a list of the metadata with one number a volume, also of an image that is one; else nothing."""
    outer = [axis for axis in image.dims[: -len(image.space)] if axis != "channel"]
    volumes = image.shape[image.dims.index("t")] if "t" in outer else 1
    value = metadata.get(name, ())
    values = value if isinstance(value, tuple) else (value,)
    return [float(number) for number in values] if outer in ([], ["t"]) and len(values) == volumes else []


def _axes(affine: np.ndarray) -> np.ndarray:
    """Return, as columns, what FSL's three axes of the image are in RAS+: a rotation, or a reflection."""
    sides = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    left, _, right = np.linalg.svd(sides)
    axes: np.ndarray = left @ right
    if np.linalg.det(axes) > 0:
        axes[:, 0] *= -1
    return axes


def _weighted(values: list[float]) -> np.ndarray:
    return np.array(values) > 0


def _line(values: Any) -> str:
    # Ten digits: directions come back to 1e-9.
    return " ".join(f"{round(float(value), 10) + 0.0:.10g}" for value in values) + "\n"


def _numbers(table: Path) -> list[list[float]]:
    """Return the numbers of a text file, line by line."""
    if table.stat().st_size > _LARGEST:
        raise _UnusableError("is too large for a table")
    try:
        lines = table.read_text(encoding="ascii").replace(",", " ").splitlines()
        rows = [[float(word) for word in line.split()] for line in lines if line.strip()]
    except (ValueError, OSError):  # among them, what is no text
        raise _UnusableError("is no table of numbers") from None
    if not rows or not all(math.isfinite(number) for row in rows for number in row):
        raise _UnusableError("has no numbers, or some that are not finite")
    return rows


def _vectors(table: Path, values: list[float]) -> np.ndarray | None:
    """Return unit vectors (3, volume), zero for unweighted volumes; None where there is no table."""
    if not table.is_file():
        return None
    rows = _numbers(table)
    if len({len(row) for row in rows}) != 1:
        raise _UnusableError("has lines of different lengths")
    vectors = np.array(rows)
    # FSL and DIPY take one volume a line, too; three volumes are FSL's three lines.
    vectors = vectors.T if vectors.shape == (len(values), 3) and len(values) != 3 else vectors
    if vectors.shape != (3, len(values)):
        raise _UnusableError(f"has {vectors.shape[0]} lines of {vectors.shape[1]} values for {len(values)} volumes")
    vectors = vectors * _weighted(values)
    lengths = np.linalg.norm(vectors, axis=0)
    if not ((lengths == 0) | (np.abs(lengths - 1) <= UNIT_TOLERANCE)).all():
        raise _UnusableError("has vectors whose length is neither 0 nor 1")
    return vectors / np.where(lengths == 0, 1.0, lengths)
