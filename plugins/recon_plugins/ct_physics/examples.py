"""Small cases for the conformance kit."""

from __future__ import annotations

import torch
from torch import Tensor

from recon.testing import Example

__all__ = ["attenuation", "beer_lambert", "log_transform", "low_dose", "reduced_dose", "transmission"]

SHAPE = (2, 1, 5, 4)


def attenuation() -> list[Example]:
    """Water at 70 keV, and with air."""
    return [
        Example(shape=SHAPE, name="default"),
        Example(params={"water": 0.02, "air": 2e-5}, shape=(3, 1, 4, 5, 3), name="with air"),
    ]


def beer_lambert() -> list[Example]:
    """Two numbers of photons."""
    return [
        Example(params={"photons": 1e5}, shape=SHAPE, name="sinograms"),
        Example(params={"photons": 1.0}, shape=(2, 1, 3, 5, 4), name="transmission in 3-D"),
    ]


def transmission() -> list[Example]:
    """Without and with electronic noise."""
    return [
        Example(params={"photons": 1e4}, shape=SHAPE, name="photons"),
        Example(params={"photons": 100.0, "electronic": 5.0}, shape=(3, 1, 7, 3), name="photons and electronics"),
    ]


def log_transform() -> list[Example]:
    """Give counts, some of them below the floor."""
    return [
        Example(params={"photons": 100.0}, shape=SHAPE, inputs=_counts, name="floor"),
        Example(params={"photons": 50.0, "floor": 1.0, "shift": 0.5}, shape=SHAPE, inputs=_counts, name="shift"),
    ]


def low_dose() -> list[Example]:
    """Give a known and a drawn number of photons."""
    return [
        Example(params={"photons": 1e4, "electronic": 3.0}, shape=SHAPE, name="known photons"),
        Example(params={"photons": [1e3, 1e5], "shift": 0.5}, shape=(3, 1, 7, 5), name="drawn photons"),
    ]


def reduced_dose() -> list[Example]:
    """Two geometries, by fbp."""
    return [
        Example(
            params={
                "projector": {"use": "radon", "size": [9, 9], "angles": 12},
                "dose": 0.25,
                "photons": 1e4,
                "electronic": 2.0,
            },
            shape=(2, 1, 9, 9),
            name="a quarter",
        ),
        Example(
            params={
                "projector": {"use": "radon", "size": [8, 11], "angles": 10, "pixel": 0.7},
                "dose": 0.5,
                "photons": 1e5,
                "method": {"use": "fbp", "filter": "hann"},
            },
            shape=(2, 1, 8, 11),
            name="half, hann",
        ),
    ]


def _counts(generator: torch.Generator, dtype: torch.dtype) -> dict[str, Tensor]:
    return {"x": 40 * torch.randn(SHAPE, generator=generator, dtype=dtype) + 40}
