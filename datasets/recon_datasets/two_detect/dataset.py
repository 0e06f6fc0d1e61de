"""Slices of 2DeteCT as a dataset."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from recon.errors import FileFormatError
from recon_datasets.two_detect.geometry import operator_config, shifted
from recon_datasets.two_detect.slice_folder import is_slice_folder, read_image, read_sinogram, slice_number

__all__ = ["TwoDetect"]


class TwoDetect:
    """Measured sinograms of 2DeteCT slices, with the published reconstructions as images where they are there.

    Items: ``measurement`` (1, views, 956) float32, line integrals; ``image`` (1, 1024, 1024) float32 in 1/mm, the
    published iterative reconstruction of `reference`; ``number`` of the slice. Folders ``sliceNNNNN/modeM`` are looked
    for anywhere below `root`, so the archives may be unpacked as they come, reconstructions (``..._RecSeg``) beside
    sinograms.

    The detector was mounted anew after slice 2830 (5870 among the slices of other objects): `operator_config` gives the
    operator of one mounting, and one data set must be of one; choose it by `first` and `last`.

    Parameters
    ----------
    root
        Folder of the unpacked archives. It is listed on first use.
    mode
        1: low dose (90 kV, 3 W); 2: clean (90 kV, 90 W); 3: beam hardening (60 kV, no filter).
    reference
        Mode whose reconstruction is the image; none gives sinograms alone.
    views
        Number of views, evenly taken out of the file's 3600.
    first, last
        Range of slice numbers to take.

    Raises
    ------
    FileFormatError
        On first use, if there is no such slice, a reconstruction is missing, or both mountings are asked for; when an
        item is taken, if its files are damaged or do not fit.

    References
    ----------
    Kiss et al., Sci. Data 10:576, 2023, doi:10.1038/s41597-023-02484-6
    """

    def __init__(
        self,
        *,
        root: Path,
        mode: Literal[1, 2, 3] = 2,
        reference: Literal[1, 2, 3] | None = 2,
        views: Annotated[int, Gt(0)] = 3600,
        first: Annotated[int, Ge(1)] = 1,
        last: Annotated[int, Ge(1)] = 2830,
    ) -> None:
        if last < first:
            raise ValueError("last must not be below first")
        self.root = Path(root)
        self.mode: Literal[1, 2, 3] = mode
        self.reference: Literal[1, 2, 3] | None = reference
        self.views = views
        self.first = first
        self.last = last

    def operator_config(self) -> dict[str, Any]:
        """Return the `fan_beam` operator of the measurements."""
        sinogram = read_sinogram(self.folders[0][1])
        every = self._every(len(sinogram.values), self.folders[0][1])
        number = self.folders[0][0]
        return operator_config(views=len(sinogram.values), every=every, pixels=sinogram.pixels, number=number)

    @cached_property
    def folders(self) -> list[tuple[int, Path, Path | None]]:
        """Number, folder of the sinogram and file of the reconstruction of each item."""
        if not self.root.is_dir():
            raise FileFormatError(f"data folder {self.root} does not exist")
        found = {
            number: folder
            for folder in sorted(self.root.rglob(f"slice[0-9][0-9][0-9][0-9][0-9]/mode{self.mode}"))
            if (number := slice_number(folder)) is not None
            and self.first <= number <= self.last
            and is_slice_folder(folder)
        }
        if not found:
            raise FileFormatError(
                f"{self.root} holds no slice {self.first} to {self.last} of mode {self.mode}, that is no folder "
                f"sliceNNNNN/mode{self.mode} with sinogram.tif, dark.tif, flat1.tif and flat2.tif"
            )
        if len({shifted(number) for number in found}) > 1:
            raise FileFormatError(
                f"{self.root}: slices {min(found)} to {max(found)} are of two mountings of the detector, with two "
                "operators; choose slices up to 2830 or from 2831 on by first and last"
            )
        images: dict[int, Path] = {}
        if self.reference is not None:
            pattern = f"slice[0-9][0-9][0-9][0-9][0-9]/mode{self.reference}/reconstruction.tif"
            images = {slice_number(path.parent) or 0: path for path in self.root.rglob(pattern)}
            missing = sorted(set(found) - set(images))
            if missing:
                raise FileFormatError(
                    f"{self.root}: slice {missing[0]} has no mode{self.reference}/reconstruction.tif; unpack the "
                    "archive of reconstructions (RecSeg) too, or set reference: null"
                )
        return [(number, folder, images.get(number)) for number, folder in sorted(found.items())]

    def __len__(self) -> int:
        """Return the number of slices."""
        return len(self.folders)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Read one slice."""
        number, folder, image = self.folders[index]
        sinogram = read_sinogram(folder)
        values = sinogram.values[:: self._every(len(sinogram.values), folder)]
        item = {"measurement": torch.from_numpy(values.copy())[None], "number": torch.tensor(number)}
        if image is not None:
            item["image"] = read_image(image, sinogram.pixels)[None]
        return item

    def _every(self, count: int, folder: Path) -> int:
        if count % self.views:
            raise FileFormatError(f"{folder}: {self.views} views cannot be taken evenly out of {count}; divide it")
        return count // self.views
