"""Small cases of the classical methods for the conformance kit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from recon.engine.checkpoint import tensor_bytes
from recon.experiment import Experiment
from recon.testing import Example

__all__ = ["adjoint", "network", "pinv", "tv"]

COLUMNS = {"kind": "random", "acceleration": 1.5, "center_fraction": 0.4}
FOURIER = {"use": "fourier", "mask": COLUMNS}
COILS = {"use": "multicoil_fourier", "maps": {"coils": 4}, "mask": COLUMNS | {"acceleration": 2.0}}
RADON = {"use": "radon", "size": [20, 17], "angles": 24, "pixel": 0.7}


def adjoint() -> list[Example]:
    """k-space with its low frequencies."""
    return [
        Example(params={}, operator=FOURIER, shape=(2, 1, 20, 21), complex=True, name="zero-filled"),
        Example(params={"output": "real"}, operator="fourier", shape=(2, 1, 9, 8), name="full k-space of a real image"),
    ]


def pinv() -> list[Example]:
    """Several coils, and projections."""
    return [
        Example(params={"iterations": 30}, operator=COILS, shape=(2, 1, 20, 21), complex=True, name="cg-sense"),
        Example(params={"iterations": 30}, operator=RADON, shape=(2, 1, 20, 17), name="projections"),
        Example(params={"damping": 1e-3}, operator=FOURIER, shape=(2, 1, 9, 12), complex=True, name="damped"),
    ]


def tv() -> list[Example]:
    """Several coils, and projections of a real image."""
    return [
        Example(
            params={"weight": 1e-3, "iterations": 40}, operator=COILS, shape=(2, 1, 20, 21), complex=True, name="coils"
        ),
        Example(params={"weight": 1e-2, "iterations": 40}, operator=RADON, shape=(2, 2, 20, 17), name="projections"),
        Example(
            params={"weight": 1e-3, "constraint": "real"}, operator=FOURIER, shape=(2, 1, 15, 12), name="real image"
        ),
    ]


EXPERIMENT = """
name: denoise
regime: pairs
data: {train: {use: random_ellipses, size: [16, 16], count: 4}, simulate: true}
forward: {use: gaussian_noise, sigma: 0.1}
model: {use: dncnn, layers: 3, features: 4}
loss: mse
training: {steps: 1, batch_size: 2}
"""


def network() -> list[Example]:
    """Denoise with weights that are all zero: no noise is found."""

    def prepare(folder: Path) -> Mapping[str, Any]:
        file = folder / "denoise.yaml"
        file.write_text(EXPERIMENT)
        experiment = Experiment.load(file)
        run = experiment.run_folder(folder / "run")
        run.prepare(resume=False)
        run.describe(resume=False, seed=0)
        state = experiment.build_model().state_dict()
        weights = tensor_bytes({name: torch.zeros_like(value) for name, value in state.items()})
        run.checkpoints.write("best", 1, {"model.safetensors": weights})
        return {"run": str(run.path)}

    operator = {"use": "gaussian_noise", "sigma": 0.1}
    return [Example(operator=operator, shape=(2, 1, 9, 12), prepare=prepare, tolerance=1e-6)]
