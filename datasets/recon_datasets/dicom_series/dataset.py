"""DICOM series below a folder as a dataset."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from recon.errors import FileFormatError
from recon_datasets.dicom_series.pixels import values_of
from recon_datasets.dicom_series.quiet import quiet
from recon_datasets.dicom_series.series import Series, read_files
from recon_datasets.dicom_series.stacks import group

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
        if not self.root.is_dir():
            raise FileFormatError(
                f"{self.root} is not a folder" if self.root.exists() else f"{self.root} does not exist"
            )
        grouped = group(read_files(self.root))
        grouped.sort(key=lambda files: min(item.source.path for item in files))
        return [Series.of(files, f"series {i} of {self.root}") for i, files in enumerate(grouped, start=1)]

    @cached_property
    def index(self) -> np.ndarray:
        """One row (series, time, slice) per item; slice is -1 for volumes."""
        rows = []
        for number, series in enumerate(self.series):
            times, cuts = series.shape[0], range(series.shape[1]) if self.items == "slices" else (-1,)
            rows += [(number, time, cut) for time in range(times) for cut in cuts]
        return np.array(rows)

    def __len__(self) -> int:
        """Return the number of slices or volumes."""
        return len(self.index)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Decode one slice or volume."""
        number, time, cut = (int(value) for value in self.index[index])
        series = self.series[number]
        with quiet():
            values = values_of(series.volume.frames[time][cut]) if cut >= 0 else series.values()[time]
        return {"image": (torch.from_numpy(values)[None] - self.shift) / self.divide_by}
