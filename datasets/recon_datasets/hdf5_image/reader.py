"""Reading images of HDF5 files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import h5py
import numpy as np
import torch
from annotated_types import Gt

from recon.errors import CodedFileError
from recon.io import Image
from recon.io.hdf5 import dataset, open_hdf5
from recon.io.provenance import from_files
from recon_datasets.hdf5_image.layout import MARK, facts, typed

__all__ = ["NAMES", "Hdf5ImageReader"]

NAMES = ("image", "volume")
"""Datasets at the root of a file that are taken without being named."""

_DIMS = ("channel", "t", "z", "y", "x")
_WIDER = {"u2": "i4", "u4": "i8", "f16": "f8", "c32": "c16", "b1": "u1"}


class Hdf5ImageReader:
    """Reads an image from a dataset of an HDF5 file: (y, x), (z, y, x), (t, z, y, x) or (channel, t, z, y, x).

    Attributes of the dataset, all optional, tell what it is: ``affine``, 4x4, voxel index (x, y, z, 1) to RAS+ mm;
    ``voxel_size``, (x, y[, z]) in mm, if there is no affine; ``unit``, one of recon's. Files of `Hdf5ImageWriter` come
    back equal to what was written, with any axes, and with the provenance that was written. Other attributes are left
    out. Links, data in other files and absurd sizes are refused.

    Parameters
    ----------
    dataset
        Path of the dataset within the file; by default the one at the root that is called image or volume.
    limit_gb
        Largest image in GiB that is read.
    """

    def __init__(self, *, dataset: str | None = None, limit_gb: Annotated[float, Gt(0)] = 16.0) -> None:
        self.dataset = dataset
        self.limit_gb = limit_gb

    def accepts(self, path: Path) -> bool:
        """Whether the file has the dataset."""
        if not path.is_file():
            return False
        with open_hdf5(path) as file:
            return self._name(file) is not None

    def read(self, path: Path) -> Image:
        """Read an image.

        Raises
        ------
        CodedFileError
            RECON-HDF5-DAMAGED, RECON-HDF5-UNSAFE, RECON-HDF5-KIND, RECON-IMAGE-AFFINE, RECON-IMAGE-HEADER or
            RECON-IMAGE-SIZE.
        """
        with open_hdf5(path) as file:
            name = self._name(file)
            found = None if name is None else dataset(file, name)
            if found is None:
                wanted = repr(self.dataset) if self.dataset else "image or volume at its root"
                raise CodedFileError(
                    "RECON-HDF5-KIND", f"{path} has no dataset {wanted}: name one with dataset= of the reader"
                )
            most = 32 if MARK in found.attrs else len(_DIMS)
            if found.dtype.kind not in "biufc" or not 2 <= found.ndim <= most or found.size == 0:
                raise CodedFileError(
                    "RECON-HDF5-KIND",
                    f"{path}: the dataset is no image, {found.ndim} axes of type {found.dtype.kind!r}",
                )
            if found.nbytes > self.limit_gb * 2**30:
                raise CodedFileError(
                    "RECON-IMAGE-SIZE", f"{path} declares {found.nbytes} bytes: raise limit_gb of the reader"
                )
            told = {"provenance": from_files("hdf5_image", path), **facts(found, _DIMS[-found.ndim :], path)}
            data = typed(torch.from_numpy(_numbers(found[()], path)), told.pop("dtype", None))
        return Image(data=data, **told)

    def _name(self, file: h5py.File) -> str | None:
        """Return the name of the dataset, which may turn out to be none of the file itself."""
        if self.dataset is not None:
            return self.dataset
        named = [name for name in NAMES if name in file.keys()]  # noqa: SIM118 - membership of the file follows links
        return named[0] if len(named) == 1 and "kspace" not in file.keys() else None  # noqa: SIM118


def _numbers(values: np.ndarray, path: Path) -> np.ndarray:
    """Return the values in a type of torch's."""
    kind = f"{values.dtype.kind}{values.dtype.itemsize}"
    if kind == "u8":
        if values.max() >= 2**63:
            raise CodedFileError("RECON-HDF5-KIND", f"{path} holds integers above 2^63, which torch cannot")
        kind = "i8"
    return np.ascontiguousarray(values.astype(_WIDER.get(kind, kind), copy=False))
