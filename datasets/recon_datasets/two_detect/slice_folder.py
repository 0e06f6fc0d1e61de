"""The TIFF files of one slice in one mode."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recon.errors import FileFormatError
from recon.io.projections import line_integrals, read_tiff
from recon_datasets.two_detect.geometry import BINNING, SIZE, image_pixel

__all__ = ["FILES", "Sinogram", "is_slice_folder", "read_image", "read_sinogram", "slice_number"]

FILES = ("sinogram.tif", "dark.tif", "flat1.tif", "flat2.tif")
_SLICE = re.compile(r"slice(\d{5})$")


@dataclass(frozen=True, slots=True, eq=False)
class Sinogram:
    """Line integrals (view, bin) of a full turn, float32; the detector pixels of the file, and notes."""

    values: NDArray[np.float32]
    pixels: int
    notes: tuple[str, ...]


def is_slice_folder(folder: Path) -> bool:
    """Whether a folder holds a sinogram with its dark and flat fields."""
    return all((folder / name).is_file() for name in FILES)


def slice_number(folder: Path) -> int | None:
    """Return the number in the name sliceNNNNN of a folder or of one above it."""
    for part in reversed(folder.absolute().parts):
        match = _SLICE.match(part)
        if match:
            return int(match[1])
    return None


def read_sinogram(folder: Path) -> Sinogram:
    """Read counts, correct them by dark field and the mean of both flat fields, add pairs of pixels, take -log.

    The last view of the file repeats the first one after a full turn, and is left out.

    Raises
    ------
    FileFormatError
        If a file is missing or damaged, sizes do not fit, or counts are impossible.
    """
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise FileFormatError(f"{folder} lacks {', '.join(missing)}; a slice of 2DeteCT has {', '.join(FILES)}")
    counts, dark, *flats = (read_tiff(folder / name) for name in FILES)
    if counts.ndim != 2 or counts.shape[0] < 3 or counts.shape[1] % BINNING:
        raise FileFormatError(
            f"{folder / FILES[0]} has the shape {counts.shape}; needed are views, the last of which repeats the first, "
            f"by an even number of pixels (3601 x 1912 as published)"
        )
    pixels = counts.shape[1]
    for name, field in zip(FILES[1:], (dark, *flats), strict=True):
        if field.shape not in ((pixels,), (1, pixels)):
            raise FileFormatError(f"{folder / name} has the shape {field.shape}, not one line of {pixels} pixels")
    added = [_added(frame) for frame in (counts[:-1], dark, *flats)]
    values, notes = line_integrals(added[0], np.stack(added[2:]).reshape(2, -1), added[1].reshape(-1), str(folder))
    return Sinogram(values, pixels, notes)


def read_image(path: Path, pixels: int) -> Tensor:
    """Read a published reconstruction, in one over its pixel, as (1024, 1024) float32 in 1/mm.

    Raises
    ------
    FileFormatError
        If it is damaged or of another size.
    """
    stored = torch.from_numpy(read_tiff(path).astype(np.float32))
    if stored.shape != (SIZE, SIZE):
        raise FileFormatError(f"{path} has the shape {tuple(stored.shape)}, not {SIZE} x {SIZE}")
    image: Tensor = stored / image_pixel(pixels)
    return image


def _added(frame: NDArray[np.generic]) -> NDArray[np.float32]:
    """Add neighbouring pixels."""
    values = frame.astype(np.float32)
    total: NDArray[np.float32] = values.reshape(*values.shape[:-1], -1, BINNING).sum(-1)
    return total
