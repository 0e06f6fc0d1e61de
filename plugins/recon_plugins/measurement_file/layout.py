"""The layout of a measurement file, version 1.

::

    /                     attributes: recon_measurement = 1, recon_operator (JSON config or absent)
    /measurement          (batch, coil or channel, ...), complex as HDF5's usual compound of r and i
    /calibration          (optional) like /measurement
    /operator_arrays/N    arrays of the config, which the JSON names as {"$array": N}
    /reference            (optional) image, with its geometry as attributes

Several operators are one config, ``{"use": "chain", "operators": [...]}``, the first of which acts first.

Geometry attributes of ``/measurement`` (of the image to be reconstructed) and ``/reference``: affine (4, 4),
voxel_size, unit, dims, metadata (JSON), notes. ``/measurement`` may also have crop and batch.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import h5py
import numpy as np
import torch

from recon.errors import FileFormatError, UsageError
from recon.io import Image, Measurement

__all__ = ["ARRAYS", "OPERATOR", "VERSION", "VERSION_KEY", "decode", "encode", "geometry", "store_geometry"]

VERSION_KEY = "recon_measurement"
VERSION = 1
OPERATOR = "recon_operator"
ARRAYS = "operator_arrays"
_ARRAY = "$array"
_SIZES = ("crop", "batch")
"""Attributes of a measurement alone."""


def encode(config: Any, keep: Callable[[np.ndarray], str]) -> Any:
    """Turn a config into what JSON can hold; `keep` stores an array and returns its name.

    Raises
    ------
    UsageError
        If a value is neither plain nor an array.
    """
    if isinstance(config, torch.Tensor):
        config = config.detach().resolve_conj().resolve_neg().cpu().numpy()
    if isinstance(config, np.ndarray):
        return {_ARRAY: keep(config)}
    if isinstance(config, Mapping):
        return {str(key): encode(value, keep) for key, value in config.items()}
    if isinstance(config, (list, tuple)):
        return [encode(value, keep) for value in config]
    if config is None or isinstance(config, (bool, int, float, str)):
        return config
    if isinstance(config, np.generic):
        return config.item()
    raise UsageError(f"the operator's config holds a {type(config).__name__}, which a file cannot: give plain values")


def decode(config: Any, fetch: Callable[[str], torch.Tensor]) -> Any:
    """Undo `encode`."""
    if isinstance(config, dict):
        if config.keys() == {_ARRAY}:
            return fetch(str(config[_ARRAY]))
        return {key: decode(value, fetch) for key, value in config.items()}
    return [decode(value, fetch) for value in config] if isinstance(config, list) else config


def store_geometry(item: h5py.Dataset, of: Image | Measurement) -> None:
    """Write geometry, unit, metadata and notes as attributes."""
    if of.affine is not None:
        item.attrs["affine"] = of.affine
    if of.voxel_size is not None:
        item.attrs["voxel_size"] = of.voxel_size
    if of.dims is not None:
        item.attrs["dims"] = json.dumps(of.dims)
    if isinstance(of, Measurement):
        for name in _SIZES:
            if getattr(of, name) is not None:
                item.attrs[name] = getattr(of, name)
    item.attrs["unit"] = of.unit
    item.attrs["metadata"] = json.dumps(dict(of.metadata))
    item.attrs["notes"] = json.dumps(of.notes)


def geometry(item: h5py.Dataset) -> dict[str, Any]:
    """Read what `store_geometry` wrote, as keyword arguments of Image and Measurement."""
    attributes = item.attrs
    try:
        found: dict[str, Any] = {
            "unit": str(attributes["unit"]),
            "metadata": json.loads(attributes["metadata"]),
            "notes": tuple(json.loads(attributes["notes"])),
        }
        for name in ("affine", "voxel_size"):
            if name in attributes:
                found[name] = np.asarray(attributes[name])
        for name in _SIZES:
            if name in attributes:
                found[name] = tuple(np.asarray(attributes[name]).tolist())
        if "dims" in attributes:
            found["dims"] = tuple(json.loads(attributes["dims"]))
    except (KeyError, ValueError, TypeError) as error:
        raise FileFormatError(f"{item.file.filename}:{item.name} has damaged attributes: {error}") from error
    return found
