"""Reading NIfTI images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from recon.errors import FileFormatError
from recon.io import Image
from recon_datasets.nifti.header import geometry, is_nifti, opened

__all__ = ["NiftiReader", "to_numbers"]

# torch computes with few unsigned types, and has no extended precision.
_WIDER = {"u2": "i4", "u4": "i8", "f16": "f8", "c32": "c16"}


class NiftiReader:
    """Reads NIfTI-1 and NIfTI-2, ``.nii`` and ``.nii.gz``, with nibabel.

    The file's axes (x, y, z, t, v) become (v, t, z, y, x), which is the same memory; t and v only if they are longer
    than 1, v being called "channel", and z only if the file has it. Integers and complex values keep their type; values
    with a slope become float32, or float64 where they are stored as integers of more than 16 bits.
    """

    def accepts(self, path: Path) -> bool:
        """Whether the file carries a NIfTI mark, gzipped or not."""
        return is_nifti(path)

    def read(self, path: Path) -> Image:
        """Read an image.

        Raises
        ------
        FileFormatError
            If it is damaged, cut off, or has a broken affine.
        """
        with opened(path) as (image, stream):
            place = geometry(image, path)
            values = to_numbers(image)
            stream.read(1)  # the end of a gzip stream, where its checksum is compared
        if values.ndim > 5:
            raise FileFormatError(f"{path} has {values.ndim} axes; at most x, y, z, t and one more are read")
        dropped = tuple(axis for axis in range(3, values.ndim) if values.shape[axis] == 1)
        dims = [name for axis, name in enumerate(("x", "y", "z", "t", "channel")[: values.ndim]) if axis not in dropped]
        return Image(
            data=torch.from_numpy(np.ascontiguousarray(values.squeeze(dropped).T)),
            affine=place.affine,
            dims=tuple(dims[::-1]),
            voxel_size=None if place.affine is not None else place.voxel_size[: 3 if "z" in dims else 2],
            metadata={} if place.space is None else {"coordinate_space": place.space},
            notes=place.notes,
        )


def to_numbers(image: Any, index: Any = None) -> np.ndarray:
    """Read the voxels, or those at `index`, in a type that torch has; the colours of RGB become a last, fifth axis."""
    proxy = image.dataobj
    stored = np.dtype(proxy.dtype)
    if stored.names is not None:
        values = np.asarray(proxy if index is None else proxy[index])
        colours = np.stack([values[name] for name in stored.names], axis=-1)
        return colours.reshape(*values.shape, *[1] * (4 - values.ndim), len(stored.names)) if index is None else colours
    if (proxy.slope, proxy.inter) == (1, 0):
        values = np.array(proxy.get_unscaled() if index is None else proxy[index])
        if stored.kind + str(stored.itemsize) == "u8" and values.size and values.max() > np.iinfo(np.int64).max:
            raise FileFormatError("integers above 2^63 cannot be held")
        kind = f"{stored.kind}{stored.itemsize}"
        return values.astype("i8" if kind == "u8" else _WIDER.get(kind, kind), copy=False)
    values = np.asarray(proxy if index is None else proxy[index])  # nibabel scales in float64
    wide = stored.itemsize > (8 if stored.kind == "c" else 4 if stored.kind == "f" else 2)
    return values.astype(np.result_type(np.float64 if wide else np.float32, "c8" if stored.kind == "c" else "f4"))
