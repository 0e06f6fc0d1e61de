"""MATLAB files with the walnut's layout from data of one's own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
from numpy.typing import NDArray

from recon.io.atomic import atomic_file
from recon.testing.ellipsoids import Ellipsoid, chords

__all__ = ["SHAPES", "counts", "write_fips", "write_synthetic"]

SHAPES = (
    Ellipsoid(0.04, (0.5, -1.0), (12.0, 9.0), 0.4),
    Ellipsoid(0.05, (5.0, 3.0), (2.5, 1.5)),
    Ellipsoid(-0.03, (-4.0, -2.0), (2.0, 3.0), 1.0),
)
"""The synthetic nut: 1/mm and mm, x to the right and y up."""


def write_fips(path: Path, matrices: Mapping[str, NDArray[Any]], version: Literal["5", "7.3"] = "5") -> None:
    """Write matrices, as MATLAB shows them, to a MATLAB file."""
    with atomic_file(path) as temporary:
        if version == "5":
            from scipy.io import savemat

            savemat(temporary, dict(matrices), do_compression=True)
            return
        with h5py.File(temporary, "w", userblock_size=512) as file:
            for name, matrix in matrices.items():
                file.create_dataset(name, data=np.asarray(matrix).T).attrs["MATLAB_class"] = np.bytes_(
                    matrix.dtype.name
                )
        with temporary.open("r+b") as file_head:
            file_head.write(b"MATLAB 7.3 MAT-file, Platform: synthetic".ljust(124) + b"\x00\x02IM")


def write_synthetic(path: Path, *, views: Literal[120, 1200] = 120, version: Literal["5", "7.3"] = "5") -> None:
    """Write the noiseless counts of `SHAPES` as ``sinogram120`` or ``sinogram1200``."""
    write_fips(path, {f"sinogram{views}": counts(views)}, version)


def counts(views: int, air: float = 50000.0) -> NDArray[np.uint16]:
    """Return counts (2296, views) of `SHAPES`, from the positions of source and pixels in closed form.

    At view k the source stands at 110 mm towards (sin b, -cos b), b = -pi/2 - 2 pi k / views; the 2296 pixels of 0.05
    mm, the last one first, run along (cos b, sin b) at 190 mm beyond the centre, and are shifted by -0.279 mm.
    """
    b = -math.pi / 2 - 2 * math.pi * np.arange(views) / views
    central = np.stack([-np.sin(b), np.cos(b)], -1)
    across = np.stack([np.cos(b), np.sin(b)], -1)
    place = 0.05 * (1147.5 - np.arange(2296)) - 0.279
    source = -110.0 * central[None]
    direction = 190.0 * central[None] + place[:, None, None] * across[None] - source
    direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
    return np.rint(air * np.exp(-chords(SHAPES, source, direction))).astype(np.uint16)
