"""Scans in the plane as ASTRA describes them to its kernels of the processor."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recon.errors import UsageError

__all__ = ["plane_vectors", "projection_geometry", "volume_geometry"]


def volume_geometry(grid: Any) -> dict[str, Any]:
    """Return ASTRA's description of a grid of pixels, in mm.

    Raises
    ------
    UsageError
        If the pixels are not square, which ASTRA's processor kernels need, or the grid is not two-dimensional.
    """
    import astra

    if len(grid.size) != 2:
        raise UsageError("astra projects volumes on CUDA only: take model 'cuda'")
    (height, width), (dy, dx), (x, y) = grid.size, grid.pixel, grid.centre
    if not math.isclose(dy, dx):
        raise UsageError(f"astra needs square pixels, got {dy:g} x {dx:g} mm: take model 'cuda'")
    half = width * dx / 2, height * dy / 2
    made: dict[str, Any] = astra.create_vol_geom(height, width, x - half[0], x + half[0], y - half[1], y + half[1])
    return made


def projection_geometry(geometry: Any, *, vectors: bool = True) -> dict[str, Any]:
    """Return ASTRA's description of where rays run, in mm, as vectors or, of a centred detector, as angles.

    Raises
    ------
    UsageError
        If the detector is curved, which ASTRA knows in three dimensions only.
    """
    import astra

    fan = hasattr(geometry, "source_distance")
    if getattr(geometry, "detector", "flat") != "flat":
        raise UsageError("astra has no curved detectors in two dimensions: take recon's own projector")
    made: dict[str, Any]
    if vectors:
        kind = "fanflat_vec" if fan else "parallel_vec"
        made = astra.create_proj_geom(kind, geometry.bins, plane_vectors(geometry))
        return made
    distances = (geometry.source_distance, geometry.detector_distance) if fan else ()
    kind = "fanflat" if fan else "parallel"
    made = astra.create_proj_geom(kind, geometry.bin_size, geometry.bins, np.asarray(geometry.angles), *distances)
    return made


def plane_vectors(geometry: Any) -> NDArray[np.float64]:
    """Return for each view the source or direction, the detector's centre, the step from bin to bin: (A, 6), in mm."""
    theta = np.asarray(geometry.angles, np.float64)
    along = np.stack([-np.sin(theta), np.cos(theta)], 1)
    across = np.stack([np.cos(theta), np.sin(theta)], 1)
    tilt = getattr(geometry, "tilt", 0.0)
    step = math.cos(tilt) * across + math.sin(tilt) * along
    centre = geometry.offset * step
    fan = hasattr(geometry, "source_distance")
    if fan:
        centre = centre + geometry.detector_distance * along
    source = -geometry.source_distance * along if fan else along
    return np.concatenate([source, centre, geometry.bin_size * step], 1)
