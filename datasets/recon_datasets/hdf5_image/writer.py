"""Writing images to HDF5 files."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import torch

from recon.errors import UsageError
from recon.io import Image, Measurement
from recon.io.hdf5 import MAX_RATIO, MAX_UNCHECKED
from recon_datasets.hdf5_image.layout import store

__all__ = ["Hdf5ImageWriter"]


class Hdf5ImageWriter:
    """Writes an image with all that is known of it to an HDF5 file, from which it is read back equal to the last bit.

    The dataset ``image`` holds the values, its attributes affine, in double precision, and unit, the dataset ``about``
    the rest: axes, quantity, technical metadata, notes, and provenance in hashes; the layout is described in
    `recon_datasets.hdf5_image.layout`.
    Nothing names the patient: an `Image` holds no such thing. Equal images give equal files, with the same packages.

    Parameters
    ----------
    compress
        Pack the values by gzip, which needs time; unpacked ones can be mapped into memory by other programs.
    """

    def __init__(self, *, compress: bool = False) -> None:
        self.compress = compress

    def takes(self, image: Image | Measurement) -> bool:
        """Whether it is an image."""
        return isinstance(image, Image)

    def write(self, image: Image | Measurement, path: Path) -> None:
        """Write an image of any type and axes.

        Raises
        ------
        UsageError
            For a measurement.
        """
        if not isinstance(image, Image):
            raise UsageError("this HDF5 file holds an image; write a measurement as .h5")
        values = _array(image.data)
        packed = self.compress and values.size > 0
        with h5py.File(path, "w") as file:
            data = _dataset(file, values, packed=packed)
            # What shrinks that far, an empty image, would be taken for an attack on memory when it is read.
            if packed and values.nbytes > max(MAX_UNCHECKED, MAX_RATIO * data.id.get_storage_size()):
                del file["image"]
                data = _dataset(file, values, packed=False)
            store(image, data)


def _dataset(file: h5py.File, values: np.ndarray, *, packed: bool) -> h5py.Dataset:
    if not packed:
        return file.create_dataset("image", data=values)
    # A slice a chunk, so that slices can be read alone.
    chunks = (*(1,) * (values.ndim - 2), *values.shape[-2:])
    return file.create_dataset(
        "image", data=values, compression="gzip", compression_opts=4, shuffle=True, chunks=chunks
    )


def _array(data: torch.Tensor) -> np.ndarray:
    """Return the values in a type of numpy's that holds them exactly."""
    data = data.detach().resolve_conj().resolve_neg().cpu()
    wider = {torch.bfloat16: torch.float32, torch.complex32: torch.complex64}
    return data.to(wider.get(data.dtype, data.dtype)).numpy()
