"""The layout of a fastMRI file, checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor

from recon.errors import FileFormatError
from recon.io.hdf5 import dataset

__all__ = ["Volume", "inverse_fft", "open_volume"]


@dataclass(frozen=True, slots=True)
class Volume:
    """The datasets of an open fastMRI file.

    Parameters
    ----------
    kspace
        Multi-coil (slice, coil, H, W) or single-coil (slice, H, W), complex; H is the readout, W the phase encoding.
    target
        Reference reconstruction (slice, h, w): ``reconstruction_esc`` of single-coil files, ``reconstruction_rss`` of
        multi-coil files; None in test files.
    mask
        The measured columns (W,), boolean; None where all were measured.
    maximum
        Largest value of the target volume; None if not stated.
    """

    kspace: h5py.Dataset
    target: h5py.Dataset | None
    mask: np.ndarray | None
    maximum: float | None

    @property
    def coils(self) -> int:
        """Number of coils; 1 for single-coil files."""
        return int(self.kspace.shape[1]) if self.kspace.ndim == 4 else 1

    def slice(self, number: int) -> np.ndarray:
        """Read the k-space (coil, H, W) of one slice as complex64."""
        values = np.asarray(self.kspace[number], dtype=np.complex64)
        return values if self.kspace.ndim == 4 else values[None]


def inverse_fft(kspace: Tensor) -> Tensor:
    """Return the images (..., H, W) of k-space, by the centred and orthonormal transform that the files presume."""
    axes = (-2, -1)
    return torch.fft.fftshift(torch.fft.ifft2(torch.fft.ifftshift(kspace, axes), norm="ortho"), axes)


def open_volume(file: h5py.File, path: Path) -> Volume:
    """Find the datasets of a file.

    Raises
    ------
    FileFormatError
        If it is another kind of HDF5 file, or its parts do not fit together.
    """
    kspace = dataset(file, "kspace")
    if kspace is None:
        names = ", ".join(sorted(file)) or "nothing"
        hint = "; an ISMRMRD file needs the reader for ISMRMRD" if "dataset" in file else ""
        raise FileFormatError(f"{path} is not a fastMRI file: it has no dataset 'kspace' but {names}{hint}")
    if kspace.ndim not in (3, 4) or kspace.dtype.kind != "c" or 0 in kspace.shape:
        raise FileFormatError(
            f"{path}: 'kspace' is {kspace.dtype} of shape {kspace.shape}; fastMRI has complex (slice, H, W) or "
            "(slice, coil, H, W)"
        )
    target = dataset(file, "reconstruction_esc" if kspace.ndim == 3 else "reconstruction_rss")
    if target is not None and (target.ndim != 3 or len(target) != len(kspace) or target.dtype.kind != "f"):
        raise FileFormatError(f"{path}: {target.name[1:]!r} of shape {target.shape} does not fit {len(kspace)} slices")
    stored = dataset(file, "mask")
    mask = None
    if stored is not None:
        mask = np.asarray(stored[()]).astype(bool)
        if mask.shape != (kspace.shape[-1],):
            raise FileFormatError(f"{path}: 'mask' of shape {mask.shape} does not fit {kspace.shape[-1]} columns")
    maximum = file.attrs.get("max")
    return Volume(kspace, target, mask, None if maximum is None else float(maximum))
