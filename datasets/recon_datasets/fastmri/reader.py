"""fastMRI files as measurements."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recon.building import build
from recon.errors import FileFormatError
from recon.io import Image, Measurement
from recon.io.deferred import deferred
from recon.io.hdf5 import attribute_text, dataset, open_hdf5
from recon_datasets.fastmri.header import Header, read_header
from recon_datasets.fastmri.problems import explain, find_problems
from recon_datasets.fastmri.unet_item import unet_crop
from recon_datasets.fastmri.volume import open_volume

__all__ = ["FastMRIReader"]


class FastMRIReader:
    """Reads a fastMRI volume.

    The data are (slice, coil, H, W) with one coil for single-coil files. The operator is ``fourier`` with the file's
    mask, which acts on each coil by itself: the files bring no coil sensitivities. k-space of more than 64 MiB stays in
    the file until it is asked for, slice by slice. The reference is the file's reconstruction (``esc`` of single-coil,
    ``rss`` of multi-coil files). Reconstructions are cropped to its size, or else to the matrix that the header tells:
    k-space is oversampled along the readout. The files say how large voxels are, but not where: no affine.

    Parameters
    ----------
    mask
        Sampling of fully sampled files, as `fourier` takes it, such as ``{"kind": "fastmri_random", "acceleration": 4,
        "center_fraction": 0.08}``: what it leaves out becomes +0. Its seed is the name of the file, as in fastMRI's
        validation, unless a seed is given. Columns that were never measured (padding) are not sampled, and files that
        bring a mask keep theirs.
    """

    def __init__(self, *, mask: Mapping[str, Any] | None = None) -> None:
        self.mask = mask

    def accepts(self, path: Path) -> bool:
        """Whether the file has a dataset ``kspace`` at its root."""
        with open_hdf5(path) as file:
            return "kspace" in file

    def explain(self, path: Path) -> dict[str, str]:
        """Return in words how a file is laid out, what was sampled, and what it is to be compared with."""
        return explain(path)

    def problems(self, path: Path) -> list[str]:
        """Return one line for each thing that is wrong with a file; all data are read."""
        return find_problems(path)

    def read(self, path: Path) -> Measurement:
        """Read a volume.

        Raises
        ------
        FileFormatError
            If it is damaged, or another kind of HDF5 file.
        """
        with open_hdf5(path) as file:
            volume = open_volume(file, path)
            header = read_header(file, path) or Header()
            metadata: dict[str, Any] = {"modality": "MR", "coils": volume.coils, **header.facts}
            padding = header.padding(volume.size[1])
            if padding is not None:
                metadata["padding"] = padding
            acquisition = attribute_text(file, "acquisition")
            if acquisition is not None:
                metadata["acquisition"] = acquisition
            if volume.maximum is not None:
                metadata["maximum"] = volume.maximum
            for name in ("acceleration", "num_low_frequency"):
                if name in file.attrs:
                    metadata[name] = np.asarray(file.attrs[name]).item()
            size = _voxel_size(header.facts, "recon")
            reference = None
            if volume.target is not None:
                values = torch.from_numpy(np.asarray(volume.target[()], dtype=np.float32))
                reference = Image(data=values, voxel_size=size, metadata=metadata)
            shape = (len(volume), volume.coils, *volume.size)
            crop = header.crop if volume.target is None else tuple(volume.target.shape[-2:])
            crop = None if crop is None else unet_crop(volume.size, crop)
            if crop is not None and any(want > have for want, have in zip(crop, volume.size, strict=True)):
                crop = None
            notes = () if dataset(file, "ismrmrd_header") is not None else ("no header in the file",)
        mask = None if volume.mask is None else torch.from_numpy(volume.mask)
        kept = None
        if mask is None and self.mask is not None:
            mask = kept = self._drawn(path, volume.size, padding)
            notes = (*notes, f"sampled again, with a true acceleration of {mask.numel() / int(mask.sum()):.3g}")
            nominal = self.mask.get("acceleration")
            if isinstance(nominal, (int, float)):
                metadata["acceleration"] = nominal
        return Measurement(
            data=deferred(shape, torch.complex64, partial(_slices, path, kept)),
            operator_config={"use": "fourier"} | ({} if mask is None else {"mask": mask}),
            reference=reference,
            voxel_size=_voxel_size(header.facts, "encoded"),
            dims=("z", "y", "x"),
            crop=crop,
            metadata=metadata,
            notes=notes,
        )

    def _drawn(self, path: Path, size: tuple[int, int], padding: tuple[int, int] | None) -> Tensor:
        """Return the mask (W,) or (H, W) that this file is sampled by."""
        operator: Any = build("operator", "fourier", mask={"seed": path.name, **(self.mask or {})})
        mask: Tensor = operator.mask_for(size).clone()
        if padding is not None:
            mask[..., : padding[0]] = False
            mask[..., padding[1] :] = False
        if not mask.any():
            raise FileFormatError(f"{path}: the mask keeps nothing of the columns {padding} that were measured")
        return mask


def _slices(path: Path, mask: Tensor | None, start: int, stop: int) -> Tensor:
    with open_hdf5(path) as file:
        volume = open_volume(file, path, mapped=True)
        kspace = torch.stack([volume.kspace_of(number) for number in range(start, stop)])
    return kspace if mask is None else torch.where(mask, kspace, 0)


def _voxel_size(header: Mapping[str, Any], space: str) -> tuple[float, float, float] | None:
    """Return (x, y, z) of the image as stored: its rows are the readout (the header's x), its columns the phase (y)."""
    try:
        matrix, field = header[f"{space}_matrix"], header[f"{space}_fov_mm"]
        readout, phase, across = (f / m for f, m in zip(field, matrix, strict=True))
    except (KeyError, ZeroDivisionError):
        return None
    return (phase, readout, across) if min(phase, readout, across) > 0 else None
