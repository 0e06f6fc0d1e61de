"""The walnut's sinograms as measurements."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from annotated_types import Gt

from recon.errors import FileFormatError
from recon.io import Measurement
from recon.io.projections import check_counts
from recon_datasets.fips.matlab import load_variable, variables

__all__ = ["BINS", "BIN_MM", "DETECTOR_MM", "OFFSET_MM", "SOURCE_MM", "FipsReader"]

BINS, BIN_MM = 2296, 0.05
SOURCE_MM, DETECTOR_MM = 110.0, 190.0
"""Distances of source and detector from the centre of rotation."""
OFFSET_MM = -0.279
"""Shift of the detector, found by experiment: the publication gives none."""

NAMES = ("sinogram1200", "sinogram120")
Sinogram = Literal["auto", "sinogram1200", "sinogram120"]


class FipsReader:
    """Reads a fan-beam sinogram of the walnut ("FullSizeSinograms"): intensities, made line integrals.

    The file's (2296 pixels, views) become (1, 1, views, bins) with -log(I / the largest I of each view), since no flat
    field is published. View k lies at -pi/2 - 2 pi k / views, the pixels' order is turned round, and the detector is
    shifted by -0.279 mm: with that, 30 steps of conjugate gradients leave 0.9 % of the sinogram, without it 3.7 %. The
    operator is `fan_beam` on square pixels of a bin's size at the centre.

    Parameters
    ----------
    sinogram
        Which variable, of 1200 or 120 views; auto takes the first of the two that is there.
    downsample
        Pixels whose intensities are averaged to a bin, before the logarithm; 2296 = 2^3 7 41 pixels.
    size
        Rows and columns of the image; by default as many as bins, which is the field of view.

    References
    ----------
    Hamalainen et al., Tomographic X-ray data of a walnut, 2015, arXiv:1502.04064, doi:10.5281/zenodo.1254206
    """

    def __init__(
        self,
        *,
        sinogram: Sinogram = "auto",
        downsample: Annotated[int, Gt(0)] = 4,
        size: Annotated[int, Gt(0)] | None = None,
    ) -> None:
        if BINS % downsample:
            raise ValueError(f"downsample must divide the detector's {BINS} pixels")
        self.sinogram: Sinogram = sinogram
        self.downsample = downsample
        self.size = size

    def accepts(self, path: Path) -> bool:
        """Whether a variable has the name of one of the walnut's sinograms."""
        return path.is_file() and not set(NAMES).isdisjoint(variables(path))

    def read(self, path: Path) -> Measurement:
        """Read one sinogram.

        Raises
        ------
        FileFormatError
            If the file is damaged, lacks the sinogram, or it has another shape or counts that cannot be.
        """
        found = variables(path) if self.sinogram == "auto" else ()
        name = next((name for name in NAMES if name in found), NAMES[0]) if self.sinogram == "auto" else self.sinogram
        stored = load_variable(path, name)
        views = int(name.removeprefix("sinogram"))
        if stored.shape != (BINS, views):
            raise FileFormatError(f"{path}: {name!r} has the shape {stored.shape}, not {BINS} pixels by {views} views")
        counts = check_counts(stored.T[:, ::-1], f"{path}: {name!r}")
        counts = counts.reshape(views, -1, self.downsample).mean(-1)
        largest = counts.max(axis=1, keepdims=True)
        if not counts.min() > 0:
            raise FileFormatError(
                f"{path}: {name!r} has {int((counts <= 0).sum())} bins without counts, whose logarithm is "
                "infinite; average more pixels with downsample"
            )
        pixel = BIN_MM * self.downsample * SOURCE_MM / (SOURCE_MM + DETECTOR_MM)
        size = counts.shape[1] if self.size is None else self.size
        angles = -math.pi / 2 - 2 * math.pi / views * np.arange(views)
        return Measurement(
            data=torch.from_numpy(-np.log(counts / largest))[None, None],
            operator_config={
                "use": "fan_beam",
                "size": (size, size),
                "angles": (angles % (2 * math.pi)).tolist(),
                "source_distance": SOURCE_MM,
                "detector_distance": DETECTOR_MM,
                "pixel": pixel,
                "bins": counts.shape[1],
                "bin_size": BIN_MM * self.downsample,
                "offset": OFFSET_MM,
            },
            voxel_size=(pixel, pixel),
            unit="1/mm",
            metadata={"modality": "CT"},
            notes=(
                "without a flat field: the largest intensity of each view stands for air",
                f"{self.downsample} detector pixels averaged to a bin",
            ),
        )
