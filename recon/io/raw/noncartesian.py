"""Scans along stored trajectories as measurements."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recon.errors import FileFormatError
from recon.io.measurement import Measurement
from recon.io.mrd_header import Encoding, MRDHeader
from recon.io.raw.coils import compression, treatment
from recon.io.raw.options import ScanOptions, TrajectoryUnit
from recon.io.raw.place import crop_of, facts_of, place_of
from recon.io.raw.readouts import Readouts
from recon.io.raw.selection import Selection, batch_axes

__all__ = ["noncartesian_measurement"]

_SLACK = 0.5
"""How far beyond the encoded range a trajectory may reach, in cycles per field of view."""
_LEAST = 0.2
"""Least share of the encoded range that a trajectory reaches in its true unit."""


def noncartesian_measurement(
    selected: Selection, encoding: Encoding, header: MRDHeader, options: ScanOptions, notes: list[str], where: str
) -> Measurement:
    """Arrange readouts in the order of measurement, for the operator ``nufft``.

    The data are (batch, coil, readout, sample), of a volume where trajectories have three dimensions and the encoded
    matrix has several partitions. The image has the encoded matrix and its field of view.

    Raises
    ------
    FileFormatError
        If a trajectory is missing, its unit is not given or does not fit its range, or items of the batch have
        different numbers of readouts or samples.
    """
    imaging = selected.imaging
    kind = encoding.trajectory
    if imaging.trajectory is None or not imaging.head["trajectory_dimensions"].all():
        raise FileFormatError(
            f"{where}: a {kind} scan whose readouts hold no trajectory; compute it by the scanner's protocol and give "
            "it to the operator nufft"
        )
    if options.trajectory_unit is None:
        raise FileFormatError(
            f"{where}: a {kind} scan, whose trajectory reaches {_reach(imaging):.4g}; the format defines no unit, so "
            "say which it is with trajectory_unit=: cycles_per_fov, cycles_per_pixel, radians_per_pixel, 1/m or rad/m"
        )
    matrix = encoding.encoded.matrix or (1, 1, 1)
    stored = int(imaging.head["trajectory_dimensions"].min())
    dimensions: Literal[2, 3] = 3 if stored >= 3 and matrix[2] > 1 else 2
    if stored < 2:
        raise FileFormatError(f"{where}: its trajectory has {stored} dimension; an image needs 2 or 3")
    if dimensions == 2:
        matrix = (matrix[0], matrix[1], 1)
    if stored > dimensions:
        notes.append(f"of {stored} numbers a sample in the trajectory the first {dimensions} are taken as k")
    if len(selected.calibrating):
        notes.append(f"{len(selected.calibrating)} calibration readouts left out")
    batch = batch_axes(imaging, options, notes)
    item, count = batch.items(imaging), math.prod(batch.shape)
    samples, points = _blocks(imaging, item, count, dimensions, where)
    data = torch.from_numpy(samples)
    for step in treatment(selected, header, options, notes, where):
        data = step(data)
    data = data.reshape(count, -1, *data.shape[1:]).transpose(1, 2).contiguous()
    trajectory = _cycles(points, options.trajectory_unit, encoding, matrix, where)
    trajectory = trajectory.reshape(count, -1, *trajectory.shape[1:])
    config: dict[str, object] = {"use": "nufft", "size": list(matrix[::-1][-dimensions:]), "unit": "cycles_per_fov"}
    if bool((trajectory == trajectory[:1]).all()):
        config["trajectory"] = trajectory[0]
    else:
        config |= {"trajectory": trajectory, "frames": True}
    if options.compress is not None:
        data = compression(data, options.compress, notes).compress(data)
    crop = crop_of(encoding, matrix)
    affine, voxel, note = place_of(imaging, batch.slices, encoding, matrix, crop, dimensions)
    dims, sizes = batch.dims(dimensions)
    return Measurement(
        data=data,
        operator_config=config,
        affine=affine,
        voxel_size=voxel,
        dims=dims,
        batch=sizes,
        crop=crop[::-1][-dimensions:] if crop != matrix else None,
        metadata={**header.facts, **facts_of(encoding, dimensions), "coils": data.shape[1]},
        notes=(*notes, note) if note else tuple(notes),
    )


def _blocks(
    imaging: Readouts, item: NDArray[np.int64], count: int, dimensions: int, where: str
) -> tuple[NDArray[np.complex64], NDArray[np.float32]]:
    """Return samples (readout, channel, sample) and points (readout, sample, dimension), by item of the batch."""
    assert imaging.trajectory is not None  # noqa: S101 - checked before
    order = np.argsort(item, kind="stable").tolist()
    head = imaging.head
    first = head["discard_pre"].astype(np.int64)
    last = head["number_of_samples"].astype(np.int64) - head["discard_post"]
    lengths, readouts = np.unique(last - first), np.bincount(item, minlength=count)
    if len(lengths) > 1 or lengths[0] <= 0 or len(np.unique(readouts)) > 1:
        raise FileFormatError(
            f"{where}: images have {readouts.min()} to {readouts.max()} readouts of {lengths.min()} to "
            f"{lengths.max()} samples; give those of one kind with select="
        )
    samples = np.stack([imaging.data[i][:, first[i] : last[i]] for i in order])
    points = np.stack([imaging.trajectory[i][first[i] : last[i], :dimensions] for i in order])
    return samples, points


def _cycles(
    points: NDArray[np.float32], unit: TrajectoryUnit, encoding: Encoding, matrix: tuple[int, int, int], where: str
) -> Tensor:
    """Return frequencies along ([z,] y, x) in cycles per encoded field of view, of points along (x, y[, z])."""
    dimensions = points.shape[-1]
    n = np.array(matrix[:dimensions], dtype=np.float64)
    if unit in ("1/m", "rad/m"):
        if encoding.encoded.fov is None:
            raise FileFormatError(f"{where}: the header states no field of view, which a trajectory in {unit} needs")
        scale = np.array(encoding.encoded.fov[:dimensions]) / 1000 / (2 * math.pi if unit == "rad/m" else 1)
    else:
        scale = {"cycles_per_fov": np.ones_like(n), "cycles_per_pixel": n, "radians_per_pixel": n / (2 * math.pi)}[unit]
    cycles = points * scale
    if not np.isfinite(cycles).all():
        raise FileFormatError(f"{where}: the trajectory holds values that are not finite")
    reach = np.abs(cycles).reshape(-1, dimensions).max(axis=0)
    share = float((reach / (n / 2)).max())
    if (reach > n / 2 + _SLACK).any() or share < _LEAST:
        raise FileFormatError(
            f"{where}: in {unit} the trajectory reaches {share:.3g} times the edge of k-space of the encoded matrix "
            f"{matrix[:dimensions]}; its unit is likely another one"
        )
    return torch.from_numpy(np.ascontiguousarray(cycles[..., ::-1]).astype(np.float32))


def _reach(imaging: Readouts) -> float:
    return max(float(np.abs(points).max(initial=0)) for points in imaging.trajectory or [np.zeros((0, 2), np.float32)])
