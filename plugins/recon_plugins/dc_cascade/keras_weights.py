"""Weights of cascades that were trained with Keras."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from recon.errors import FileFormatError
from recon.io.hdf5 import open_hdf5

__all__ = ["state_from_keras"]


def state_from_keras(path: str | Path, convolutions: int) -> dict[str, Tensor]:
    """Return the state dict of a `DCCascade` from a Keras HDF5 file of weights.

    The layers ``conv2d_1``, ``conv2d_2`` ... are taken in the order of their numbers, `convolutions` to each cascade.
    The published cascade of fastMRI's single-coil data (Ramzi et al., Appl. Sci. 10:1816, 2020,
    doi:10.3390/app10051816) has 5 cascades of 6 convolutions and 48 features.

    Raises
    ------
    FileFormatError
        If the file does not hold whole cascades.
    """
    path = Path(path)
    state: dict[str, Tensor] = {}
    with open_hdf5(path) as file:
        names = [name for name in file if re.fullmatch(r"conv2d_\d+", name)]
        names.sort(key=lambda name: int(name.rpartition("_")[2]))
        if not names or len(names) % convolutions:
            raise FileFormatError(
                f"{path} holds {len(names)} layers conv2d_*, which are no cascades of {convolutions} convolutions"
            )
        for number, name in enumerate(names):
            cascade, layer = divmod(number, convolutions)
            prefix = f"networks.{cascade}.{2 * layer}"
            try:
                kernel, bias = (np.asarray(file[f"{name}/{name}/{part}:0"]) for part in ("kernel", "bias"))
            except KeyError as error:
                raise FileFormatError(f"{path}: layer {name} has no kernel and bias") from error
            # (height, width, in, out); Keras correlates as torch does.
            state[f"{prefix}.weight"] = torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy())
            state[f"{prefix}.bias"] = torch.from_numpy(bias)
    return state
