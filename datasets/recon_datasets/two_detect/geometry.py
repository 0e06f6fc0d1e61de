"""The scanner of 2DeteCT."""

from __future__ import annotations

import math
from typing import Any

__all__ = ["BINNING", "SIZE", "image_pixel", "operator_config", "shifted"]

SOURCE_MM, LENGTH_MM = 431.019989, 529.000488
"""Distance of the source from the axis of rotation and from the detector."""
PIXEL_MM, PIXELS = 0.0748, 1912
"""Edge and number of the detector's pixels."""
BINNING = 2
"""Pixels that the published reconstructions add to a bin."""
SIZE = 1024
"""Rows and columns of the published reconstructions."""
SHIFT_MM = BINNING * PIXEL_MM
"""Shift of the detector before it was changed: one bin."""


def shifted(number: int) -> bool:
    """Whether a slice was taken with the first detector mounting: slices 1 to 2830, and 5521 to 5870 of the others."""
    return 1 <= number <= 2830 or 5521 <= number <= 5870


def image_pixel(pixels: int = PIXELS) -> float:
    """Return the edge in mm of a pixel of the published images, 1024 across the field of view at the axis."""
    return pixels * PIXEL_MM * SOURCE_MM / LENGTH_MM / SIZE


def operator_config(
    *, views: int = 3600, every: int = 1, pixels: int = PIXELS, number: int = 1, size: int = SIZE
) -> dict[str, Any]:
    """Return the `fan_beam` operator of one slice's sinogram.

    View k lies at 2 pi k / views. The image is the published one's grid, whose centre is one pixel left of and above
    the axis: the publishers cut it from a larger one in this way.

    Parameters
    ----------
    views
        Views of a full turn in the file.
    every
        Take every so many-th of them.
    pixels
        Detector pixels in the file.
    number
        Number of the slice, which tells how the detector was mounted.
    size
        Rows and columns of the image, over the same field of view as the published 1024.
    """
    pixel = image_pixel(pixels)
    return {
        "use": "fan_beam",
        "size": (size, size),
        "angles": [2 * math.pi * k / views for k in range(0, views, every)],
        "source_distance": SOURCE_MM,
        "detector_distance": LENGTH_MM - SOURCE_MM,
        "pixel": pixel * SIZE / size,
        "bins": pixels // BINNING,
        "bin_size": BINNING * PIXEL_MM,
        "offset": -SHIFT_MM if shifted(number) else 0.0,
        "centre": (-pixel, pixel),
    }
