"""LoDoPaB-CT files as measurements."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor

from recon.errors import FileFormatError
from recon.io import Image, Measurement
from recon.io.hdf5 import dataset, open_hdf5
from recon_datasets.lodopab.geometry import (
    BINS,
    FIELD_MM,
    MU_MAX,
    SIZE,
    VIEWS,
    operator_config,
    scales,
    upright,
)

__all__ = ["LoDoPaBReader"]


class LoDoPaBReader:
    """Reads a file ``observation_*.hdf5`` of LoDoPaB-CT, up to 128 sinograms, as line integrals.

    The data are (sample, 1, 1000, 513), the operator is `radon` in mm; the reference is the file ``ground_truth_*``
    of the same name beside it, or in the folder of that name, if there is one, in 1/mm.
    """

    def accepts(self, path: Path) -> bool:
        """Whether the file holds nothing but sinograms of LoDoPaB-CT's size."""
        with open_hdf5(path) as file:
            return list(file) == ["data"] and _stored(file) is not None

    def read(self, path: Path) -> Measurement:
        """Read all sinograms of a file.

        Raises
        ------
        FileFormatError
            If it is damaged or another kind of file, or its images do not fit.
        """
        of_image, of_observation = scales("1/mm")
        with open_hdf5(path) as file:
            stored = _stored(file)
            if stored is None:
                raise FileFormatError(
                    f"{path} is not a file of LoDoPaB-CT sinograms: it needs a dataset 'data' (n, {VIEWS}, {BINS})"
                )
            data = torch.from_numpy(np.asarray(stored[()], dtype=np.float32))[:, None] * of_observation
        if not bool(torch.isfinite(data).all()):
            raise FileFormatError(f"{path} holds values that are not finite; download the file again")
        images = _images(path, len(data))
        pixel = FIELD_MM / SIZE
        return Measurement(
            data=data,
            operator_config=operator_config("1/mm"),
            reference=None
            if images is None
            else Image(
                data=images * of_image,
                dims=("batch", "y", "x"),
                voxel_size=(pixel, pixel),
                unit="1/mm",
                metadata={"modality": "CT"},
            ),
            voxel_size=(pixel, pixel),
            unit="1/mm",
            dims=("batch", "y", "x"),
            metadata={"modality": "CT", "photons": 4096, "water_per_mm": 0.02, "air_per_mm": 2e-5},
            notes=(f"image values of 1 in the published files are {MU_MAX:.6g} / mm",),
        )


def _stored(file: h5py.File) -> h5py.Dataset | None:
    data = dataset(file, "data") if isinstance(file.get("data", getlink=True), h5py.HardLink) else None
    if data is None or data.ndim != 3 or data.shape[1:] != (VIEWS, BINS) or data.dtype.kind != "f":
        return None
    return data if len(data) else None


def _images(path: Path, count: int) -> Tensor | None:
    name = path.name.replace("observation_", "ground_truth_")
    folder = path.parent.name.replace("observation_", "ground_truth_")
    for other in (path.with_name(name), path.parent.with_name(folder) / name):
        if other != path and other.is_file():
            with open_hdf5(other) as file:
                data = dataset(file, "data")
                if data is None or data.shape != (count, SIZE, SIZE):
                    shape = None if data is None else data.shape
                    raise FileFormatError(f"{other} holds images of shape {shape}, not the {count} of {path.name}")
                return upright(torch.from_numpy(np.asarray(data[()], dtype=np.float32))).contiguous()
    return None
