"""NIfTI files below a folder as a dataset."""

from __future__ import annotations

from collections import OrderedDict
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from annotated_types import Ge
from torch import Tensor

from recon.errors import FileFormatError
from recon.io.listing import list_files
from recon_datasets.nifti.header import Header, read_header
from recon_datasets.nifti.reader import read_voxels

__all__ = ["NiftiDataset"]

AXES = "xyz"


class NiftiDataset:
    """Slices or volumes of NIfTI files, in the files' own axes: nothing is turned or resampled.

    Items: ``image`` (1, h, w) for slices and (1, z, y, x) for volumes, float32 or complex64. The volumes of a 4-D file
    are taken one by one. Slices across z of uncompressed files are read alone; of others, the last volumes are kept.

    Parameters
    ----------
    root
        Folder, searched with its subfolders for .nii and .nii.gz, or one file. It is listed on first use.
    items
        "slices" or "volumes".
    axis
        The axis across which slices are cut: "z" gives (y, x), "y" gives (z, x), "x" gives (z, y).
    divide_by
        A number, or "maximum" for the largest magnitude of each volume: networks want values of about 1.
    cache
        Number of volumes that a process keeps; of uncompressed files, mostly as a map that takes no memory.

    Raises
    ------
    FileFormatError
        On first use, if there is no such file, or one that is damaged.
    """

    def __init__(
        self,
        *,
        root: Path,
        items: Literal["slices", "volumes"] = "slices",
        axis: Literal["x", "y", "z"] = "z",
        divide_by: float | Literal["maximum"] = 1.0,
        cache: Annotated[int, Ge(1)] = 2,
    ) -> None:
        if divide_by == 0:
            raise ValueError("divide_by must not be 0")
        self.root = Path(root)
        self.items = items
        self.axis = axis
        self.divide_by = divide_by
        self.cache = cache
        self._volumes: OrderedDict[tuple[int, int], np.ndarray] = OrderedDict()
        self._maxima: dict[tuple[int, int], float] = {}

    @cached_property
    def files(self) -> list[Path]:
        """The files in the order of the items."""
        return list_files(self.root, (".nii", ".nii.gz"))

    @cached_property
    def index(self) -> np.ndarray:
        """One row (file, volume, slice) per item; slice is -1 for volumes."""
        rows = []
        for number, path in enumerate(self.files):
            header = read_header(path)
            shape = (*header.shape, 1, 1)
            if len(header.shape) > 4 or header.colours:
                raise FileFormatError(
                    f"{path} holds vectors or colours, shape {header.shape}; this dataset takes scalars"
                )
            slices = range(shape[AXES.index(self.axis)]) if self.items == "slices" else (-1,)
            rows += [(number, volume, cut) for volume in range(shape[3]) for cut in slices]
        return np.array(rows)

    def __len__(self) -> int:
        """Return the number of slices or volumes."""
        return len(self.index)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Read one slice or volume."""
        number, volume, cut = (int(value) for value in self.index[index])
        values = self._read(number, volume, cut)
        if self.divide_by == "maximum":
            values = values / self._maximum(number, volume)
        elif self.divide_by != 1:
            values = values / self.divide_by
        dtype = torch.complex64 if np.iscomplexobj(values) else torch.float32
        # A copy: what is cached stays as it was read.
        return {"image": torch.tensor(values.T, dtype=dtype)[None]}

    def __getstate__(self) -> dict[str, Any]:
        """Leave the cached volumes behind."""
        return self.__dict__ | {"_volumes": OrderedDict()}

    def _read(self, number: int, volume: int, cut: int) -> np.ndarray:
        if cut < 0:
            return self._volume(number, volume)
        header = read_header(self.files[number])
        if header.voxels.packing == "raw" and self.axis == "z":
            across = header.shape[0] * header.shape[1]
            slices = (*header.shape, 1)[2]
            return read_voxels(header, header.shape[:2], first=(volume * slices + cut) * across)[0]
        where: list[Any] = [slice(None)] * 3
        where[AXES.index(self.axis)] = cut
        return self._volume(number, volume)[tuple(where)]

    def _volume(self, number: int, volume: int) -> np.ndarray:
        key = (number, volume)
        if key not in self._volumes:
            self._volumes[key] = _volume(read_header(self.files[number]), volume)
            while len(self._volumes) > self.cache:
                self._volumes.popitem(last=False)
        self._volumes.move_to_end(key)
        return self._volumes[key]

    def _maximum(self, number: int, volume: int) -> float:
        key = (number, volume)
        if key not in self._maxima:
            largest = float(np.abs(self._volume(number, volume)).max())
            self._maxima[key] = largest if largest > 0 else 1.0
        return self._maxima[key]


def _volume(header: Header, volume: int) -> np.ndarray:
    """Read one volume, (x, y, z)."""
    shape = (*header.shape, 1)[:3]
    return read_voxels(header, shape, first=volume * int(np.prod(shape, dtype=np.int64)))[0]
