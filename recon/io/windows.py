"""Windows: which values of an image become black and white."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from recon.errors import UsageError

__all__ = ["WINDOWS", "window_limits"]

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
