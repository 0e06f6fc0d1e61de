"""Slices of fastMRI files as a dataset."""

from __future__ import annotations

import os
from collections import OrderedDict
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import h5py
import numpy as np
import torch
from annotated_types import Gt
from torch import Tensor

from recon.errors import FileFormatError
from recon.io.hdf5 import open_hdf5
from recon.io.listing import list_files
from recon_datasets.fastmri.volume import Volume, inverse_fft, open_volume

__all__ = ["FastMRI"]


class FastMRI:
    """Slices of the fastMRI files below a folder, as published: nothing is cropped, masked or scaled but by `scale`.

    Items: ``measurement`` (coil, H, W) complex64, with one coil for single-coil files; ``image`` (1, h, w) float32, the
    reference reconstruction, which is smaller than k-space (320 x 320 for knees); ``mask`` (1, 1, W) boolean, all true
    where the file is fully sampled; ``maximum``, ``volume`` and ``slice``, scalars for metrics by volume. Files without
    a reference (the published test sets) give no ``image``.

    To train as fastMRI does, k-space is undersampled anew at every step: with ``image="coils"``, ``image`` is what a
    `fourier` operator of each coil measures as k-space, (coil, H, W) complex64, and the reference is called ``target``.

    Every process opens files of its own, on first use, and keeps the last few open.

    Parameters
    ----------
    root
        Folder, searched with its subfolders for .h5 files, or one file. Hidden files are ignored.
    challenge
        Refuse files of the other kind: "singlecoil" or "multicoil"; "any" takes both.
    image
        What ``image`` is: the "reference", or "coils", the inverse Fourier transform of k-space.
    scale
        Factor on measurement and image: fastMRI's values are about 1e-4, networks want about 1.
    keep_open
        Number of files that a process keeps open.

    Raises
    ------
    FileFormatError
        On first use, if there is no file, or one that is not fastMRI's, or is not what `challenge` and `image` ask for.

    References
    ----------
    Knoll et al., Radiol. Artif. Intell. 2:e190007, 2020, doi:10.1148/ryai.2020190007
    """

    def __init__(
        self,
        *,
        root: Path,
        challenge: Literal["any", "singlecoil", "multicoil"] = "any",
        image: Literal["reference", "coils"] = "reference",
        scale: Annotated[float, Gt(0)] = 1.0,
        keep_open: Annotated[int, Gt(0)] = 8,
    ) -> None:
        self.root = Path(root)
        self.challenge = challenge
        self.image = image
        self.scale = scale
        self.keep_open = keep_open
        self._handles: OrderedDict[int, tuple[h5py.File, Volume]] = OrderedDict()
        self._process = os.getpid()

    @cached_property
    def files(self) -> list[Path]:
        """The volumes' paths, in the order of the items."""
        return list_files(self.root, (".h5",))

    @cached_property
    def index(self) -> np.ndarray:
        """One row (volume, slice) per item."""
        rows = []
        targets = set()
        for number, path in enumerate(self.files):
            with open_hdf5(path) as file:
                volume = open_volume(file, path)
                kind = "singlecoil" if volume.kspace.ndim == 3 else "multicoil"
                if self.challenge not in ("any", kind):
                    raise FileFormatError(f"{path} is {kind}; the dataset is to be {self.challenge}")
                if self.image == "coils" and volume.mask is not None:
                    raise FileFormatError(f"{path} is undersampled: image='coils' needs fully sampled files")
                targets.add(volume.target is not None)
                if len(targets) > 1:
                    raise FileFormatError(f"{path}: some files below {self.root} have a reference and some do not")
                rows += [(number, cut) for cut in range(len(volume.kspace))]
        return np.array(rows)

    def __len__(self) -> int:
        """Return the number of slices."""
        return len(self.index)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Read one slice."""
        number, cut = (int(value) for value in self.index[index])
        try:
            return self._item(self._open(number), number, cut)
        except (OSError, RuntimeError, LookupError, ValueError) as error:  # as h5py reports damage
            reason = " ".join(str(error).split())
            raise FileFormatError(f"{self.files[number]}: slice {cut} cannot be read: {reason}") from error

    def __getstate__(self) -> dict[str, Any]:
        """Leave open files behind."""
        return self.__dict__ | {"_handles": OrderedDict(), "_process": None}

    def _item(self, volume: Volume, number: int, cut: int) -> dict[str, Tensor]:
        columns = volume.kspace.shape[-1]
        mask = np.ones(columns, dtype=bool) if volume.mask is None else volume.mask.copy()
        item = {
            "measurement": torch.from_numpy(volume.slice(cut)) * self.scale,
            "mask": torch.from_numpy(mask)[None, None],
            "volume": torch.tensor(number),
            "slice": torch.tensor(cut),
        }
        if volume.target is not None:
            image = torch.from_numpy(np.asarray(volume.target[cut], dtype=np.float32))[None] * self.scale
            maximum = volume.maximum if volume.maximum is not None else float(np.max(volume.target[()]))
            item |= {"image": image, "maximum": torch.tensor(maximum * self.scale)}
        if self.image == "coils":
            reference = {"target": item["image"]} if "image" in item else {}
            item |= {"image": inverse_fft(item["measurement"])} | reference
        return item

    def _open(self, number: int) -> Volume:
        if self._process != os.getpid():  # HDF5 handles do not survive a fork
            self._handles, self._process = OrderedDict(), os.getpid()
        if number not in self._handles:
            path = self.files[number]
            file = h5py.File(path, "r")
            self._handles[number] = (file, open_volume(file, path))
            while len(self._handles) > self.keep_open:
                self._handles.popitem(last=False)[1][0].close()
        self._handles.move_to_end(number)
        return self._handles[number][1]
