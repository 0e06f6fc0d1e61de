"""Small cases of the iterative methods for the conformance kit."""

from __future__ import annotations

from recon.testing import Example

__all__ = ["cgls", "os_sirt", "pdhg", "pwls", "sirt"]

FOURIER = {"use": "fourier", "mask": {"kind": "random", "acceleration": 1.5, "center_fraction": 0.4}}
RADON = {"use": "radon", "size": [20, 17], "angles": 24, "pixel": 0.7}
FAN = {"use": "fan_beam", "size": [16, 19], "angles": 20, "source_distance": 40.0, "detector_distance": 20.0}
BLUR = {"use": "gaussian_blur", "size": [9, 12], "sigma": 0.6}


def sirt() -> list[Example]:
    """Parallel and fan beams, within bounds; a blur."""
    return [
        Example(params={"iterations": 30}, operator=RADON, shape=(2, 1, 20, 17), name="parallel"),
        Example(
            params={"constraint": "nonnegative", "upper": 1.5, "relaxation": 1.5, "stop": {"change": 1e-3}},
            operator=FAN,
            shape=(3, 2, 16, 19),
            name="fan, bounds",
        ),
        Example(params={"iterations": 20}, operator=BLUR, shape=(2, 1, 9, 12), name="blur"),
    ]


def os_sirt() -> list[Example]:
    """Split the views in a few subsets, and one by one."""
    return [
        Example(params={"subsets": 6, "iterations": 5}, operator=RADON, shape=(2, 1, 20, 17), name="subsets"),
        Example(
            params={"subsets": "views", "constraint": "nonnegative", "relaxation": 0.8, "iterations": 4},
            operator=FAN,
            shape=(2, 1, 16, 19),
            name="sart",
        ),
    ]


def cgls() -> list[Example]:
    """k-space, and projections of several channels, from a first image and with damping."""
    return [
        Example(params={}, operator=FOURIER, shape=(2, 1, 20, 21), complex=True, name="k-space"),
        Example(
            params={"damping": 1e-2, "iterations": 8, "start": {"use": "sirt", "iterations": 3}},
            operator=RADON,
            shape=(2, 2, 20, 17),
            name="projections",
        ),
        Example(params={"constraint": "real"}, operator=FOURIER, shape=(2, 1, 9, 12), name="real image"),
    ]


def pdhg() -> list[Example]:
    """With a weight and with a noise level, real and complex."""
    return [
        Example(
            params={"weight": 1e-3, "iterations": 60},
            operator=FOURIER,
            shape=(2, 1, 20, 21),
            complex=True,
            name="k-space",
        ),
        Example(
            params={"weight": 1e-2, "constraint": "nonnegative", "iterations": 60},
            operator=RADON,
            shape=(2, 2, 20, 17),
            name="projections",
        ),
        Example(params={"noise": 0.02, "iterations": 100}, operator=RADON, shape=(2, 1, 20, 17), name="noise level"),
    ]


def pwls() -> list[Example]:
    """Each penalty; counts; subsets; an operator without nonnegative weights."""
    return [
        Example(
            params={"weight": 10.0, "photons": 1e4, "constraint": "nonnegative", "iterations": 20},
            operator=RADON | {"pixel": 0.1},
            shape=(2, 1, 20, 17),
            name="quadratic",
        ),
        Example(
            params={"weight": 0.05, "penalty": "huber", "delta": 0.05, "subsets": 4, "iterations": 8},
            operator=FAN,
            shape=(2, 2, 16, 19),
            name="huber, subsets",
        ),
        Example(
            params={"weight": 1e-3, "penalty": "tv", "iterations": 20},
            operator=FOURIER,
            shape=(2, 1, 20, 21),
            complex=True,
            name="tv",
        ),
    ]
