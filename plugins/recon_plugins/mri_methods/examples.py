"""Small cases of the MRI methods for the conformance kit."""

from __future__ import annotations

import torch

from recon.testing import Example

__all__ = ["cg_sense", "grappa", "homodyne", "l1_wavelet", "pocs", "rss", "tv_sense"]

COLUMNS = {"kind": "random", "acceleration": 2.0, "center_fraction": 0.4}
FOURIER = {"use": "fourier", "mask": COLUMNS | {"acceleration": 1.5}}
COILS = {"use": "multicoil_fourier", "maps": {"coils": 4}, "mask": COLUMNS}


def rss() -> list[Example]:
    """Full and undersampled k-space of one coil."""
    return [
        Example(params={}, operator=FOURIER, shape=(2, 1, 20, 21), complex=True, name="zero-filled"),
        Example(params={}, operator="fourier", shape=(2, 1, 9, 8), name="full k-space"),
    ]


def cg_sense() -> list[Example]:
    """Given sensitivities, with and without damping; estimated ones of a single coil; volumes."""
    return [
        Example(params={}, operator=COILS, shape=(2, 1, 20, 21), complex=True, tolerance=0.02, name="coils"),
        Example(
            params={"damping": 1e-3, "iterations": 30, "stop": {"change": 1e-5}},
            operator=COILS,
            shape=(3, 1, 17, 24),
            complex=True,
            tolerance=0.02,
            name="damped",
        ),
        Example(
            params={"maps": {"use": "low_resolution_maps"}},
            operator=FOURIER,
            shape=(2, 1, 24, 21),
            complex=True,
            name="estimated",
        ),
        Example(
            params={"iterations": 10},
            operator=COILS | {"dimensions": 3},
            shape=(2, 1, 5, 12, 15),
            complex=True,
            name="volume",
        ),
    ]


def l1_wavelet() -> list[Example]:
    """Several coils, with shifts and without, sizes that no wavelet divides, volumes."""
    return [
        Example(
            params={"weight": 1e-3}, operator=COILS, shape=(2, 1, 20, 21), complex=True, tolerance=0.05, name="coils"
        ),
        Example(
            params={"weight": 1e-3, "shifts": False, "wavelet": "haar", "levels": 2, "constraint": "nonnegative"},
            operator=COILS,
            shape=(2, 1, 15, 24),
            complex=True,
            tolerance=0.1,
            name="one grid",
        ),
        Example(
            params={"levels": 2, "wavelet": "sym4", "scale": 1.0, "iterations": 20},
            operator=COILS | {"dimensions": 3},
            shape=(2, 1, 4, 9, 12),
            complex=True,
            name="volume",
        ),
    ]


def tv_sense() -> list[Example]:
    """Both solvers."""
    return [
        Example(
            params={"weight": 1e-3}, operator=COILS, shape=(2, 1, 20, 21), complex=True, tolerance=0.05, name="pdhg"
        ),
        Example(
            params={"weight": 1e-3, "solver": "tv", "iterations": 30, "output": "real"},
            operator=COILS,
            shape=(2, 1, 17, 16),
            complex=True,
            tolerance=0.1,
            name="tv",
        ),
    ]


def grappa() -> list[Example]:
    """Regular columns, a mask in the plane, combined by sensitivities that are given."""
    lines = {"kind": "equispaced", "acceleration": 2, "center_fraction": 0.4}
    plane = torch.zeros(24, 27, dtype=torch.bool)
    plane[::2, ::2] = True
    plane[6:18, 7:20] = True
    return [
        Example(params={}, operator=COILS | {"mask": lines}, shape=(2, 1, 20, 31), complex=True, name="columns"),
        Example(
            params={"lines": 2, "damping": 1e-2, "output": "magnitude"},
            operator=COILS | {"mask": plane},
            shape=(2, 1, 24, 27),
            complex=True,
            name="plane",
        ),
        Example(params={"readout": 3}, operator=FOURIER, shape=(2, 1, 20, 31), complex=True, name="one coil"),
    ]


def partial() -> dict[str, object]:
    """Five eighths of the columns."""
    mask = torch.ones(32, dtype=torch.bool)
    mask[:12] = False
    return {"use": "fourier", "mask": mask}


def homodyne() -> list[Example]:
    """Leave out a side of k-space, or none."""
    return [
        Example(params={}, operator=partial(), shape=(2, 1, 21, 32), complex=True, tolerance=0.05, name="columns"),
        Example(params={}, operator="fourier", shape=(2, 1, 9, 8), complex=True, tolerance=1e-5, name="full"),
    ]


def pocs() -> list[Example]:
    """Leave out a side of k-space, or none; stop by a rule."""
    return [
        Example(params={}, operator=partial(), shape=(2, 1, 21, 32), complex=True, tolerance=0.05, name="columns"),
        Example(
            params={"change": 1e-3, "output": "real"},
            operator=partial(),
            shape=(3, 1, 20, 32),
            complex=True,
            tolerance=0.05,
            name="until it rests",
        ),
        Example(params={}, operator="fourier", shape=(2, 1, 9, 8), complex=True, tolerance=1e-5, name="full"),
    ]
