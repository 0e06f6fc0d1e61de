"""The attributes of an image in an HDF5 file.

Any of them may be missing: ``affine`` (4x4, voxel index to RAS+ mm) or ``voxel_size`` (x, y[, z] in mm), ``unit``.
Files of recon's own carry ``recon_image``, the version of the layout, and tell everything: ``dims``, names of the axes;
``dtype``, where HDF5 has no such type; ``quantity``; and ``metadata``, ``notes`` and ``provenance`` in JSON. These are
believed only beside that mark, checked as `Image` checks them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch

from recon.errors import CodedFileError, UsageError
from recon.io import Image
from recon.io.hdf5 import attribute_text
from recon.io.image import check_affine
from recon.io.metadata import UNITS
from recon.io.provenance import Provenance

__all__ = ["MARK", "VERSION", "facts", "store", "typed"]

MARK, VERSION = "recon_image", 1
_MOST_TEXT = 2**20
"""Bytes of an attribute: longer ones are none of ours."""
_TYPES = {
    str(kind).removeprefix("torch."): kind
    for kind in (torch.bool, torch.bfloat16, torch.complex32, torch.uint16, torch.uint32, torch.uint64)
}
"""Types that come back as others unless the file says what they were."""


def store(image: Image, data: h5py.Dataset) -> None:
    """Write what an image is beside its values."""
    found: dict[str, Any] = {
        MARK: VERSION,
        "unit": image.unit,
        "quantity": image.quantity,
        "dims": " ".join(image.dims),
    }
    kind = str(image.data.dtype).removeprefix("torch.")
    if kind in _TYPES:
        found["dtype"] = kind
    if image.affine is not None:
        found["affine"] = image.affine
    elif image.voxel_size is not None:
        found["voxel_size"] = image.voxel_size
    if image.metadata:
        found["metadata"] = json.dumps(dict(image.metadata), sort_keys=True)
    if image.notes:
        found["notes"] = json.dumps(image.notes)
    if image.provenance is not None:
        found["provenance"] = json.dumps(
            {
                "reader": image.provenance.reader,
                "files": image.provenance.files,
                "identifiers": dict(image.provenance.identifiers),
            },
            sort_keys=True,
        )
    for name, value in found.items():
        data.attrs[name] = value


def facts(data: h5py.Dataset, dims: tuple[str, ...], path: Path) -> dict[str, Any]:
    """Return the arguments of `Image` that a dataset's attributes tell, beside the values.

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
        RECON-IMAGE-AFFINE if the place is none, RECON-IMAGE-HEADER if other attributes of our own contradict
        themselves or are of a later version.
    """
    own = MARK in data.attrs
    text = _text(data, "unit", path)
    found: dict[str, Any] = {"unit": text if text in UNITS else "arbitrary", "dims": dims}
    if own:
        found |= _own(data, path)
    found["affine"], found["voxel_size"] = _place(data, 3 if "z" in found["dims"] else 2, path)
    return found


def typed(values: torch.Tensor, data: h5py.Dataset) -> torch.Tensor:
    """Return values in the type that a file of our own names."""
    name = attribute_text(data, "dtype") if MARK in data.attrs else None
    return values.to(_TYPES[name]) if name in _TYPES else values


def _own(data: h5py.Dataset, path: Path) -> dict[str, Any]:
    version = data.attrs[MARK]
    if not np.isscalar(version) or version != VERSION:
        raise CodedFileError(
            "RECON-IMAGE-HEADER",
            f"{path} has another layout version than {VERSION}, which this recon reads: upgrade it",
        )
    try:
        origin = json.loads(_text(data, "provenance", path) or "null")
        metadata = json.loads(_text(data, "metadata", path) or "{}")
        found: dict[str, Any] = {
            "dims": tuple((_text(data, "dims", path) or "").split()),
            "quantity": _text(data, "quantity", path),
            "metadata": {name: tuple(v) if isinstance(v, list) else v for name, v in metadata.items()},
            "notes": tuple(_sentences(json.loads(_text(data, "notes", path) or "[]"))),
        }
        if origin is not None:
            found["provenance"] = Provenance(**origin)
        # Whether all this goes together is for `Image` to say; values do not matter.
        Image(data=torch.zeros(()).expand(data.shape), unit=str(_text(data, "unit", path)), **found)
    except (ValueError, TypeError, AttributeError, RecursionError, UsageError):
        raise CodedFileError(
            "RECON-IMAGE-HEADER", f"{path}: the attributes of the image contradict each other; write the file again"
        ) from None
    return found


def _sentences(notes: Any) -> list[str]:
    if not isinstance(notes, list) or not all(isinstance(note, str) for note in notes):
        raise ValueError("notes must be a list of sentences")
    return notes


def _text(data: h5py.Dataset, name: str, path: Path) -> str | None:
    if name not in data.attrs:
        return None
    # Texts of variable length state the size of a pointer here; what it points to is no longer than the file.
    long = data.attrs.get_id(name).get_storage_size() > _MOST_TEXT
    text = None if long else attribute_text(data, name)
    if long or (text is not None and len(text) > _MOST_TEXT):
        raise CodedFileError("RECON-IMAGE-HEADER", f"{path}: attribute {name} is too long; write the file again")
    return text


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
