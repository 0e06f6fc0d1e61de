"""What an HDF5 file tells of an image beside its values.

Attributes of the dataset, any of which may be missing: ``affine`` (4x4, voxel index to RAS+ mm) or ``voxel_size``
(x, y[, z] in mm), ``unit``. Files of recon's own also have the attribute ``recon_image``, the version of the layout,
and beside the image a dataset ``about``: JSON in UTF-8, as bytes, with ``dims``, ``quantity``, ``metadata``, ``notes``,
``provenance``, and ``dtype`` where HDF5 has no such type. It is believed only beside that mark, and checked as `Image`
checks it. Texts of variable length are avoided: the HDF5 library crashes where such a one is damaged.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch

from recon.errors import CodedFileError, UsageError
from recon.io import Image
from recon.io.hdf5 import attribute_text, dataset
from recon.io.image import check_affine
from recon.io.metadata import UNITS
from recon.io.provenance import Provenance

__all__ = ["MARK", "VERSION", "facts", "store", "typed"]

MARK, VERSION = "recon_image", 1
_ABOUT = "about"
_MOST_TEXT = 2**24
"""Bytes of that text: longer ones are none of ours."""
_TYPES = {
    str(kind).removeprefix("torch."): kind
    for kind in (torch.bool, torch.bfloat16, torch.complex32, torch.uint16, torch.uint32, torch.uint64)
}
"""Types that come back as others unless the file says what they were."""


def store(image: Image, data: h5py.Dataset) -> None:
    """Write what an image is beside its values."""
    about: dict[str, Any] = {"dims": image.dims, "quantity": image.quantity}
    kind = str(image.data.dtype).removeprefix("torch.")
    if kind in _TYPES:
        about["dtype"] = kind
    about |= {"metadata": dict(image.metadata)} if image.metadata else {}
    about |= {"notes": image.notes} if image.notes else {}
    if image.provenance is not None:
        about["provenance"] = asdict(image.provenance)
    data.attrs[MARK] = VERSION
    data.attrs["unit"] = np.bytes_(image.unit)
    if image.affine is not None:
        data.attrs["affine"] = image.affine
    elif image.voxel_size is not None:
        data.attrs["voxel_size"] = image.voxel_size
    text = json.dumps(about, sort_keys=True).encode()
    data.parent.create_dataset(_ABOUT, data=np.frombuffer(text, np.uint8))


def facts(data: h5py.Dataset, dims: tuple[str, ...], path: Path) -> dict[str, Any]:
    """Return the arguments of `Image` that the file tells, beside the values, and perhaps their ``dtype``.

    Parameters
    ----------
    data
        The dataset.
    dims
        Names of its axes, where it does not tell.
    path
        Begins messages.

    Raises
    ------
    CodedFileError
        RECON-IMAGE-AFFINE if the place is none, RECON-IMAGE-HEADER if a file of our own contradicts itself or is of a
        later version.
    """
    if MARK in data.attrs:
        return _own(data, path)
    text = attribute_text(data, "unit")
    affine, sizes = _place(data, 3 if "z" in dims else 2, path)
    return {"unit": text if text in UNITS else "arbitrary", "dims": dims, "affine": affine, "voxel_size": sizes}


def typed(values: torch.Tensor, kind: str | None) -> torch.Tensor:
    """Return values in the type of a name, if it is one that HDF5 has not."""
    return values if kind is None else values.to(_TYPES[kind])


def _own(data: h5py.Dataset, path: Path) -> dict[str, Any]:
    version = data.attrs[MARK]
    if not np.isscalar(version) or version != VERSION:
        raise CodedFileError(
            "RECON-IMAGE-HEADER",
            f"{path} has another layout version than {VERSION}, which this recon reads: upgrade it",
        )
    unit = data.attrs.get_id("unit").dtype if "unit" in data.attrs else np.dtype("O")
    stored = dataset(data.parent, _ABOUT)
    try:
        if stored is None or stored.dtype != np.uint8 or stored.ndim != 1 or stored.size > _MOST_TEXT:
            raise ValueError("no text of ours")
        about = json.loads(stored[()].tobytes())
        if unit.kind != "S" or set(about) - {"dims", "quantity", "metadata", "notes", "provenance", "dtype"}:
            raise ValueError("not what we write")
        metadata, origin = about.get("metadata", {}), about.get("provenance")
        found: dict[str, Any] = {
            "unit": attribute_text(data, "unit"),
            "dims": tuple(about["dims"]),
            "quantity": about["quantity"],
            "metadata": {name: tuple(v) if isinstance(v, list) else v for name, v in metadata.items()},
            "notes": tuple(_sentences(about.get("notes", []))),
        }
        if origin is not None:
            found["provenance"] = Provenance(**origin)
        # Whether all this goes together is for `Image` to say; values do not matter.
        Image(data=torch.zeros(()).expand(data.shape), **found)
        if about.get("dtype", "bool") not in _TYPES:
            raise ValueError("no such type")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, UsageError):
        raise CodedFileError(
            "RECON-IMAGE-HEADER", f"{path}: what it tells of the image contradicts itself; write the file again"
        ) from None
    found["affine"], found["voxel_size"] = _place(data, 3 if "z" in found["dims"] else 2, path)
    return {**found, "dtype": about.get("dtype")}


def _sentences(notes: Any) -> list[str]:
    if not isinstance(notes, list) or not all(isinstance(note, str) for note in notes):
        raise ValueError("notes must be a list of sentences")
    return notes


def _place(found: h5py.Dataset, space: int, path: Path) -> tuple[np.ndarray | None, tuple[float, ...] | None]:
    """Return affine and voxel size."""
    try:
        if "affine" in found.attrs:
            return check_affine(np.asarray(found.attrs["affine"], dtype=np.float64)), None
        if "voxel_size" not in found.attrs:
            return None, None
        sizes = tuple(float(size) for size in np.asarray(found.attrs["voxel_size"], dtype=np.float64).ravel())
    except (TypeError, ValueError, UsageError):
        raise CodedFileError(
            "RECON-IMAGE-AFFINE", f"{path}: affine must be a finite, invertible 4x4 matrix, voxel_size lengths"
        ) from None
    if len(sizes) != space or not all(0 < size < float("inf") for size in sizes):
        raise CodedFileError("RECON-IMAGE-AFFINE", f"{path}: voxel_size must be {space} positive lengths")
    return None, sizes
