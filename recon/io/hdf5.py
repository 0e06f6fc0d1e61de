"""Opening HDF5 files of others: what they declare is checked before it is followed or allocated."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from recon.errors import CodedFileError, FileFormatError
from recon.io.hdf5_heap import check_attribute, check_chunks, check_values
from recon.io.listing import check_is_file

__all__ = ["MAGIC", "MAX_RATIO", "MAX_UNCHECKED", "attribute_text", "dataset", "memory_map", "open_hdf5"]

MAGIC = (0, b"\x89HDF\r\n\x1a\n")
"""Offset and mark of an HDF5 file, for `recon.Component.magic`."""

MAX_RATIO = 1000
"""Largest accepted ratio of declared to stored bytes; deflate itself reaches 1032 on constant data."""

MAX_UNCHECKED = 2**26
"""Datasets up to so many bytes may compress as they like."""

_DAMAGE = (OSError, RuntimeError, LookupError, ValueError, TypeError, OverflowError, MemoryError)
"""What h5py raises on files whose structure is damaged."""


@contextmanager
def open_hdf5(path: str | Path) -> Iterator[h5py.File]:
    """Open a file for reading.

    Raises
    ------
    FileFormatError
        If it is missing, not HDF5, or damaged; also for damage found inside the block.
    """
    path = Path(path)
    check_is_file(path)
    try:
        with h5py.File(path, "r") as file:
            yield file
    except _DAMAGE as error:
        reason = " ".join(str(error).split())
        raise CodedFileError(
            "RECON-HDF5-DAMAGED", f"{path} is not a readable HDF5 file (damaged or cut off?): {reason}"
        ) from error


def dataset(group: h5py.Group, name: str) -> h5py.Dataset | None:
    """Return a dataset of the file itself, or None if there is none of that name.

    Raises
    ------
    FileFormatError
        If it is a group, if the link or the data lead out of this file, or if it declares absurdly more bytes than it
        stores.
    ValueError
        If elements of variable length are damaged; `open_hdf5` gives it its code.
    """
    where = f"{group.file.filename}:{name}"
    parts = name.split("/")
    for depth in range(1, len(parts) + 1):
        link = group.get("/".join(parts[:depth]), getlink=True)
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            raise CodedFileError("RECON-HDF5-UNSAFE", f"{where} is a link; only data inside the file itself are read")
    found = group[name]
    if not isinstance(found, h5py.Dataset):
        raise CodedFileError("RECON-HDF5-KIND", f"{where} is a {type(found).__name__.lower()}, not a dataset")
    if found.external or found.is_virtual:
        raise CodedFileError(
            "RECON-HDF5-UNSAFE", f"{where} keeps its data in other files; only data inside the file itself are read"
        )
    declared = math.prod(found.shape or (0,)) * found.dtype.itemsize
    stored = found.id.get_storage_size()
    if declared > MAX_UNCHECKED and declared > MAX_RATIO * stored:
        raise CodedFileError(
            "RECON-HDF5-UNSAFE",
            f"{where} declares {declared} bytes but stores {stored}; the file is damaged or hostile",
        )
    if found.chunks is not None:
        check_chunks(found)
    if found.chunks is not None and found.dtype.kind in "biufc" and not _chunks_are_whole(found):
        raise CodedFileError("RECON-HDF5-DAMAGED", f"{where} stores chunks that are not of the declared size")
    if found.dtype.hasobject:
        check_values(found)
    return found


def _chunks_are_whole(data: h5py.Dataset) -> bool:
    """Whether chunks that no filter has packed hold the declared bytes: HDF5 would fill them up with stale memory."""
    properties = data.id.get_create_plist()
    filters = [properties.get_filter(number)[0] for number in range(properties.get_nfilters())]
    size = math.prod(data.chunks) * data.id.get_type().get_size()
    whole = []

    def look(chunk: Any) -> None:
        used = [code for number, code in enumerate(filters) if not chunk.filter_mask >> number & 1]
        if all(code in (h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32) for code in used):
            whole.append(chunk.size == size + 4 * used.count(h5py.h5z.FILTER_FLETCHER32))

    data.id.chunk_iter(look)
    return all(whole)


def memory_map(data: h5py.Dataset) -> np.ndarray | None:
    """Map the values of a dataset from its file into memory, past h5py; None where they do not lie there as they are.

    They do where the dataset is contiguous: neither chunked nor compressed, written, in this file. Nothing is read
    until a value is used, the map outlives the open file and a fork, and what is written to it does not reach the file.

    Raises
    ------
    FileFormatError
        If the file ends before its data.
    """
    if data.chunks is not None or data.compression is not None or data.external or data.is_virtual:
        return None
    if data.dtype.kind not in "biufc" or h5py.check_enum_dtype(data.dtype) is not None:
        return None
    offset, path = data.id.get_offset(), data.file.filename
    # What was never written has no place; behind a user block, HDF5 would name a wrong one.
    if offset is None or data.size == 0 or data.id.get_storage_size() != data.nbytes:
        return None
    try:
        # Copy on write: torch takes no array that cannot be written.
        return np.memmap(path, dtype=data.dtype, mode="c", offset=offset, shape=data.shape)
    except (ValueError, OverflowError) as error:
        raise FileFormatError(f"{path} is cut off: it ends before the data of {data.name[1:]!r}") from error


def attribute_text(item: h5py.HLObject, name: str) -> str | None:
    """Return a text attribute, or None if it is missing or not text."""
    if name not in item.attrs:
        return None
    attribute = item.attrs.get_id(name)
    if attribute.shape != () or attribute.get_type().get_class() != h5py.h5t.STRING:
        return None
    check_attribute(item, name)
    value = item.attrs.get(name)
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return value if isinstance(value, str) else None
