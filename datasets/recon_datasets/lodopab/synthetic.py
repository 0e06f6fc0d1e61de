"""Files with LoDoPaB-CT's layout: the published ones are 115 GB."""

from __future__ import annotations

import math
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from recon.io.atomic import atomic_file
from recon.testing.ellipsoids import Ellipsoid, chords, values_at
from recon_datasets.lodopab.geometry import BINS, FIELD_MM, SIZE, VIEWS

__all__ = ["phantom", "write_lodopab", "write_synthetic"]


def write_lodopab(path: Path, data: NDArray[np.floating]) -> None:
    """Write sinograms (n, 1000, 513), or images (n, 362, 362) as [x, y] with y up, as one file of the data set."""
    with atomic_file(path) as temporary, h5py.File(temporary, "w") as file:
        file["data"] = np.asarray(data, dtype=np.float32)


def write_synthetic(
    folder: Path, *, part: str = "train", number: int = 0, samples: int = 2, images: bool = True, seed: int = 0
) -> None:
    """Write a numbered pair of files with `phantom`'s noiseless sinograms; the challenge has no `images`."""
    pairs = [phantom(seed + sample) for sample in range(samples)]
    write_lodopab(folder / f"observation_{part}_{number:03d}.hdf5", np.stack([pair[1] for pair in pairs]))
    if images:
        write_lodopab(folder / f"ground_truth_{part}_{number:03d}.hdf5", np.stack([pair[0] for pair in pairs]))


def phantom(seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return an image of ellipses in [0, 1], stored [x, y], and its line integrals over metres in closed form.

    Ray k, i runs through s (cos, sin) along (-sin, cos) of theta_k = (k + 1/2) pi / 1000, at s from -0.13 sqrt(2) m.
    """
    random = np.random.default_rng(seed)
    half = FIELD_MM / 2000
    body = Ellipsoid(0.25, (0.0, 0.0), (0.8 * half, 0.65 * half), 0.3)
    shapes = [body]
    for _ in range(4):
        radius, angle = random.uniform(0, 0.4 * half), random.uniform(0, 2 * math.pi)
        axes = random.uniform(0.05 * half, 0.2 * half, 2)
        centre = (radius * math.cos(angle), radius * math.sin(angle))
        value, turn = random.uniform(-0.1, 0.15), random.uniform(0, math.pi)
        shapes.append(Ellipsoid(value, centre, (axes[0], axes[1]), turn))
    edge = 2 * half / SIZE
    fine = 4  # pixels are means over a grid of points
    x = -half + (np.arange(SIZE * fine) + 0.5) * edge / fine
    points = np.stack(np.meshgrid(x, x, indexing="ij"), -1)
    image = values_at(shapes, points).reshape(SIZE, fine, SIZE, fine).mean((1, 3))
    theta = (np.arange(VIEWS) + 0.5) * math.pi / VIEWS
    s = (np.arange(BINS) - (BINS - 1) / 2) * 2 * half * math.sqrt(2) / BINS
    along = np.stack([-np.sin(theta), np.cos(theta)], -1)[:, None]
    across = np.stack([np.cos(theta), np.sin(theta)], -1)[:, None]
    return image, chords(shapes, s[:, None] * across, along)
