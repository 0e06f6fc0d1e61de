"""Scans of readouts as measurements: what the readers of ISMRMRD and of makers' own raw data share."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recon.errors import FileFormatError
from recon.io.image import Affine, Value
from recon.io.measurement import Measurement
from recon.io.mrd_header import Encoding, Limit, MRDHeader
from recon.io.readout_grid import Grid, Lines, place_readouts, without_oversampling
from recon.io.readouts import AXES, EXCLUDED, Flag, Readouts
from recon.io.scan_geometry import scan_affine

__all__ = ["ScanOptions", "scan_measurement"]

_MOVED = 0.01
"""Change of a position in mm that is told."""
_FAR = 0.1
"""How far, relative to the encoded lines, the strongest line may lie from the stated centre without a note."""


@dataclass(frozen=True, kw_only=True)
class ScanOptions:
    """What to make of a scan.

    Parameters
    ----------
    encoding
        Which of the scan's encoding spaces to read.
    select
        Values of counters to keep, such as ``{"contrast": 0}``; the names are those of `recon.io.readouts.AXES`.
    averages
        mean of what was measured repeatedly, or stack, an item of the batch each.
    calibration_lines
        separate keeps lines that serve calibration alone out of the data; merge takes them for data too.
    centre
        Counters (step 1, step 2) at the centre of k-space, where the file states them wrongly.
    remove_oversampling
        Whether readout oversampling is removed; else the measurement's crop does it after the reconstruction.
    whiten
        Whether coils are decorrelated by the scan's noise readouts, if it has some.
    compress
        Number of virtual coils to compress to.
    conjugate
        Whether to conjugate the samples, which turns the image about its centre; by default where the maker is known
        to state directions for it.
    """

    encoding: int = 0
    select: Mapping[str, int] = field(default_factory=dict)
    averages: Literal["mean", "stack"] = "mean"
    calibration_lines: Literal["separate", "merge"] = "separate"
    centre: tuple[int, int] | None = None
    remove_oversampling: bool = True
    whiten: bool = True
    compress: int | None = None
    conjugate: bool | None = None


@dataclass(frozen=True, slots=True)
class _Batch:
    """Axes of the batch: names of counters and the values that occur, slices in the order of their positions."""

    axes: tuple[tuple[str, tuple[int, ...]], ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(len(values) for _, values in self.axes)

    def items(self, readouts: Readouts) -> NDArray[np.int64]:
        """Return the item of the batch that each readout belongs to."""
        item = np.zeros(len(readouts), dtype=np.int64)
        for name, values in self.axes:
            order = np.argsort(values)
            item = item * len(values) + order[np.searchsorted(np.asarray(values)[order], readouts.counter(name))]
        return item


def scan_measurement(readouts: Readouts, header: MRDHeader, options: ScanOptions, where: str) -> Measurement:
    """Arrange the Cartesian readouts of a scan.

    The data are (batch, coil, y, x), or (batch, coil, z, y, x) where a second phase encoding was stepped through: x is
    the readout, y and z the encoding steps 1 and 2, all centred. The operator is ``fourier`` with the sampled lines as
    mask. Slices are ordered by position.

    Raises
    ------
    FileFormatError
        If readouts and header contradict each other, or none is of an image.
    """
    encoding = _encoding(header, options.encoding, where)
    notes: list[str] = []
    imaging, calibrating, noise = _sorted_out(readouts, options, notes, where)
    if len({len(samples) for samples in imaging.data}) > 1:
        counts = sorted({len(samples) for samples in imaging.data})
        raise FileFormatError(f"{where}: imaging readouts have {counts} channels; one number is needed")
    plan = _Plan.of(imaging, encoding, options, header, where, notes)
    treat, columns = plan.treatment(imaging, noise, header, options, where, notes)
    grid = plan.grid
    data, repeated = place_readouts(imaging, plan.lines, grid, where, treat=treat, columns=columns)
    if repeated:
        notes.append(f"{repeated} lines were measured more than once: averaged")
    sampled = plan.lines.sampled(grid)
    calibration = None
    if len(calibrating):
        calibration = _calibration(calibrating, plan, treat, columns, where, notes)
    return plan.measurement(data, calibration, sampled, imaging, header, columns, tuple(notes))


@dataclass(frozen=True, slots=True)
class _Plan:
    """How the readouts of a scan are arranged."""

    batch: _Batch
    grid: Grid
    lines: Lines
    centre: tuple[int, int]
    encoding: Encoding
    dimensions: Literal[2, 3]
    channels: int
    crop: tuple[int, int, int]

    @classmethod
    def of(
        cls, imaging: Readouts, encoding: Encoding, options: ScanOptions, header: MRDHeader, where: str,
        notes: list[str],
    ) -> _Plan:  # fmt: skip
        encoded = encoding.encoded.matrix
        if encoded is None:
            raise FileFormatError(f"{where}: the header states no encoded matrix, which tells where readouts belong")
        steps = imaging.counter("kspace_encode_step_2")
        dimensions: Literal[2, 3] = 3 if encoded[2] > 1 and steps.max() > 0 else 2
        nx, ny, nz = encoded if dimensions == 3 else (*encoded[:2], 1)
        batch = _batch(imaging, options, notes)
        grid = Grid(math.prod(batch.shape), (nz, ny, nx))
        centre = options.centre or _centre(imaging, encoding, header, (ny, nz), notes)
        step_1, step_2 = centre[0], centre[1] if dimensions == 3 else int(steps.min())
        lines = Lines.of(imaging, grid, batch.items(imaging), (step_2, step_1), where)
        _check_centre(imaging, lines, grid, notes)
        crop = _crop(encoding, (nx, ny, nz))
        return cls(batch, grid, lines, (step_2, step_1), encoding, dimensions, len(imaging.data[0]), crop)

    def treatment(
        self, imaging: Readouts, noise: Readouts, header: MRDHeader, options: ScanOptions, where: str,
        notes: list[str],
    ) -> tuple[Callable[[Tensor], Tensor] | None, int]:  # fmt: skip
        """Return what happens to readouts on their way to the grid, and the columns that remain."""
        nx, keep = self.grid.matrix[2], self.crop[0]
        steps: list[Callable[[Tensor], Tensor]] = []
        if options.whiten and len(noise):
            steps.append(_whitening(noise, imaging, header, where))
            notes.append(f"whitened by {sum(samples.shape[1] for samples in noise.data)} noise samples")
        conjugate = header.vendor.startswith("siemens") if options.conjugate is None else options.conjugate
        if conjugate:
            steps.append(lambda y: y.conj().resolve_conj())
            notes.append("samples conjugated: the maker's directions presume a forward transform from k-space to image")
        columns = nx
        if options.remove_oversampling and keep < nx:
            if self.lines.full(nx):
                columns = keep
                steps.append(lambda y: without_oversampling(y, keep))
                notes.append(f"readout oversampling removed: {nx} to {keep} columns")
            else:
                notes.append("readouts are partial echoes: their oversampling is cropped after the reconstruction")
        if not steps:
            return None, columns

        def treat(y: Tensor) -> Tensor:
            for step in steps:
                y = step(y)
            return y

        return treat, columns

    def measurement(
        self, data: Tensor, calibration: Tensor | None, sampled: NDArray[np.bool_], imaging: Readouts,
        header: MRDHeader, columns: int, notes: tuple[str, ...],
    ) -> Measurement:  # fmt: skip
        """Return the finished measurement."""
        if self.dimensions == 2:
            data, sampled = data[:, :, 0], sampled[:, 0]
            calibration = None if calibration is None else calibration[:, :, 0]
        config: dict[str, Any] = {"use": "fourier"}
        if self.dimensions == 3:
            config["dimensions"] = 3
        if not sampled.all():
            same = bool((sampled == sampled[:1]).all())
            config["mask"] = torch.from_numpy(sampled[0] if same else sampled[:, None])
        affine, voxel, note = self.geometry(imaging)
        size = self.crop[::-1][-self.dimensions :]
        space = ("y", "x") if self.dimensions == 2 else ("z", "y", "x")
        names = tuple("slab" if name == "slice" and self.dimensions == 3 else name for name, _ in self.batch.axes)
        outer = tuple("z" if name == "slice" else name for name in names)
        shape = self.batch.shape
        if self.dimensions == 3 and shape[-1] == 1:
            outer, shape = outer[:-1], shape[:-1]
        facts = {**header.facts, **_facts(self.encoding, self.dimensions), "coils": data.shape[1]}
        if "mask" in config:
            facts["acceleration"] = round(sampled.size / max(1, int(sampled.sum())), 4)
        return Measurement(
            data=data,
            operator_config=config,
            affine=affine,
            voxel_size=voxel,
            dims=(*outer, *space),
            batch=shape if len(shape) > 1 else None,
            crop=size if size != (*self.grid.matrix[:2], columns)[-self.dimensions :] else None,
            calibration=calibration,
            metadata=facts,
            notes=(*notes, note) if note else notes,
        )

    def geometry(self, imaging: Readouts) -> tuple[Affine | None, tuple[float, float, float] | None, str]:
        """Return affine, voxel size (x, y, z), and a note where something is missing."""
        fov, matrix = self.encoding.encoded.fov, self.grid.matrix[::-1]
        if fov is None:
            return None, None, "the header states no field of view: no voxel size"
        thickness = (self.encoding.recon.fov or fov)[2]
        voxel = (fov[0] / matrix[0], fov[1] / matrix[1], fov[2] / matrix[2] if self.dimensions == 3 else thickness)
        centre = [n // 2 - (n - kept) // 2 for n, kept in zip(matrix, self.crop, strict=True)]
        slices = self.batch.axes[-1][1]
        counter = imaging.counter("slice")
        first = [int(np.flatnonzero(counter == value)[0]) for value in slices]
        head = imaging.head[first]
        if self.dimensions == 3 and len(slices) > 1:
            return None, voxel, "several slabs: select one for its place in the patient"
        directions = np.stack([head[name] for name in ("read_dir", "phase_dir", "slice_dir")], axis=1)
        if np.abs(directions - directions[0]).max() > 1e-3:
            return None, voxel, "the slices have different orientations: select one for its place in the patient"
        place = (centre[0], centre[1], centre[2] if self.dimensions == 3 else 0)
        affine, note = scan_affine(head["position"], directions[0], voxel, place)
        same = [
            np.abs(imaging.head["position"][counter == value] - at).max()
            for value, at in zip(slices, head["position"], strict=True)
        ]
        if affine is not None and max(same) > _MOVED:
            note = "the position changes during the scan: the first one is kept"
        return affine, voxel, note


def _encoding(header: MRDHeader, number: int, where: str) -> Encoding:
    if not header.encodings:
        raise FileFormatError(f"{where}: the header describes no encoding")
    if number >= len(header.encodings):
        raise FileFormatError(f"{where}: the header describes {len(header.encodings)} encodings; there is no {number}")
    return header.encodings[number]


def _sorted_out(
    readouts: Readouts, options: ScanOptions, notes: list[str], where: str
) -> tuple[Readouts, Readouts, Readouts]:
    """Return the readouts of the image, those for calibration, and those of noise; tell what is left out."""
    if not len(readouts):
        raise FileFormatError(f"{where} holds no readouts")
    noise = readouts.flagged(Flag.NOISE)
    excluded = readouts.flagged(*EXCLUDED)
    for number, name in EXCLUDED.items():
        count = int((readouts.flagged(number) & ~noise).sum())
        if count:
            effect = ": odd and even lines are not aligned" if number == Flag.PHASE_CORRECTION else ""
            notes.append(f"{count} {name} readouts left out{effect}")
    own = ~excluded & (readouts.head["encoding_space_ref"] == options.encoding)
    others = int((~excluded & ~own).sum())
    if others:
        notes.append(f"{others} readouts of other encodings left out: encoding={options.encoding} is read")
    for name, value in options.select.items():
        own &= readouts.counter(name) == value
    both = readouts.flagged(Flag.CALIBRATION_AND_IMAGING)
    only = readouts.flagged(Flag.CALIBRATION) & ~both
    if options.calibration_lines == "merge":
        only = np.zeros_like(only)
    imaging = own & ~only
    if not imaging.any():
        chosen = "".join(f", {name}={value}" for name, value in options.select.items())
        raise FileFormatError(
            f"{where}: none of {len(readouts)} readouts is of an image (encoding={options.encoding}{chosen})"
        )
    calibrating = own & (only | both) if (own & only).any() else np.zeros_like(own)
    return readouts.take(imaging), readouts.take(calibrating), readouts.take(noise)


def _batch(imaging: Readouts, options: ScanOptions, notes: list[str]) -> _Batch:
    axes = []
    for name in AXES:
        values = np.unique(imaging.counter(name))
        if name == "slice":
            values = values[_by_position(imaging, values)]
        elif len(values) == 1:
            continue
        elif name == "average" and options.averages == "mean":
            notes.append(f"{len(values)} averages: their mean")
            continue
        axes.append((name, tuple(values.tolist())))
    return _Batch(tuple(axes))


def _by_position(imaging: Readouts, values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the order of slices along their direction, as stored where that does not tell."""
    counter = imaging.counter("slice")
    first = [int(np.flatnonzero(counter == value)[0]) for value in values]
    head = imaging.head[first]
    along = head["position"].astype(np.float64) @ head["slice_dir"][0].astype(np.float64)
    order: NDArray[np.int64] = np.argsort(np.round(along, 3), kind="stable")
    return order


