"""The sample images as a dataset."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
import torch.nn.functional as F
from annotated_types import Ge
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

__all__ = ["WATER", "Sample"]

FOLDER = Path(__file__).parent
WATER = 0.0192
"""Attenuation of water in 1/mm, at about 70 keV: what 0 HU is converted to."""


class Sample:
    """Real images, read from the package itself: 2D slices of 128 x 128 pixels, split by person.

    Items: ``image`` (1, H, W) float32, row 0 anterior, column 0 at the patient's right. No person is in two splits.

    - ``mri``: magnitude images of the brain in [0, 1] (1 is the 99.8 % quantile of the slice before it was resampled),
      pixels of 1.8 mm, four people: T1, FLAIR, EPI, and T1 from seven coils. Left and right of the last are not known.
    - ``ct``: linear attenuation in 1/mm, mu = 0.0192 (1 + HU / 1000), HU from -1000 to 2000, pixels of 3 mm, chest and
      abdomen of 13 patients of TCGA-LUAD.

    Where they come from, under which licence, and what was done to them: SOURCE.md beside this file.

    Parameters
    ----------
    modality
        ``mri`` or ``ct``.
    split
        ``train``, ``validation`` or ``test``.
    size
        Width and height; None for the stored 128. Smaller ones are area averages, larger ones interpolated.
    """

    def __init__(
        self,
        *,
        modality: Literal["mri", "ct"] = "mri",
        split: Literal["train", "validation", "test"] = "train",
        size: Annotated[int, Ge(8)] | None = None,
    ) -> None:
        self.modality = modality
        self.split = split
        self.size = size

    @cached_property
    def rows(self) -> list[dict[str, str]]:
        """The lines of index.csv of this split: file, subject, pixel size, source."""
        with (FOLDER / "index.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        return [row for row in rows if (row["modality"], row["split"]) == (self.modality, self.split)]

    @property
    def subjects(self) -> list[str]:
        """Who each item shows, under a name that means nothing outside this dataset."""
        return [row["subject"] for row in self.rows]

    @property
    def spacing(self) -> float:
        """Edge of a pixel in mm."""
        row = self.rows[0]
        return float(row["spacing_mm"]) * (1 if self.size is None else int(row["size"]) / self.size)

    @property
    def affine(self) -> NDArray[np.float64]:
        """Affine (4, 4) from pixel index (x, y, 0) to RAS+ mm, the origin in the middle of the image.

        The orientation is the true one, the position is not kept.
        """
        n = int(self.rows[0]["size"]) if self.size is None else self.size
        affine = np.diag([-self.spacing, -self.spacing, self.spacing, 1.0])
        affine[:2, 3] = (n - 1) / 2 * self.spacing
        return affine

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.rows)

    def __getitem__(self, index: int) -> Mapping[str, Tensor]:
        """Return ``{"image": (1, H, W)}``."""
        with Image.open(FOLDER / "images" / self.rows[index]["file"]) as file:
            stored = torch.from_numpy(np.asarray(file, dtype=np.float32).copy())[None]
        image = stored / 4095 if self.modality == "mri" else stored * (WATER / 1000)
        if self.size is not None and self.size != image.shape[-1]:
            image = F.interpolate(
                image[None], (self.size, self.size), mode="bilinear", antialias=True, align_corners=False
            )[0]
        return {"image": image}
