"""Small cases of the Fourier operators for the conformance kit."""

from __future__ import annotations

import torch

from recon.testing import Example

__all__ = ["fourier", "multicoil_fourier"]

COLUMNS = {"kind": "random", "acceleration": 2, "center_fraction": 0.2, "seed": 1}


def fourier() -> list[Example]:
    """Column, planar and no masks; odd, non-square, complex, real and volumetric images."""
    generator = torch.Generator().manual_seed(0)
    plane = torch.rand(7, 10, generator=generator) < 0.5
    return [
        Example(params={"mask": COLUMNS, "resample": True}, shape=(2, 1, 8, 9), complex=True, name="columns"),
        Example(params={"mask": plane}, shape=(2, 2, 7, 10), complex=True, name="plane"),
        Example(params={}, shape=(2, 1, 5, 6), name="full, real image"),
        Example(params={"mask": COLUMNS, "dimensions": 3}, shape=(2, 1, 3, 4, 5), complex=True, name="volume"),
    ]


def multicoil_fourier() -> list[Example]:
    """Given and simulated maps with column and planar masks."""
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(3, 8, 7, dtype=torch.complex128, generator=generator)
    plane = torch.rand(8, 7, generator=generator) < 0.5
    return [
        Example(params={"maps": maps, "mask": plane}, shape=(2, 1, 8, 7), complex=True, name="plane"),
        Example(params={"maps": {"coils": 4}, "mask": COLUMNS}, shape=(2, 1, 6, 9), complex=True, name="columns"),
        Example(params={"maps": maps.to(torch.complex64)}, shape=(3, 1, 8, 7), name="full, real image"),
    ]
