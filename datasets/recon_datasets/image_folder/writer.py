"""Images as PNG pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image as Pillow

from recon.errors import UsageError
from recon.io import Image, Measurement
from recon.io.picture import is_inverted
from recon.io.windows import window_limits

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
    window
        Which values become black and white: a centre and a width, or the name of a window of CT, "soft_tissue", "lung",
        "bone", "brain" or "liver". What lies outside is clipped, what is not a number is black. A radiograph that is
        stored for inverted display (MONOCHROME1) is inverted. By default [0, 1], as it is.
    """

    def __init__(self, *, bits: Literal[8, 16] = 8, window: str | tuple[float, float] | None = None) -> None:
        if window is not None:
            window_limits(window)
        self.bits = bits
        self.window = window

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
            axes = ", ".join(image.dims)
            raise UsageError(
                f"a PNG holds a slice or a colour picture, not axes {axes}: recon view and recon montage draw volumes"
            )
        if image.data.is_complex():
            raise UsageError("a PNG cannot hold complex values; `recon view` draws the magnitude")
        values = image.data.detach().cpu().numpy()
        values = values[0] if values.shape[0] == 1 and values.ndim == 3 else values
        if values.ndim == 3 and self.bits == 16:
            raise UsageError("16-bit PNG is written for gray images only; use bits=8 for colour")
        dtype = np.uint8 if self.bits == 8 else np.uint16
        if self.window is not None:
            limits = window_limits(self.window)
            values = self._windowed(values, *(limits[::-1] if is_inverted(image) else limits)).astype(dtype)
        elif values.dtype != dtype:
            values = self._quantised(values).astype(dtype)
        Pillow.fromarray(np.moveaxis(values, 0, -1).copy() if values.ndim == 3 else values).save(path, format="PNG")

    def _windowed(self, values: np.ndarray, black: float, white: float) -> np.ndarray:
        scaled = np.clip((values.astype(np.float64) - black) / (white - black), 0, 1)
        return np.rint(np.nan_to_num(scaled, nan=0.0) * (2**self.bits - 1))

    def _quantised(self, values: np.ndarray) -> np.ndarray:
        values = values.astype(np.float64)
        low, high = float(values.min()), float(values.max())
        top = 2**self.bits - 1
        if not (np.isfinite(values).all() and low >= -OVERSHOOT and high <= 1 + OVERSHOOT):
            raise UsageError(f"values from {low:g} to {high:g} do not fit a PNG of [0, 1]; give the writer a window")
        if 0 < max(abs(low), abs(high)) < 1 / top:
            raise UsageError(f"values from {low:g} to {high:g} would all become black; give the writer a window")
        return np.rint(np.clip(values, 0, 1) * top)
