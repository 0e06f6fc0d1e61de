"""The layout of a fastMRI file, checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor

from recon.errors import FileFormatError
from recon.io.hdf5 import dataset, memory_map

__all__ = ["Volume", "open_volume"]


@dataclass(frozen=True, slots=True)
class Volume:
    """The datasets of a fastMRI file.

    Parameters
    ----------
    kspace
        Multi-coil (slice, coil, H, W) or single-coil (slice, H, W), complex; H is the readout, W the phase encoding.
        A memory map where the values lie in the file as they are, else a dataset of an open file.
    target
        Reference reconstruction (slice, h, w): ``reconstruction_esc`` of single-coil files, ``reconstruction_rss`` of
        multi-coil files; None in test files.
    mask
        The measured columns (W,), boolean; None where all were measured.
    maximum
        Largest value of the target volume; None if not stated.
    """

    kspace: h5py.Dataset | np.ndarray
    target: h5py.Dataset | np.ndarray | None
    mask: np.ndarray | None
    maximum: float | None

    def __len__(self) -> int:
        """Return the number of slices."""
        return int(self.kspace.shape[0])

    @property
    def singlecoil(self) -> bool:
        """Whether the file has no coil axis."""
        return self.kspace.ndim == 3

    @property
    def coils(self) -> int:
        """Number of coils; 1 for single-coil files."""
        return 1 if self.singlecoil else int(self.kspace.shape[1])

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of k-space."""
        return int(self.kspace.shape[-2]), int(self.kspace.shape[-1])

    @property
    def mapped(self) -> bool:
        """Whether all values come from memory maps, so that the file need not stay open."""
        return isinstance(self.kspace, np.memmap) and (self.target is None or isinstance(self.target, np.memmap))

    def kspace_of(self, number: int, *, own: bool = False) -> Tensor:
        """Return the k-space (coil, H, W) of one slice as complex64, in memory of its own if `own`.

        Otherwise it may be a map of the file: to read, not to write.
        """
        mapped = isinstance(self.kspace, np.memmap)
        values = np.asarray(self.kspace[number]).astype(np.complex64, copy=own and mapped)
        return torch.from_numpy(values[None] if self.singlecoil else values)

    def target_of(self, number: int) -> Tensor | None:
        """Return the reference (h, w) of one slice as float32: to read, not to write."""
        if self.target is None:
            return None
        return torch.from_numpy(np.asarray(self.target[number]).astype(np.float32, copy=False))


def open_volume(file: h5py.File, path: Path, *, mapped: bool = False) -> Volume:
    """Find the datasets of a file.

    Parameters
    ----------
    file
        The open file.
    path
        Its name, for errors.
    mapped
        Whether to map the values into memory where that is possible.

    Raises
    ------
    FileFormatError
        If it is another kind of HDF5 file, or its parts do not fit together.
    """
    kspace = dataset(file, "kspace")
    if kspace is None:
        names = ", ".join(sorted(file)) or "nothing"
        ismrmrd = any(isinstance(item, h5py.Group) and {"xml", "data"} & set(item) for item in file.values())
        hint = "; an ISMRMRD file is for the reader ismrmrd" if ismrmrd else ""
        raise FileFormatError(f"{path} is not a fastMRI file: it has no dataset 'kspace' but {names}{hint}")
    if kspace.ndim not in (3, 4) or kspace.dtype.kind != "c" or 0 in kspace.shape:
        raise FileFormatError(
            f"{path}: 'kspace' is {kspace.dtype} of shape {kspace.shape}; fastMRI has complex (slice, H, W) or "
            "(slice, coil, H, W)"
        )
    target = dataset(file, "reconstruction_esc" if kspace.ndim == 3 else "reconstruction_rss")
    if target is not None and (
        target.ndim != 3 or len(target) != len(kspace) or target.dtype.kind != "f" or 0 in target.shape
    ):
        raise FileFormatError(
            f"{path}: {target.name[1:]!r} of shape {target.shape} does not fit {len(kspace)} slices of k-space"
        )
    stored = dataset(file, "mask")
    mask = None
    if stored is not None:
        # Some tools write the mask with axes of size 1 around it.
        mask = np.asarray(stored[()]).astype(bool)
        if mask.size != kspace.shape[-1] or max(mask.shape, default=0) != mask.size:
            raise FileFormatError(f"{path}: 'mask' of shape {mask.shape} does not fit {kspace.shape[-1]} columns")
        mask = mask.reshape(-1)
    maximum = file.attrs.get("max")
    maximum = None if maximum is None else float(maximum)
    maps = [memory_map(item) if mapped and item is not None else None for item in (kspace, target)]
    kspace, target = (item if map_ is None else map_ for item, map_ in zip((kspace, target), maps, strict=True))
    return Volume(kspace, target, mask, maximum)
