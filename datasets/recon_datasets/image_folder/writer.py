"""Images as PNG pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image as Pillow

from recon.errors import UsageError
from recon.io import Image, Measurement

__all__ = ["PictureWriter"]

OVERSHOOT = 0.5
"""How far values may leave [0, 1] and still be clipped: reconstructions overshoot, other units are far off."""


class PictureWriter:
    """Writes a PNG picture.

    Values v in [0, 1] become round(v * (2^bits - 1)), so that pictures read back exactly; small overshoots are clipped.
    Integer images of that many bits are written as they are.

    Parameters
    ----------
    bits
        8, or 16 (gray only).
    """

    def __init__(self, *, bits: Literal[8, 16] = 8) -> None:
        self.bits = bits

    def write(self, image: Image | Measurement, path: Path) -> None:
        """Write a gray (y, x) or colour (channel, y, x) image.

        Raises
        ------
        UsageError
            For volumes, complex values, and values that are not in [0, 1].
        """
        if not isinstance(image, Image):
            raise UsageError("a PNG holds an image, not a measurement; `recon view` draws measurements")
        gray, colour = image.dims == ("y", "x"), image.dims == ("channel", "y", "x") and image.shape[0] in (1, 3)
        if not (gray or colour):
            raise UsageError(f"a PNG holds one gray or colour image, not axes {image.dims}; `recon view` draws volumes")
        if image.data.is_complex():
            raise UsageError("a PNG cannot hold complex values; `recon view` draws the magnitude")
        values = image.data.detach().cpu().numpy()
        values = values[0] if values.shape[0] == 1 and values.ndim == 3 else values
        if values.ndim == 3 and self.bits == 16:
            raise UsageError("16-bit PNG is written for gray images only; use bits=8 for colour")
        dtype = np.uint8 if self.bits == 8 else np.uint16
        if values.dtype != dtype:
            values = self._quantised(values).astype(dtype)
        Pillow.fromarray(np.moveaxis(values, 0, -1).copy() if values.ndim == 3 else values).save(path, format="PNG")

    def _quantised(self, values: np.ndarray) -> np.ndarray:
        values = values.astype(np.float64)
        low, high = float(values.min()), float(values.max())
        top = 2**self.bits - 1
        if not (np.isfinite(values).all() and low >= -OVERSHOOT and high <= 1 + OVERSHOOT):
            raise UsageError(f"values from {low:g} to {high:g} do not fit a PNG of [0, 1]; `recon view` sets a window")
        if 0 < max(abs(low), abs(high)) < 1 / top:
            raise UsageError(f"values from {low:g} to {high:g} would all become black; `recon view` sets a window")
        return np.rint(np.clip(values, 0, 1) * top)
