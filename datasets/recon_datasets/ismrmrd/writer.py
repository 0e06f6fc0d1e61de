"""Writing ISMRMRD files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch

from recon.errors import UsageError
from recon.io import Image, Measurement
from recon.io.mrd_header import Encoding, Limit, Space, header_xml
from recon.io.raw.readouts import HEAD, Flag, Readouts

__all__ = ["ISMRMRDWriter", "write_readouts"]

_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0])


class ISMRMRDWriter:
    """Writes Cartesian k-space as an ISMRMRD scan (MRD version 1), one readout a measured line.

    Data (batch, coil, y, x) or (batch, coil, z, y, x) of the operator ``fourier``: x is the readout, y and z are the
    encoding steps. Lines that the mask leaves out are not written; lines of calibration data are flagged as
    calibration, or as both where they are data too. The measurement's crop becomes the reconstructed space, and its
    affine the positions and directions of the readouts (RAS turned to LPS). The maker of
    the scanner is not written, as readers take the samples of some (Siemens) for conjugate ones, which these no longer
    are; nor is what the file cannot hold: reference image and notes.
    """

    def write(self, image: Image | Measurement, path: Path) -> None:
        """Write a measurement.

        Raises
        ------
        UsageError
            For an image, or a measurement that is not Cartesian, whose mask changes along the readout, or whose size
            the format's 16-bit counters do not hold.
        """
        if not isinstance(image, Measurement):
            raise UsageError("an ISMRMRD scan holds a measurement, not an image: write .nii.gz or .h5")
        config = image.operator_config
        if config is None or config.get("use") != "fourier" or config.keys() - {"use", "mask", "dimensions"}:
            raise UsageError("only measurements of the operator 'fourier' are written as an ISMRMRD scan; write .h5")
        data = image.data.detach().resolve_conj().cpu().to(torch.complex64)
        dimensions = int(config.get("dimensions", 2))
        if data.ndim != dimensions + 2 or max(data.shape) >= 2**16:
            raise UsageError(f"data of shape {tuple(data.shape)} are not Cartesian k-space that an ISMRMRD scan holds")
        calibration = None if image.calibration is None else image.calibration.detach().resolve_conj().cpu()
        if dimensions == 2:
            data = data[:, :, None]
            calibration = None if calibration is None else calibration[:, :, None]
        sampled = _sampled(config.get("mask"), tuple(data.shape), dimensions)
        readouts = _readouts(image, data, sampled, calibration, dimensions)
        write_readouts(path, _header(image, tuple(data.shape), dimensions, readouts), readouts)


def write_readouts(
    path: Path, header: str | None, readouts: Readouts, *, group: str = "dataset", append: bool = False
) -> None:
    """Write readouts, and the XML of their header if there is one, to a group of a new file, or of one that exists.

    The layout is that of the ISMRMRD library: a growing list of records (head, traj, data), one a chunk.
    """
    numbers = h5py.vlen_dtype(np.float32)
    records = np.empty(len(readouts), dtype=[("head", HEAD), ("traj", numbers), ("data", numbers)])
    records["head"] = readouts.head
    for i, samples in enumerate(readouts.data):
        records["data"][i] = np.ascontiguousarray(samples, dtype=np.complex64).view(np.float32).ravel()
        trajectory = () if readouts.trajectory is None else readouts.trajectory[i]
        records["traj"][i] = np.asarray(trajectory, dtype=np.float32).ravel()
    with h5py.File(path, "a" if append else "w") as file:
        made = file.create_group(group)
        made.create_dataset("data", data=records, maxshape=(None,), chunks=(1,))
        if header is not None:
            made.create_dataset("xml", data=[header.encode()], dtype=h5py.string_dtype(), maxshape=(None,))


def _sampled(mask: Any, shape: tuple[int, ...], dimensions: int) -> np.ndarray:
    """Return which lines (batch, z, y) were measured."""
    batch, _, nz, ny, nx = shape
    if mask is None:
        return np.ones((batch, nz, ny), dtype=bool)
    if isinstance(mask, Mapping):
        raise UsageError("the operator's mask is a rule; an ISMRMRD scan needs the lines: give the mask as a tensor")
    found = torch.as_tensor(mask).bool().cpu()
    if found.ndim == dimensions + 2:
        found = found[:, 0]
    full = torch.broadcast_to(found, (batch, *shape[-dimensions:])).reshape(batch, nz, ny, nx)
    if not bool((full == full[..., :1]).all()):
        raise UsageError(
            "the mask changes along the last axis, which is the readout of an ISMRMRD scan: transpose the k-space"
        )
    return full[..., 0].numpy()


def _readouts(
    image: Measurement, data: torch.Tensor, sampled: np.ndarray, calibration: torch.Tensor | None, dimensions: int
) -> Readouts:
    calibrates = np.zeros_like(sampled) if calibration is None else (calibration != 0).any(-1).any(1).numpy()
    item, z, y = np.nonzero(sampled | calibrates)
    imaging, calibrating = sampled[item, z, y], calibrates[item, z, y]
    head = np.zeros(len(item), dtype=HEAD)
    head["version"] = 1
    head["scan_counter"] = np.arange(1, len(item) + 1)
    head["number_of_samples"] = data.shape[-1]
    head["center_sample"] = data.shape[-1] // 2
    head["active_channels"] = head["available_channels"] = data.shape[1]
    head["idx"]["kspace_encode_step_1"], head["idx"]["kspace_encode_step_2"] = y, z
    for flag, chosen in (
        (Flag.CALIBRATION, calibrating & ~imaging),
        (Flag.CALIBRATION_AND_IMAGING, calibrating & imaging),
    ):
        head["flags"][chosen] |= np.uint64(1 << (flag - 1))
    _count(image, head, item)
    _place(image, head, data.shape, dimensions)
    both = [data[i, :, a, b].numpy() if kept else calibration[i, :, a, b].numpy()  # type: ignore[index]
            for i, a, b, kept in zip(item, z, y, imaging, strict=True)]  # fmt: skip
    return Readouts(head, both)


def _count(image: Measurement, head: np.ndarray, item: np.ndarray) -> None:
    """Set the counters that the axes of the batch are named after."""
    known = {"average", "repetition", "contrast", "phase", "set", "segment"}
    space = len(image.shape) - 2
    dims = image.dims or ()
    sizes = image.batch or (image.shape[0],)
    outer = dims[: len(dims) - space] if len(dims) - space == len(sizes) else ("",) * len(sizes)
    unnamed = [name for name in ("slice", "repetition", "contrast", "set") if name not in outer]
    for name, index in zip(outer, np.unravel_index(item, sizes), strict=True):
        counter = name if name in known else "slice" if name == "z" and "slice" in unnamed else unnamed[0]
        if counter in unnamed:
            unnamed.remove(counter)
        head["idx"][counter] = index


def _place(image: Measurement, head: np.ndarray, shape: torch.Size, dimensions: int) -> None:
    """Turn the affine into directions and the position of each readout."""
    if image.affine is None:
        return
    steps = (_RAS_TO_LPS @ image.affine[:3, :3]).T  # of x, y and z
    matrix = shape[:1:-1]
    kept = (image.crop or tuple(shape[-dimensions:]))[::-1]
    kept = (*kept, 1)[:3]
    centre = np.array([n // 2 - (n - k) // 2 for n, k in zip(matrix, kept, strict=True)])
    origin = _RAS_TO_LPS @ image.affine[:3, 3] + centre @ steps
    for name, step in zip(("read_dir", "phase_dir", "slice_dir"), steps, strict=True):
        head[name] = step / np.linalg.norm(step)
    head["position"] = origin + (head["idx"]["slice"][:, None] * steps[2] if dimensions == 2 else 0)


def _header(image: Measurement, shape: tuple[int, ...], dimensions: int, readouts: Readouts) -> str:
    matrix = (shape[4], shape[3], shape[2])
    kept = (*(image.crop or shape[-dimensions:])[::-1], 1)[:3]
    voxel = image.voxel_size
    if image.affine is not None:
        x, y, z = np.linalg.norm(image.affine[:3, :3], axis=0).tolist()
        voxel = (x, y, z)
    encoded, recon = Space(matrix), Space((kept[0], kept[1], kept[2]))
    if voxel is not None:
        size = (*voxel, 1.0)[:3]
        encoded, recon = (
            Space(space.matrix, tuple(n * d for n, d in zip(space.matrix, size, strict=True)))  # type: ignore[arg-type]
            for space in (encoded, recon)
        )
    limits = {
        "kspace_encoding_step_1": Limit(0, matrix[1] - 1, matrix[1] // 2),
        "kspace_encoding_step_2": Limit(0, matrix[2] - 1, matrix[2] // 2 if dimensions == 3 else 0),
    }
    # In the order of the schema.
    for name in ("average", "slice", "contrast", "phase", "repetition", "set", "segment"):
        limits[name] = Limit(0, int(readouts.counter(name).max(initial=0)), 0)
    facts = {name: value for name, value in image.metadata.items() if name != "manufacturer"}
    return header_xml(Encoding(encoded, recon, limits), facts, coils=shape[1])
