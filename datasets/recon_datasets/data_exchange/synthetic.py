"""Small scans in both layouts, of ellipsoids in closed form."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from recon.io.atomic import atomic_file
from recon.testing.ellipsoids import Ellipsoid, chords

__all__ = ["SHAPES", "counts", "write_data_exchange", "write_projection_folder", "write_synthetic"]

SHAPES = (
    Ellipsoid(0.05, (0.5, -1.0, 0.0), (13.0, 10.0, 30.0), 0.4),
    Ellipsoid(0.05, (5.0, 4.0, 0.5), (3.0, 2.0, 4.0)),
    Ellipsoid(-0.04, (-4.0, -3.0, -1.0), (2.5, 4.0, 5.0), 1.0),
)
"""The synthetic object: 1/mm and mm, x to the right, y up, z towards lower detector rows."""


def counts(
    theta: NDArray[np.float64],
    *,
    rows: int = 3,
    columns: int = 48,
    centre: float = 25.3,
    pixel: float = 0.8,
    flat: float = 20000.0,
    dark: float = 100.0,
) -> dict[str, NDArray[np.uint16]]:
    """Return noiseless counts ``data`` (view, row, column), ``data_white`` and ``data_dark`` (2, row, column).

    Column j of view theta sees the line x cos(theta) + y sin(theta) = (j - centre) pixel, row i the plane
    z = (i - (rows - 1) / 2) pixel. The gain of the detector and its dark current vary from pixel to pixel.
    """  # fmt: skip
    x, z = (np.arange(columns) - centre) * pixel, (np.arange(rows) - (rows - 1) / 2) * pixel
    c, s = np.cos(theta)[:, None, None], np.sin(theta)[:, None, None]
    origins = np.stack(np.broadcast_arrays(x * c, x * s, z[:, None]), -1)
    along = np.stack(np.broadcast_arrays(-s, c, np.zeros_like(s)), -1)
    random = np.random.default_rng(0)
    gain, current = flat * random.uniform(0.6, 1, (rows, columns)), dark * random.uniform(0.5, 1.5, (rows, columns))
    frames = {"data": gain * np.exp(-chords(SHAPES, origins, along)) + current, "data_white": gain + current}
    frames = {**frames, "data_dark": current}
    drift = {"data": 0.0, "data_white": 8.0, "data_dark": 2.0}  # two fields, before and after, that differ
    return {
        name: np.rint(values if name == "data" else np.stack([values - drift[name], values + drift[name]])).astype("u2")
        for name, values in frames.items()
    }


def write_data_exchange(
    path: Path, parts: dict[str, NDArray[Any]], *, theta_unit: str | None = "degrees", pixel_um: float | None = None
) -> None:
    """Write ``data``, ``data_white``, ``data_dark`` and ``theta``, those that are given, to an HDF5 file."""
    with atomic_file(path) as temporary, h5py.File(temporary, "w") as file:
        file["implements"] = "exchange:measurement"
        for name, values in parts.items():
            file[f"exchange/{name}"] = values
            if name != "theta":
                file[f"exchange/{name}"].attrs["units"] = "counts"
        if "data" in parts:
            file["exchange/data"].attrs["axes"] = "theta:y:x"
        if "theta" in parts and theta_unit is not None:
            file["exchange/theta"].attrs["units"] = theta_unit
        if pixel_um is not None:
            file["measurement/instrument/detector/actual_pixel_size_x"] = pixel_um
            file["measurement/instrument/detector/actual_pixel_size_x"].attrs["units"] = "microns"


def write_synthetic(path: Path, *, views: int = 60, pixel: float = 0.8, **geometry: Any) -> None:
    """Write a scan of `SHAPES` over half a turn without its last view, as beamlines do; `geometry` as for `counts`."""
    theta = np.arange(views) * math.pi / views
    parts = counts(theta, pixel=pixel, **geometry)
    write_data_exchange(path, {**parts, "theta": np.rad2deg(theta)}, pixel_um=1000 * pixel)


def write_projection_folder(
    folder: Path, parts: dict[str, NDArray[Any]], angles: NDArray[np.float64], *, waits: int = 0
) -> None:
    """Write TIFF frames and angles in degrees; the first and last angle are repeated `waits` times."""
    (folder / "tiffs").mkdir(parents=True)
    for number, frame in enumerate(parts["data"]):
        Pillow.fromarray(frame).save(folder / "tiffs" / f"raw_{number}.tiff")
    for name in ("white", "dark"):
        for number, frame in enumerate(parts.get(f"data_{name}", ())):
            word = "flat" if name == "white" else name
            Pillow.fromarray(np.asarray(frame)).save(folder / f"{word}_{number}.tif")
    degrees = np.rad2deg(angles)
    listed = np.concatenate([[degrees[0]] * waits, degrees, [degrees[-1]] * waits])
    (folder / "angles.txt").write_text("".join(f"{angle:g}\n" for angle in listed))
