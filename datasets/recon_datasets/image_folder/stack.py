"""Stacks of pictures as volumes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from annotated_types import Gt

from recon.errors import CodedFileError, FileFormatError
from recon.io import Image
from recon.io.provenance import from_files
from recon_datasets.image_folder.pixels import SUFFIXES, opened, stored_values

__all__ = ["StackReader", "page_count"]

_NUMBER = re.compile(r"\d+")
_TIFF = (b"II*\0", b"MM\0*")


class StackReader:
    """Reads numbered pictures of a folder, ``slice_0001.png`` and so on, or the pages of a TIFF file, as a volume.

    Pictures are stacked by number, not by the order of letters: 9 comes before 10. Gray ones give (z, y, x), colour
    ones (channel, z, y, x). Pictures do not tell where in a patient they are, so there is no affine.

    Parameters
    ----------
    voxel_size
        (x, y, z) in mm, which the files do not tell.
    scaled
        Whether whole numbers of 8 and 16 bits are divided by 255 and 65535; by default they are kept.
    limit_gb
        Largest volume in GiB that is read.
    """

    def __init__(
        self,
        *,
        voxel_size: tuple[float, float, float] | None = None,
        scaled: bool = False,
        limit_gb: Annotated[float, Gt(0)] = 16.0,
    ) -> None:
        if voxel_size is not None and not all(0 < size < float("inf") for size in voxel_size):
            raise ValueError("voxel_size must be three positive lengths in mm")
        self.voxel_size = voxel_size
        self.scaled = scaled
        self.limit_gb = limit_gb

    def accepts(self, path: Path) -> bool:
        """Whether the folder's pictures differ in one number of their names alone, or the file has several pages."""
        return len(_series(path)) > 1 if path.is_dir() else path.is_file() and page_count(path) > 1

    def read(self, path: Path) -> Image:
        """Read a volume.

        Raises
        ------
        CodedFileError
            RECON-IMAGE-GRID for pictures of several sizes or kinds, RECON-IMAGE-TRUNCATED for missing numbers,
            RECON-IMAGE-SIZE above the limit.
        FileFormatError
            If there is no stack, or a picture is damaged.
        """
        if not path.exists():
            raise FileFormatError(f"{path} does not exist")
        if path.is_dir():
            series = _series(path)
            if not series:
                raise FileFormatError(f"{path} holds no pictures whose names differ in one number alone")
            numbers = sorted(series)
            missing = sorted(set(range(numbers[0], numbers[-1] + 1)) - set(numbers)) if _dense(numbers) else numbers
            if missing:
                raise CodedFileError(
                    "RECON-IMAGE-TRUNCATED",
                    f"{path}: pictures are missing, {len(missing)} from number {missing[0]} on; find or renumber them",
                )
            files = [series[number] for number in numbers]
            values, top = self._stacked(path, len(files), _pictures(files))
        else:
            files = [path]
            values, top = self._stacked(path, page_count(path), _pages(path))
        data = torch.from_numpy(values)
        if self.scaled and top != 1:
            data = data / top
        dims: tuple[str, ...] = ("z", "y", "x")
        if data.ndim == 4:
            data, dims = data.movedim(-1, 0).contiguous(), ("channel", *dims)
        provenance = from_files("picture_stack", *files)
        return Image(data=data, dims=dims, voxel_size=self.voxel_size, provenance=provenance)

    def _stacked(self, path: Path, count: int, planes: Iterator[tuple[np.ndarray, float]]) -> tuple[np.ndarray, float]:
        volume, top = np.empty(0), 1.0
        for number, (plane, scale) in enumerate(planes):
            if number == 0:
                if plane.nbytes * count > self.limit_gb * 2**30:
                    raise CodedFileError(
                        "RECON-IMAGE-SIZE", f"{path} holds {plane.nbytes * count} bytes: raise limit_gb of the reader"
                    )
                volume, top = np.empty((count, *plane.shape), plane.dtype), scale
            if plane.shape != volume.shape[1:] or plane.dtype != volume.dtype or scale != top:
                raise CodedFileError(
                    "RECON-IMAGE-GRID",
                    f"{path}: picture {number + 1} of {count} differs from the first in size or kind",
                )
            volume[number] = plane
        return volume, top


def page_count(path: Path) -> int:
    """Return the number of pages of a TIFF file; 1 for other files and damaged ones."""
    with path.open("rb") as file:
        if file.read(4) not in _TIFF:
            return 1
    try:
        with opened(path) as picture:
            return int(getattr(picture, "n_frames", 1))
    except (FileFormatError, OverflowError, MemoryError, LookupError, TypeError):
        return 1


def _series(folder: Path) -> dict[int, Path]:
    """Return the pictures of a folder by number; none if their names differ in more than one number."""
    paths = [p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith(".") and p.is_file()]
    if not paths or len({_NUMBER.sub("#", path.name.lower()) for path in paths}) != 1:
        return {}
    found = [tuple(int(number) for number in _NUMBER.findall(path.name)) for path in paths]
    varying = [place for place, values in enumerate(zip(*found, strict=True)) if len(set(values)) > 1]
    if len(varying) != 1:
        return {}
    series = {numbers[varying[0]]: path for numbers, path in zip(found, paths, strict=True)}
    return series if len(series) == len(paths) else {}


def _dense(numbers: list[int]) -> bool:
    """Whether so few numbers are missing that they can be listed."""
    return numbers[-1] - numbers[0] < 1000 * len(numbers)


def _pictures(paths: list[Path]) -> Iterator[tuple[np.ndarray, float]]:
    for path in paths:
        with opened(path) as picture:
            if getattr(picture, "n_frames", 1) > 1:
                raise FileFormatError(f"{path} has several pages; give it alone")
            yield stored_values(picture, path)


def _pages(path: Path) -> Iterator[tuple[np.ndarray, float]]:
    with opened(path) as picture:
        for page in range(getattr(picture, "n_frames", 1)):
            picture.seek(page)
            yield stored_values(picture, path)
