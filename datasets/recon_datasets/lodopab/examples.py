"""Small cases for the conformance kit."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recon.testing import Example
from recon_datasets.lodopab.synthetic import phantom, write_lodopab

__all__ = ["dataset", "reader"]


def dataset() -> list[Example]:
    """Return pairs in two files with patients, and the challenge's sinograms alone."""
    return [
        Example(prepare=_pairs, name="pairs"),
        Example(params={"part": "challenge", "units": "normalised"}, prepare=_challenge, name="challenge"),
    ]


def reader() -> list[Example]:
    """Return a file with its images and one without."""
    return [
        Example(prepare=lambda folder: _file(_pairs, folder, "train_000"), name="with images"),
        Example(prepare=lambda folder: _file(_challenge, folder, "challenge_000"), name="sinograms alone"),
    ]


def _file(prepare: Any, folder: Path, name: str) -> Mapping[str, Any]:
    prepare(folder)
    return {"path": folder / f"observation_{name}.hdf5"}


def _pairs(folder: Path) -> Mapping[str, Any]:
    image, sinogram = _phantom()
    for number in range(2):
        write_lodopab(folder / f"ground_truth_train_{number:03d}.hdf5", image)
        write_lodopab(folder / f"observation_train_{number:03d}.hdf5", sinogram)
    (folder / "patient_ids_rand_train.csv").write_text("".join(f"{sample // 100}\n" for sample in range(129)))
    return {"root": folder}


def _challenge(folder: Path) -> Mapping[str, Any]:
    write_lodopab(folder / "observation_challenge_000.hdf5", _phantom()[1])
    return {"root": folder, "part": "challenge"}


@cache
def _phantom() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    image, sinogram = phantom(0)
    return image[None], sinogram[None]
