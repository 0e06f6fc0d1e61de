"""The records of an ISMRMRD file: header and readouts, read in bulk."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from recon.errors import FileFormatError
from recon.io.hdf5 import dataset
from recon.io.mrd_header import MRDHeader, parse_header
from recon.io.raw.readouts import HEAD, Readouts

__all__ = ["groups", "read_records"]

_NEEDED = frozenset(HEAD.names or ()) - {
    "version", "measurement_uid", "physiology_time_stamp", "acquisition_time_stamp", "available_channels",
    "channel_mask", "patient_table_position", "user_int", "user_float", "scan_counter",
}  # fmt: skip


def groups(file: h5py.File) -> list[str]:
    """Return the names of the groups that hold readouts, with header or without, in the file's order."""
    return [name for name in file if _is_scan(file, name)]


def read_records(file: h5py.File, group: str | None, path: Path) -> tuple[MRDHeader, Readouts]:
    """Read a scan.

    Raises
    ------
    FileFormatError
        If there is none or several, or readouts are damaged.
    """
    name = _chosen(file, group, path)
    stored = dataset(file, f"{name}/xml")
    if stored is None or stored.size != 1:
        raise FileFormatError(f"{path}: '{name}' has no header ('{name}/xml'), which tells where readouts belong")
    text = np.asarray(stored[()]).reshape(-1)[0]
    header = parse_header(text if isinstance(text, (str, bytes)) else str(text), str(path))
    data = dataset(file, f"{name}/data")
    if data is None or data.ndim != 1:
        raise FileFormatError(f"{path}: '{name}/data' is not a list of readouts")
    head = data.dtype["head"]
    if not all(_alike(head[field], HEAD[field]) for field in set(head.names or ()) & set(HEAD.names or ())):
        # h5py puts what follows such a field elsewhere than it looks for it, and ends the process.
        raise FileFormatError(f"{path}: the heads of readouts are not of ISMRMRD's types; the file is damaged")
    records = data[:]
    head = records["head"]
    channels, samples = head["active_channels"].astype(np.int64), head["number_of_samples"].astype(np.int64)
    sizes = np.fromiter((part.size for part in records["data"]), np.int64, len(records))
    wrong = np.flatnonzero((sizes != 2 * channels * samples) | (sizes == 0))
    if len(wrong):
        i = int(wrong[0])
        raise FileFormatError(
            f"{path}: readout {i} holds {sizes[i] // 2} samples, its header says {channels[i]} channels of {samples[i]}"
        )
    values = [
        part.view(np.complex64).reshape(shape)
        for part, *shape in zip(records["data"], channels.tolist(), samples.tolist(), strict=True)
    ]
    return header, Readouts(head, values, _trajectories(records, path))


def _alike(found: np.dtype, wanted: np.dtype) -> bool:
    """Whether two types hold the same, wherever their fields lie and in whatever order their bytes."""
    if found.shape != wanted.shape or found.names != wanted.names:
        return False
    if wanted.names:
        return all(_alike(found[name], wanted[name]) for name in wanted.names)
    return found.base.kind == wanted.base.kind and found.base.itemsize == wanted.base.itemsize


def _trajectories(records: np.ndarray, path: Path) -> list[np.ndarray] | None:
    dimensions = records["head"]["trajectory_dimensions"].astype(np.int64)
    if not dimensions.any():
        return None
    lengths = records["head"]["number_of_samples"].astype(np.int64) * dimensions
    for i, (part, length) in enumerate(zip(records["traj"], lengths, strict=True)):
        if part.size != length:
            raise FileFormatError(f"{path}: the trajectory of readout {i} holds {part.size} numbers, not {length}")
    return [part.reshape(-1, max(1, d)) for part, d in zip(records["traj"], dimensions, strict=True)]


def _chosen(file: h5py.File, group: str | None, path: Path) -> str:
    found = groups(file)
    if group is not None:
        if group not in found:
            raise FileFormatError(f"{path} has no scan {group!r}, but {', '.join(found) or 'none'}")
        return group
    if not found:
        names = ", ".join(sorted(file)) or "nothing"
        hint = "; a fastMRI file needs the reader 'fastmri'" if "kspace" in file else ""
        raise FileFormatError(f"{path} is not an ISMRMRD file: it has no group with readouts but {names}{hint}")
    if len(found) > 1:
        raise FileFormatError(f"{path} holds several scans, {', '.join(found)}: say which with group=")
    return found[0]


def _is_scan(file: h5py.File, name: str) -> bool:
    if not isinstance(file.get(name, getlink=True), h5py.HardLink) or not isinstance(file[name], h5py.Group):
        return False
    if not isinstance(file[name].get("data", getlink=True), h5py.HardLink):
        return False
    data = file[name]["data"]
    fields = data.dtype.fields if isinstance(data, h5py.Dataset) else None
    if not fields or not {"head", "traj", "data"} <= set(fields):
        return False
    return set(fields["head"][0].names or ()) >= _NEEDED and all(
        h5py.check_vlen_dtype(fields[part][0]) == np.float32 for part in ("traj", "data")
    )