def _centre(
    imaging: Readouts, encoding: Encoding, header: MRDHeader, size: tuple[int, int], notes: list[str]
) -> tuple[int, int]:
    """Return the counters (step 1, step 2) at the centre of k-space."""
    found = []
    for step, user, lines in (("1", 5, size[0]), ("2", 6, size[1])):
        limit = encoding.limits.get(f"kspace_encoding_step_{step}", Limit(0, lines - 1, lines // 2))
        center = limit.center
        if header.vendor.startswith("siemens"):
            # Siemens' converter keeps the centre that the scanner stored with each line in user counters 5 and 6; its
            # own reading of the protocol is sometimes wrong.
            stored = np.unique(imaging.head["idx"]["user"][:, user])
            if len(stored) == 1 and 0 < stored[0] <= limit.maximum and stored[0] != center:
                notes.append(f"centre of step {step} is {stored[0]} by the lines, {center} by the header: {stored[0]}")
                center = int(stored[0])
        found.append(center)
    return found[0], found[1]


def _check_centre(imaging: Readouts, lines: Lines, grid: Grid, notes: list[str]) -> None:
    """Tell if the strongest line is far from where the centre should be."""
    for name, place, size in (("1", lines.y, grid.matrix[1]), ("2", lines.z, grid.matrix[0])):
        span = int(place.max() - place.min()) + 1
        if span < 16:
            continue
        energy = np.array([float(np.vdot(samples, samples).real) for samples in imaging.data])
        strongest = int(place[int(energy.argmax())])
        if abs(strongest - size // 2) > max(4, _FAR * span):
            notes.append(
                f"the strongest line lies {strongest - size // 2} off the centre of step {name}: if the image is "
                "modulated, give centre="
            )


def _crop(encoding: Encoding, matrix: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return the size (x, y, z) of what is shown, in voxels as they were measured."""
    shown = list(matrix)
    for axis in range(3):
        wide, narrow = encoding.encoded.fov, encoding.recon.fov
        if wide is not None and narrow is not None:
            shown[axis] = round(narrow[axis] / wide[axis] * matrix[axis])
        elif encoding.recon.matrix is not None:
            shown[axis] = encoding.recon.matrix[axis]
    x, y, z = (min(max(1, kept), full) for kept, full in zip(shown, matrix, strict=True))
    return x, y, z


def _facts(encoding: Encoding, dimensions: int) -> dict[str, Value]:
    named: dict[str, Value | None] = {
        "encoded_matrix": encoding.encoded.matrix,
        "recon_matrix": encoding.recon.matrix,
        "encoded_fov_mm": encoding.encoded.fov,
        "recon_fov_mm": encoding.recon.fov,
        "slice_thickness_mm": encoding.recon.fov[2] if encoding.recon.fov is not None and dimensions == 2 else None,
    }
    return {name: value for name, value in named.items() if value is not None}


def _calibration(
    calibrating: Readouts, plan: _Plan, treat: Callable[[Tensor], Tensor] | None, columns: int, where: str,
    notes: list[str],
) -> Tensor | None:  # fmt: skip
    """Return calibration lines on the grid of the data; one set of lines serves all items along axes it lacks."""
    axes, shape = [], []
    for name, values in plan.batch.axes:
        own = np.unique(calibrating.counter(name)).tolist()
        if set(values) <= set(own):
            axes.append((name, values))
            calibrating = calibrating.take(np.isin(calibrating.counter(name), values))
        elif name != "slice":
            axes.append((name, (own[0],)))
            calibrating = calibrating.take(calibrating.counter(name) == own[0])
        else:
            notes.append("calibration lines left out: they are of other slices than the image")
            return None
        shape.append(len(axes[-1][1]))
    if not all(len(samples) == plan.channels for samples in calibrating.data):
        raise FileFormatError(f"{where}: calibration and imaging readouts have different numbers of channels")
    batch = _Batch(tuple(axes))
    grid = Grid(math.prod(shape), plan.grid.matrix)
    lines = Lines.of(calibrating, grid, batch.items(calibrating), plan.centre, where)
    if columns != plan.grid.matrix[2] and not lines.full(plan.grid.matrix[2]):
        notes.append("calibration lines left out: their readouts are shorter than the image's")
        return None
    found, _ = place_readouts(calibrating, lines, grid, where, treat=treat, columns=columns)
    found = found.reshape(*shape, *found.shape[1:])
    return found.expand(*plan.batch.shape, *found.shape[len(shape) :]).reshape(
        plan.grid.batch, *found.shape[len(shape) :]
    )


def _whitening(noise: Readouts, imaging: Readouts, header: MRDHeader, where: str) -> Callable[[Tensor], Tensor]:
    channels = len(imaging.data[0])
    own = {len(samples) for samples in noise.data}
    if own != {channels}:
        raise FileFormatError(
            f"{where}: the noise readouts have {sorted(own)} channels, those of the image {channels}: read it with "
            "whiten=False"
        )
    samples = torch.from_numpy(np.concatenate(list(noise.data), axis=1)).to(torch.complex128)
    covariance = samples @ samples.mH / samples.shape[1]
    dwell = [float(part.head["sample_time_us"][0]) for part in (noise, imaging)]
    scale = dwell[0] / dwell[1] / header.noise_bandwidth if min(dwell) > 0 else 1.0
    factor = torch.linalg.cholesky(covariance * scale / 2)
    matrix = torch.linalg.inv(factor).to(torch.complex64)
    return lambda y: matrix @ y
