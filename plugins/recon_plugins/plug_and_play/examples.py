"""Small cases for the conformance kit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

import recon
from recon.engine.checkpoint import tensor_bytes
from recon.testing import Example

__all__ = ["denoiser", "plug_and_play"]

NETWORK = {"use": "dncnn", "layers": 3, "features": 4}
COILS = {
    "use": "multicoil_fourier",
    "maps": {"coils": 4},
    "mask": {"kind": "random", "acceleration": 2.0, "center_fraction": 0.4},
}
RADON = {"use": "radon", "size": [20, 17], "angles": 24, "pixel": 0.7}


def denoiser() -> list[Example]:
    """Denoise with weights that are all zero, which find no noise: real, complex, and volumes."""
    operator = {"use": "gaussian_noise", "sigma": 0.1}

    def example(shape: tuple[int, ...], *, complex_: bool = False, **params: Any) -> Example:
        return Example(
            params={"model": NETWORK, **params},
            operator=operator,
            shape=shape,
            complex=complex_,
            prepare=_weights,
            tolerance=1e-5,
        )

    return [
        example((2, 2, 9, 12), noise_level=0.1),
        example((2, 1, 9, 8), complex_=True, noise_level=0.1, sigma=0.03, value_range=[-1, 1]),
        example((2, 1, 4, 9, 8), complex_=True, complex_as="magnitude"),
    ]


def plug_and_play() -> list[Example]:
    """Total variation as the denoiser, with every algorithm."""
    tv = {"use": "tv", "weight": 2e-3, "iterations": 3, "inner_iterations": 5}
    return [
        Example(
            params={"denoiser": tv, "start": {"use": "pinv", "iterations": 5}, "iterations": 8},
            operator=RADON,
            shape=(2, 1, 20, 17),
            name="admm",
        ),
        Example(
            params={"denoiser": tv, "algorithm": "proximal_gradient", "constraint": "nonnegative", "iterations": 15},
            operator=RADON,
            shape=(2, 1, 20, 17),
            name="proximal gradient",
        ),
        Example(
            params={"denoiser": tv, "algorithm": "hqs", "weight": 0.02, "iterations": 8},
            operator=COILS,
            shape=(2, 1, 20, 21),
            complex=True,
            name="half-quadratic splitting",
        ),
        Example(
            params={"denoiser": tv, "algorithm": "red", "weight": 0.02, "iterations": 8},
            operator=COILS,
            shape=(2, 1, 20, 21),
            complex=True,
            name="red",
        ),
    ]


def _weights(folder: Path) -> Mapping[str, Any]:
    with torch.random.fork_rng(devices=[]):
        model = recon.build("model", NETWORK)
    file = folder / "zero.safetensors"
    file.write_bytes(tensor_bytes({name: value.zero_() for name, value in model.state_dict().items()}))
    return {"weights": str(file)}
