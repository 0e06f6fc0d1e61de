"""Numeric variables of MATLAB files, of version 5 (by SciPy) and 7.3 (which is HDF5)."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from recon.errors import FileFormatError
from recon.io.hdf5 import dataset, open_hdf5

__all__ = ["load_variable", "variables"]

# What SciPy raises on damaged files; its own MatReadError is an Exception of no other kind.
_DAMAGE = (
    OSError, EOFError, ValueError, TypeError, LookupError, OverflowError, MemoryError, zlib.error, struct.error,
    NotImplementedError,
)  # fmt: skip


def variables(path: Path) -> dict[str, tuple[int, ...]]:
    """Return the names and shapes of a file's variables, shapes as MATLAB shows them.

    Raises
    ------
    FileFormatError
        If the file is missing, damaged, or not MATLAB's.
    """
    if _version(path) == "7.3":
        with open_hdf5(path) as file:
            own = [name for name in file if isinstance(file.get(name, getlink=True), h5py.HardLink)]
            found = [(name, file[name]) for name in own]
            return {name: item.shape[::-1] for name, item in found if isinstance(item, h5py.Dataset)}
    return {name: tuple(shape) for name, shape, _ in _scipy(path, "whosmat")}


def load_variable(path: Path, name: str) -> NDArray[Any]:
    """Return a numeric matrix as MATLAB shows it.

    Raises
    ------
    FileFormatError
        If the file is damaged, has no such variable, or it is not a matrix of real numbers.
    """
    found = variables(path)
    if name not in found:
        raise FileFormatError(f"{path} has no variable {name!r}; it has {', '.join(sorted(found)) or 'none'}")
    if _version(path) == "7.3":
        with open_hdf5(path) as file:
            item = dataset(file, name)
            values = np.asarray(None if item is None else item[()]).T  # MATLAB stores columns first
    else:
        values = np.asarray(_scipy(path, "loadmat", variable_names=[name])[name])
    if values.ndim != 2 or values.dtype.kind not in "uif":
        raise FileFormatError(f"{path}: {name!r} is {values.dtype} of shape {values.shape}, not a matrix of numbers")
    return values


def _version(path: Path) -> str:
    try:
        with path.open("rb") as file:
            head = file.read(128)
    except OSError as error:
        raise FileFormatError(f"{path} cannot be read: {error.strerror or error}") from error
    for version in ("5.0", "7.3"):
        if head.startswith(f"MATLAB {version} MAT-file".encode()):
            return version
    raise FileFormatError(f"{path} is not a MATLAB file of version 5 or 7.3; save it with save -v7.3 first")


def _scipy(path: Path, function: str, **options: Any) -> Any:
    from scipy.io import loadmat, matlab, whosmat

    try:
        return {"loadmat": loadmat, "whosmat": whosmat}[function](path, **options)
    except (*_DAMAGE, matlab.MatReadError) as error:
        reason = " ".join(str(error).split())
        raise FileFormatError(f"{path} is not a readable MATLAB file (damaged or cut off?): {reason}") from error
