"""Small cases of the Fourier operators for the conformance kit."""

from __future__ import annotations

import torch

from recon.testing import Example

__all__ = ["crop", "fourier", "multicoil_fourier"]

COLUMNS = {"kind": "random", "acceleration": 2, "center_fraction": 0.2, "seed": 1}


def fourier() -> list[Example]:
    """Column, planar, changing and no masks; odd, non-square, complex, real, volumetric and dynamic images."""
    generator = torch.Generator().manual_seed(0)
    plane = torch.rand(7, 10, generator=generator) < 0.5
    frames = {"kind": "kt_equispaced", "acceleration": 2, "center_fraction": 0.2}
    disc = {"kind": "poisson", "acceleration": 2, "calibration": 2, "axes": [-3, -2]}
    return [
        Example(params={"mask": COLUMNS, "resample": True}, shape=(2, 1, 8, 9), complex=True, name="columns"),
        Example(params={"mask": plane}, shape=(2, 2, 7, 10), complex=True, name="plane"),
        Example(params={}, shape=(2, 1, 5, 6), name="full, real image"),
        Example(params={"mask": COLUMNS, "dimensions": 3}, shape=(2, 1, 3, 4, 5), complex=True, name="volume"),
        Example(params={"mask": disc, "dimensions": 3}, shape=(2, 1, 8, 9, 3), complex=True, name="phase encodings"),
        Example(params={"mask": frames, "time": True}, shape=(2, 1, 3, 4, 7), complex=True, name="frames"),
    ]


def multicoil_fourier() -> list[Example]:
    """Given and simulated maps, one set and two, with column, planar and changing masks."""
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(3, 8, 7, dtype=torch.complex128, generator=generator)
    several = torch.randn(1, 2, 3, 5, 6, dtype=torch.complex128, generator=generator)
    plane = torch.rand(8, 7, generator=generator) < 0.5
    frames = {"kind": "kt_random", "acceleration": 2, "center_fraction": 0.2}
    return [
        Example(params={"maps": maps, "mask": plane}, shape=(2, 1, 8, 7), complex=True, name="plane"),
        Example(params={"maps": {"coils": 4}, "mask": COLUMNS}, shape=(2, 1, 6, 9), complex=True, name="columns"),
        Example(params={"maps": maps.to(torch.complex64)}, shape=(3, 1, 8, 7), name="full, real image"),
        Example(params={"maps": several, "mask": COLUMNS}, shape=(2, 2, 5, 6), complex=True, name="two sets of maps"),
        Example(
            params={"maps": several[0, 0], "mask": frames, "time": True},
            shape=(2, 1, 3, 5, 6),
            complex=True,
            name="frames",
        ),
        Example(
            params={"maps": {"coils": 2}, "mask": plane[:5, :6], "dimensions": 3},
            shape=(2, 1, 3, 5, 6),
            complex=True,
            name="volume",
        ),
    ]


def crop() -> list[Example]:
    """Odd and even sizes, in the plane and in space."""
    return [
        Example(params={"size": (9, 8), "part": (5, 6)}, shape=(2, 2, 9, 8), complex=True, name="plane"),
        Example(params={"size": (6, 7, 4), "part": (6, 3, 1)}, shape=(2, 1, 6, 7, 4), name="volume"),
    ]
