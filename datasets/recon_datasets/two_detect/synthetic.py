"""Slices with the layout of 2DeteCT, of ellipses in closed form; the published ones are 34 GB an archive."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from recon.testing.ellipsoids import Ellipsoid, chords, values_at

__all__ = ["counts", "image", "shapes", "write_synthetic", "write_two_detect"]


def shapes(pixels: int = 1912) -> tuple[Ellipsoid, ...]:
    """Return ellipses in 1/mm that fill the field of view of so many detector pixels; x to the right, y up, mm."""
    k = pixels / 1912
    return (
        Ellipsoid(0.03 / k, (3.0 * k, -2.0 * k), (42.0 * k, 36.0 * k), 0.5),
        Ellipsoid(0.03 / k, (18.0 * k, 12.0 * k), (8.0 * k, 5.0 * k)),
        Ellipsoid(-0.02 / k, (-14.0 * k, -10.0 * k), (6.0 * k, 11.0 * k), 1.0),
    )


def counts(views: int = 3600, pixels: int = 1912, *, shifted: bool = True) -> NDArray[np.float64]:
    """Return transmissions (views + 1, pixels) of `shapes`, the last view being the first one again.

    At view k, b = 2 pi k / views, the source stands at 431.02 mm towards (sin b, -cos b), the detector opposite, 529 mm
    from the source; its pixels of 0.0748 mm run along (cos b, sin b). With the first mounting the axis is seen one bin
    of two pixels beyond the middle.
    """
    b = 2 * math.pi * np.arange(views + 1) / views
    central, across = np.stack([-np.sin(b), np.cos(b)], -1)[:, None], np.stack([np.cos(b), np.sin(b)], -1)[:, None]
    place = (np.arange(pixels) - (pixels - 1) / 2 - (2 if shifted else 0)) * 0.0748
    source = -431.019989 * central
    direction = 529.000488 * central + place[:, None] * across
    direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
    return np.exp(-chords(shapes(pixels), source, direction))


def image(pixels: int = 1912, size: int = 1024) -> NDArray[np.float32]:
    """Return `shapes` in 1/mm on the grid of the published images, a pixel left of and above the axis."""
    edge = pixels * 0.0748 * 431.019989 / 529.000488 / 1024
    step = edge * 1024 / size
    x = (np.arange(size) - (size - 1) / 2) * step - edge
    y = edge - (np.arange(size) - (size - 1) / 2) * step
    return values_at(shapes(pixels), np.stack(np.meshgrid(x, y), -1)).astype(np.float32)


def write_two_detect(
    folder: Path,
    transmission: NDArray[np.floating],
    *,
    photons: float = 50000.0,
    seed: int = 0,
    reconstruction: NDArray[np.floating] | None = None,
) -> None:
    """Write one mode of a slice: 16-bit counts of varying gain and dark current, and a float reconstruction."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    pixels = transmission.shape[1]
    gain, dark = photons * random.uniform(0.7, 1, (1, pixels)), random.uniform(80, 120, (1, pixels))
    frames = {
        "sinogram": gain * transmission + dark,
        "dark": dark,
        "flat1": 1.01 * gain + dark,
        "flat2": 0.99 * gain + dark,
    }
    for name, values in frames.items():
        Pillow.fromarray(np.rint(values).astype(np.uint16)).save(folder / f"{name}.tif")
    if reconstruction is not None:
        Pillow.fromarray(np.asarray(reconstruction, dtype=np.float32)).save(folder / "reconstruction.tif")


def write_synthetic(
    root: Path, *, numbers: tuple[int, ...] = (1, 2), views: int = 24, pixels: int = 120, shifted: bool = True
) -> None:
    """Write slices in modes 1 and 2 as the archives unpack, and reconstructions in units of one over a pixel."""
    transmission = counts(views, pixels, shifted=shifted)
    reference = image(pixels) * (pixels * 0.0748 * 431.019989 / 529.000488 / 1024)
    for number in numbers:
        name = f"slice{number:05d}"
        for mode, photons in ((1, 2000.0), (2, 50000.0)):
            write_two_detect(
                root / "2DeteCT_slices1-1000" / name / f"mode{mode}", transmission, photons=photons, seed=number
            )
        other = root / "2DeteCT_slices1-1000_RecSeg" / name / "mode2"
        other.mkdir(parents=True, exist_ok=True)
        Pillow.fromarray(reference.astype(np.float32)).save(other / "reconstruction.tif")
