"""Files of reconstructions in the layout of fastMRI's submissions."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import torch

from recon.errors import FileFormatError, UsageError
from recon.io import Image, Measurement
from recon.io.hdf5 import attribute_text, dataset, open_hdf5

__all__ = ["ReconstructionReader", "ReconstructionWriter"]

_DATASET = "reconstruction"
_NUMBERS = ("acceleration", "num_low_frequency")


class ReconstructionWriter:
    """Writes an image as fastMRI's evaluation reads it: one dataset ``reconstruction`` (slice, H, W), float32.

    The file has the name of the k-space file that it was reconstructed from. What the layout has no place for goes into
    attributes, which other programs ignore: acquisition, acceleration, voxel size and affine.
    """

    def takes(self, image: Image | Measurement) -> bool:
        """Whether it is an image: other .h5 files hold measurements."""
        return isinstance(image, Image)

    def write(self, image: Image | Measurement, path: Path) -> None:
        """Write an image.

        Raises
        ------
        UsageError
            For a measurement, and an image that is complex, has a unit, or other axes than slices, rows and columns.
        """
        if not isinstance(image, Image):
            raise UsageError("fastMRI's layout of reconstructions holds an image; reconstruct the measurement first")
        if image.data.is_complex():
            raise UsageError("fastMRI's layout of reconstructions holds magnitudes: write the image without --complex")
        if image.unit != "arbitrary":
            raise UsageError(
                "fastMRI's layout of reconstructions does not tell units: write an image in "
                f"{image.unit} as .hdf5 or .nii.gz"
            )
        if image.dims not in (("z", "y", "x"), ("y", "x")):
            raise UsageError(f"fastMRI's layout of reconstructions holds (z, y, x), not the axes {image.dims}")
        with h5py.File(path, "w") as file:
            file[_DATASET] = image.data.detach().cpu().float().reshape(-1, *image.shape[-2:]).numpy()
            for name in ("acquisition", *_NUMBERS):
                if name in image.metadata:
                    file.attrs[name] = image.metadata[name]
            if image.voxel_size is not None:
                file.attrs["voxel_size"] = image.voxel_size
            if image.affine is not None:
                file.attrs["affine"] = image.affine


class ReconstructionReader:
    """Reads what `ReconstructionWriter`, or any other program that submits to fastMRI, wrote."""

    def accepts(self, path: Path) -> bool:
        """Whether the file has a dataset ``reconstruction`` and no ``kspace`` at its root."""
        with open_hdf5(path) as file:
            return _DATASET in file and "kspace" not in file

    def read(self, path: Path) -> Image:
        """Read an image (z, y, x).

        Raises
        ------
        FileFormatError
            If it is damaged, or another kind of HDF5 file.
        """
        with open_hdf5(path) as file:
            stored = dataset(file, _DATASET)
            if stored is None:
                names = ", ".join(sorted(file)) or "nothing"
                raise FileFormatError(f"{path} holds no dataset {_DATASET!r} but {names}")
            if stored.ndim != 3 or stored.dtype.kind != "f" or 0 in stored.shape:
                raise FileFormatError(
                    f"{path}: {_DATASET!r} is {stored.dtype} of shape {stored.shape}, not real (slice, H, W)"
                )
            values = torch.from_numpy(np.asarray(stored[()], dtype=np.float32))
            metadata = {name: np.asarray(file.attrs[name]).item() for name in _NUMBERS if name in file.attrs}
            acquisition = attribute_text(file, "acquisition")
            affine, size = file.attrs.get("affine"), file.attrs.get("voxel_size")
        try:
            return Image(
                data=values,
                affine=affine,
                voxel_size=None if size is None else tuple(size),
                metadata={"modality": "MR", **metadata, **({"acquisition": acquisition} if acquisition else {})},
            )
        except UsageError as error:  # attributes that contradict each other
            raise FileFormatError(f"{path}: {error}") from error
