"""DICOM series below a folder as a dataset."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from recon_datasets.dicom_series.series import Series, group, read_folder
from recon_datasets.dicom_series.slices import pixel_values

__all__ = ["DicomSeries"]


class DicomSeries:
    """Slices or volumes of all CT and MR series below a folder; each series must be readable by `DicomReader`.

    Items: ``image`` (1, y, x) for slices and (1, z, y, x) for volumes, float32: HU for CT, scaled stored values for MR,
    after ``(value - shift) / divide_by``.

    Parameters
    ----------
    root
        Folder, searched with its subfolders; headers are read on first use.
    items
        "slices" or "volumes".
    shift, divide_by
        What to take from the values and what to divide them by: -1024 and 4096 bring HU to about [0, 1].

    Raises
    ------
    DicomError
        On first use, if there is no slice, or a series that is refused.
    """

    def __init__(
        self, *, root: Path, items: Literal["slices", "volumes"] = "slices", shift: float = 0.0, divide_by: float = 1.0
    ) -> None:
        if divide_by == 0:
            raise ValueError("divide_by must not be 0")
        self.root = Path(root)
        self.items = items
        self.shift = shift
        self.divide_by = divide_by

    @cached_property
    def series(self) -> list[Series]:
        """The series, sorted along their normals."""
        return [Series.of(slices, slices[0].path.parent) for slices in group(read_folder(self.root))]

    @cached_property
    def index(self) -> np.ndarray:
        """One row (series, slice) per item; slice is -1 for volumes."""
        cuts = [range(series.shape[0]) if self.items == "slices" else (-1,) for series in self.series]
        return np.array([(number, cut) for number, slices in enumerate(cuts) for cut in slices])

    def __len__(self) -> int:
        """Return the number of slices or volumes."""
        return len(self.index)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Decode one slice or volume."""
        number, cut = (int(value) for value in self.index[index])
        series = self.series[number]
        values = series.values() if cut < 0 else pixel_values(series.slices[cut].path)
        return {"image": (torch.from_numpy(values)[None] - self.shift) / self.divide_by}
