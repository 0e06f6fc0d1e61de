"""Small cases of the calibrations for the conformance kit: coils whose maps are smooth across the border too."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from recon.testing import Example

__all__ = ["espirit", "inati", "low_resolution_maps", "walsh"]

Inputs = Callable[[torch.Generator, torch.dtype], Mapping[str, Tensor]]


def espirit() -> list[Example]:
    """One set in the plane, of whole and of undersampled k-space; soft maps on a coarse grid; a volume."""
    columns = torch.zeros(25, dtype=torch.bool)
    columns[::2] = columns[7:18] = True
    return [
        Example(params={"phase": "first"}, operator="fourier", inputs=_maps(24, 25), name="whole"),
        Example(
            params={"width": None},
            operator={"use": "fourier", "mask": columns},
            inputs=_maps(24, 25),
            name="undersampled",
        ),
        Example(params={"soft": True, "step": 2}, operator="fourier", inputs=_maps(32, 30), name="soft, coarse"),
        Example(
            params={"kernel": 3, "crop": 0.8},
            operator={"use": "fourier", "dimensions": 3},
            inputs=_maps(12, 11, 10),
            name="volume",
        ),
    ]


def inati() -> list[Example]:
    """In the plane and in space, of whole and of undersampled k-space."""
    return _of_images({"window": 3})


def walsh() -> list[Example]:
    """In the plane and in space, of whole and of undersampled k-space."""
    return _of_images({"window": 3, "iterations": 5})


def low_resolution_maps() -> list[Example]:
    """In the plane and in space, of whole and of undersampled k-space."""
    return _of_images({})


def _of_images(params: Mapping[str, Any]) -> list[Example]:
    columns = torch.zeros(25, dtype=torch.bool)
    columns[::2] = columns[7:18] = True
    undersampled = {"use": "fourier", "mask": columns}
    volume = {"use": "fourier", "dimensions": 3}
    return [
        Example(params={**params, "phase": "first"}, operator="fourier", inputs=_maps(24, 25), name="whole"),
        Example(params=params, operator=undersampled, inputs=_maps(24, 25), name="undersampled"),
        Example(params={**params, "width": 8}, operator=volume, inputs=_maps(12, 11, 10), name="volume"),
    ]


def _maps(*size: int) -> Inputs:
    """Return a batch of smooth periodic maps whose reference, for both kinds of phase, is known: the first coil."""

    def inputs(generator: torch.Generator, dtype: torch.dtype) -> Mapping[str, Tensor]:  # noqa: ARG001
        angles = torch.meshgrid(
            *(torch.arange(n, dtype=torch.float64) * (2 * math.pi / n) for n in size), indexing="ij"
        )
        items = []
        for shift in (0.0, 0.7):
            # The first coil sees most, so that it is nearly the principal component; the others' phases turn.
            wave = [torch.polar(torch.ones_like(a), a + shift) for a in angles]
            coils = [2 + 0.3 * wave[0].real, 0.5 + 0.4 * wave[0], 0.3 * wave[1], 0.2j + 0.2 * wave[-1].conj() * wave[0]]
            maps = torch.stack([c.to(torch.complex128) for c in coils])
            items.append(maps / torch.linalg.vector_norm(maps, dim=0))
        return {"x": torch.stack(items).to(dtype.to_complex())}

    return inputs
