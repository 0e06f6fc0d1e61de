"""Windows: which values of an image become black and white."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from recon.errors import UsageError

if TYPE_CHECKING:
    from recon.io.image import Image

__all__ = ["WINDOWS", "own_window", "window_limits"]

PERCENTILES = (1.0, 99.0)
"""Of the values of a slice, what becomes black and white where nothing tells."""

WINDOWS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "bone": (300.0, 1500.0),
        "brain": (40.0, 80.0),
        "liver": (60.0, 160.0),
        "lung": (-600.0, 1500.0),
        "soft_tissue": (40.0, 400.0),
    }
)
"""Usual windows of CT by name: centre and width in HU."""


def window_limits(window: str | tuple[float, float]) -> tuple[float, float]:
    """Return the values that become black and white.

    Parameters
    ----------
    window
        A name in `WINDOWS`, with ``-`` or ``_``, or centre and width.

    Raises
    ------
    UsageError
        If there is no such name, or the width is not positive.
    """
    if isinstance(window, str):
        name = window.replace("-", "_").replace(" ", "_")
        if name not in WINDOWS:
            raise UsageError(f"there is no window {window!r}; known are {', '.join(WINDOWS)}, or give centre and width")
        window = WINDOWS[name]
    centre, width = (float(value) for value in window)
    if not (abs(centre) < float("inf") and 0 < width < float("inf")):
        raise UsageError(f"a window is a centre and a positive width, not {centre:g} {width:g}")
    return centre - width / 2, centre + width / 2


def own_window(image: Image) -> tuple[float, float] | None:
    """Return centre and width that show a slice of a scan in no unit, such as a radiograph or MR.

    The window that the file asks for, if values lie in it, else from the 1st to the 99th percentile. None where values
    are a picture already (bytes, or numbers in about [0, 1]), where they have a unit, which must not be lost unasked,
    and where nothing says that they are a scan.
    """
    from recon.io.picture import is_inverted

    if image.unit != "arbitrary" or "modality" not in image.metadata or image.dims != ("y", "x"):
        return None
    values = np.asarray(image)
    if np.iscomplexobj(values) or (values.dtype == np.uint8 and not is_inverted(image)):
        return None
    values = values[np.isfinite(values)].astype(np.float64)
    lowest, highest = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    if highest <= lowest or (lowest >= -0.5 and highest <= 1.5):
        return None
    window = image.metadata.get("window")
    if isinstance(window, tuple) and len(window) == 2:
        centre, width = float(window[0]), float(window[1])
        if width > 0 and centre - width / 2 < highest and centre + width / 2 > lowest:
            return centre, width
    low, high = (float(value) for value in np.percentile(values, PERCENTILES))
    low, high = (low, high) if high > low else (lowest, highest)  # mostly one value
    return (low + high) / 2, high - low
