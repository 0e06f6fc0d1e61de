"""One slice of 2DeteCT as a measurement."""

from __future__ import annotations

from pathlib import Path

import torch

from recon.io import Image, Measurement
from recon.io.listing import check_is_folder
from recon_datasets.two_detect.geometry import image_pixel, operator_config
from recon_datasets.two_detect.slice_folder import is_slice_folder, read_image, read_sinogram, slice_number

__all__ = ["TwoDetectReader"]


class TwoDetectReader:
    """Reads the folder of one slice in one mode, such as ``slice00001/mode2``.

    The data are line integrals (1, 1, 3600, 956) from the counts, the dark field and the mean of both flat fields; the
    operator is `fan_beam` with the published geometry, on the grid of the published reconstructions. If the folder
    holds ``reconstruction.tif``, it is the reference, in 1/mm.

    References
    ----------
    Kiss et al., Sci. Data 10:576, 2023, doi:10.1038/s41597-023-02484-6
    """

    def accepts(self, path: Path) -> bool:
        """Whether the folder holds sinogram.tif, dark.tif, flat1.tif and flat2.tif."""
        return path.is_dir() and is_slice_folder(path)

    def read(self, path: Path) -> Measurement:
        """Read a slice.

        Raises
        ------
        FileFormatError
            If a file is missing or damaged, sizes do not fit, or counts are impossible.
        """
        check_is_folder(path)
        sinogram = read_sinogram(path)
        number = slice_number(path)
        notes = sinogram.notes
        if number is None:
            notes += ("no folder sliceNNNNN tells the number: taken for one after the detector was changed",)
        pixel = image_pixel(sinogram.pixels)
        reference = None
        if (path / "reconstruction.tif").is_file():
            values = read_image(path / "reconstruction.tif", sinogram.pixels)
            reference = Image(data=values, voxel_size=(pixel, pixel), unit="1/mm", metadata={"modality": "CT"})
        return Measurement(
            data=torch.from_numpy(sinogram.values)[None, None],
            operator_config=operator_config(
                views=len(sinogram.values), pixels=sinogram.pixels, number=0 if number is None else number
            ),
            reference=reference,
            voxel_size=(pixel, pixel),
            unit="1/mm",
            metadata={"modality": "CT"},
            notes=notes,
        )
