"""The pair of files that BART keeps an array in.

``name.hdr`` is text; the line after ``# Dimensions`` holds the sizes. ``name.cfl`` holds the values, complex64 in
little-endian order, the first axis fastest. An array has up to 16 axes, each with a meaning:

==  ====================================  ==  ====================================
 0  x, the readout                         8  iteration
 1  y, phase encoding                      9  chemical shift
 2  z, second phase encoding              10  time
 3  coil                                  11  second time (cardiac, respiratory)
 4  set of sensitivities                  12  level
 5  echo or contrast                      13  slice
 6  coefficient                           14  average
 7  second coefficient                    15  batch
==  ====================================  ==  ====================================
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recon.errors import FileFormatError

__all__ = ["AXES", "read_cfl", "write_cfl"]

AXES = (
    "x", "y", "z", "coil", "channel", "contrast", "coefficient", "coefficient_2", "iteration", "shift", "repetition",
    "phase", "level", "slice", "average", "batch",
)  # fmt: skip
"""What the axes are called here, in BART's order."""

_LARGEST_HEADER = 2**16


def read_cfl(path: Path) -> NDArray[np.complex64]:
    """Return the array of ``name.cfl`` and ``name.hdr``, either of which is `path`, with BART's order of axes.

    Raises
    ------
    FileFormatError
        If one of them is missing or not what it should be, or the sizes do not fit the values.
    """
    header, values = path.with_suffix(".hdr"), path.with_suffix(".cfl")
    for file in (path, header, values):
        if not file.is_file():
            raise FileFormatError(f"{file} does not exist; BART keeps an array in a .cfl and a .hdr file")
    dimensions = _dimensions(header)
    count, stored = math.prod(dimensions), values.stat().st_size
    if stored != 8 * count:
        raise FileFormatError(
            f"{values} has {stored} bytes, the header's {' x '.join(map(str, dimensions))} complex values need "
            f"{8 * count}: cut off, or of another header"
        )
    flat: NDArray[np.complex64] = np.fromfile(values, dtype="<c8")
    return flat.reshape(dimensions, order="F")


def write_cfl(path: Path, array: NDArray[np.complexfloating]) -> None:
    """Write an array with BART's order of axes to ``name.cfl`` and ``name.hdr``."""
    dimensions = (*array.shape, *[1] * (len(AXES) - array.ndim))
    with path.with_suffix(".cfl").open("wb") as file:
        np.asarray(array, dtype="<c8").ravel(order="F").tofile(file)
    path.with_suffix(".hdr").write_text(f"# Dimensions\n{' '.join(map(str, dimensions))} \n", encoding="ascii")


def _dimensions(path: Path) -> tuple[int, ...]:
    if path.stat().st_size > _LARGEST_HEADER:
        raise FileFormatError(f"{path} is too large for the header of a cfl file")
    lines = [line.strip() for line in path.read_text(encoding="utf-8", errors="replace").splitlines()]
    try:
        sizes = tuple(int(word) for word in lines[lines.index("# Dimensions") + 1].split())
    except (ValueError, IndexError):
        raise FileFormatError(f"{path} is not the header of a cfl file: no sizes after '# Dimensions'") from None
    if not 0 < len(sizes) <= len(AXES) or min(sizes) < 1:
        raise FileFormatError(f"{path} states sizes {sizes}; up to {len(AXES)} positive ones make sense")
    return sizes
