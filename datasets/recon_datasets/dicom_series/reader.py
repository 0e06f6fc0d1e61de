"""DICOM series as images."""

from __future__ import annotations

from pathlib import Path

import torch

from recon.errors import FileFormatError
from recon.io import Image
from recon_datasets.dicom_series.errors import DicomError
from recon_datasets.dicom_series.series import Series, group, read_folder
from recon_datasets.dicom_series.slices import is_dicom, is_projection, read_slice

__all__ = ["DicomReader"]


class DicomReader:
    """Reads a folder with one series of single-frame CT or MR slices, or one slice.

    Slices are sorted along their normal, row x column; each slice's own slope and intercept are applied (HU for CT).
    The affine comes from orientation, pixel spacing, and first and last position, turned from DICOM's LPS to RAS. What
    is not certain to be right is refused with a code: several series, echoes or time points; missing, uneven or tilted
    slices; multi-frame and mosaic images; missing geometry.
    """

    def accepts(self, path: Path) -> bool:
        """Whether the file is DICOM, or the first one in the folder that is holds an image, not a CT projection."""
        if path.is_dir():
            first = next((entry for entry in path.rglob("*") if entry.is_file() and is_dicom(entry)), None)
            return first is not None and not is_projection(first)
        return is_dicom(path)

    def read(self, path: Path) -> Image:
        """Read a folder as (z, y, x), a file as (y, x).

        Raises
        ------
        DicomError
            With the code of what is wrong, and the fix.
        """
        if path.is_dir():
            series = group(read_folder(path))
            if len(series) > 1:
                sizes = ", ".join(str(len(slices)) for slices in series[:8])
                raise DicomError(
                    "RECON-DICOM-AMBIGUOUS",
                    f"{path} holds {len(series)} series (of {sizes} slices); give each a folder of its own",
                )
            slices = series[0]
        else:
            only = read_slice(path)
            if only is None:
                raise FileFormatError(f"{path} is a DICOMDIR, an index of other files; give the folder of a series")
            slices = [only]
        volume = Series.of(slices, path)
        values = torch.from_numpy(volume.values())
        first = volume.slices[0]
        return Image(
            data=values if path.is_dir() else values[0],
            affine=volume.affine,
            unit=first.unit,
            metadata=first.technical,
            notes=volume.notes,
        )
