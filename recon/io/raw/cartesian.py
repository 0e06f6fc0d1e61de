"""Cartesian scans as measurements."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recon.io.measurement import Measurement
from recon.io.mrd_header import Encoding, Limit, MRDHeader
from recon.io.raw.coils import Step, compression, treatment
from recon.io.raw.grid import Grid, Lines, place_readouts, without_oversampling
from recon.io.raw.options import ScanOptions
from recon.io.raw.place import crop_of, facts_of, place_of
from recon.io.raw.readouts import Readouts
from recon.io.raw.selection import Batch, Selection, batch_axes

__all__ = ["cartesian_measurement"]

_FAR = 0.1
"""How far, relative to the encoded lines, the strongest line may lie from the stated centre without a note."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """Where the readouts of a scan go, and what happens to them on the way."""

    batch: Batch
    grid: Grid
    dimensions: Literal[2, 3]
    centre: tuple[int, int]
    crop: tuple[int, int, int]
    steps: list[Step]
    columns: int

    def place(self, readouts: Readouts, lines: Lines, grid: Grid, where: str) -> tuple[Tensor, int]:
        """Return k-space (batch, coil, z, y, x) and the number of repeated lines."""

        def treat(y: Tensor) -> Tensor:
            for step in self.steps:
                y = step(y)
            return y

        return place_readouts(readouts, lines, grid, where, treat=treat if self.steps else None, columns=self.columns)


def cartesian_measurement(
    selected: Selection, encoding: Encoding, header: MRDHeader, options: ScanOptions, notes: list[str], where: str
) -> Measurement:
    """Arrange readouts on the grid of k-space.

    The data are (batch, coil, y, x), or (batch, coil, z, y, x) where a second phase encoding was stepped through: x is
    the readout, y and z are the encoding steps 1 and 2, all centred. The operator is ``fourier`` with the sampled lines
    as mask.
    """
    imaging = selected.imaging
    x, y, z = encoding.encoded.matrix or (1, 1, 1)
    steps_2 = imaging.counter("kspace_encode_step_2")
    dimensions: Literal[2, 3] = 3 if z > 1 and steps_2.max() > steps_2.min() else 2
    matrix = (x, y, z if dimensions == 3 else 1)
    centre = options.centre or _centre(imaging, encoding, header, matrix, notes)
    if dimensions == 2:
        centre = (centre[0], int(steps_2.min()))
    batch = batch_axes(imaging, options, notes)
    plan = _Plan(
        batch=batch,
        grid=Grid(math.prod(batch.shape), matrix[::-1]),
        dimensions=dimensions,
        centre=centre,
        crop=crop_of(encoding, matrix),
        steps=treatment(selected, header, options, notes, where),
        columns=x,
    )
    lines = Lines.of(imaging, plan.grid, batch.items(imaging), centre, where)
    _check_centre(imaging, lines, plan.grid, notes)
    if options.remove_oversampling:
        plan = _without_oversampling(plan, lines, notes)
    data, repeated = plan.place(imaging, lines, plan.grid, where)
    if repeated:
        notes.append(f"{repeated} lines were measured more than once: averaged")
    calibration = _calibration(selected.calibrating, plan, notes, where)
    if options.compress is not None:
        found = compression(data if calibration is None else calibration, options.compress, notes)
        data, calibration = found.compress(data), None if calibration is None else found.compress(calibration)
    return _finished(data, calibration, lines.sampled(plan.grid), plan, imaging, encoding, header, notes)


def _finished(
    data: Tensor, calibration: Tensor | None, sampled: NDArray[np.bool_], plan: _Plan, imaging: Readouts,
    encoding: Encoding, header: MRDHeader, notes: list[str],
) -> Measurement:  # fmt: skip
    config: dict[str, Any] = {"use": "fourier"}
    if plan.dimensions == 3:
        config["dimensions"] = 3
    else:
        data, sampled = data[:, :, 0], sampled[:, 0]
        calibration = None if calibration is None else calibration[:, :, 0]
    facts = {**header.facts, **facts_of(encoding, plan.dimensions), "coils": data.shape[1]}
    if not sampled.all():
        empty = int((~sampled.reshape(len(sampled), -1).any(1)).sum())
        if empty:
            notes.append(f"{empty} of {len(sampled)} items of the batch were not measured")
        same = bool((sampled == sampled[:1]).all())
        config["mask"] = torch.from_numpy(sampled[0] if same else sampled[:, None])
        facts["acceleration"] = round(sampled.size / int(sampled.sum()), 4)
    matrix = plan.grid.matrix[::-1]
    affine, voxel, note = place_of(imaging, plan.batch.slices, encoding, matrix, plan.crop, plan.dimensions)
    dims, sizes = plan.batch.dims(plan.dimensions)
    kept = plan.crop[::-1][-plan.dimensions :]
    return Measurement(
        data=data,
        operator_config=config,
        affine=affine,
        voxel_size=voxel,
        dims=dims,
        batch=sizes,
        crop=kept if kept != tuple(data.shape[2:]) else None,
        calibration=calibration,
        metadata=facts,
        notes=(*notes, note) if note else tuple(notes),
    )


def _without_oversampling(plan: _Plan, lines: Lines, notes: list[str]) -> _Plan:
    wide, keep = plan.grid.matrix[2], plan.crop[0]
    if keep >= wide:
        return plan
    if not lines.full(wide):
        notes.append("readouts do not fill their rows: oversampling is cropped after the reconstruction")
        return plan
    notes.append(f"readout oversampling removed, {wide} to {keep} columns")
    return replace(plan, columns=keep, steps=[*plan.steps, lambda y: without_oversampling(y, keep)])


def _calibration(calibrating: Readouts, plan: _Plan, notes: list[str], where: str) -> Tensor | None:
    """Return calibration lines on the grid of the data; along axes that they lack, one set serves all items."""
    if not len(calibrating):
        return None
    axes = []
    for name, values in plan.batch.axes:
        own = np.unique(calibrating.counter(name))
        if name == "slice" and not set(values) <= set(own.tolist()):
            notes.append("calibration lines left out: they are of other slices than the image")
            return None
        kept = values if set(values) <= set(own.tolist()) else (int(own[0]),)
        calibrating = calibrating.take(np.isin(calibrating.counter(name), kept))
        axes.append((name, kept))
    batch = Batch(tuple(axes))
    grid = Grid(math.prod(batch.shape), plan.grid.matrix)
    lines = Lines.of(calibrating, grid, batch.items(calibrating), plan.centre, where)
    if plan.columns < plan.grid.matrix[2] and not lines.full(plan.grid.matrix[2]):
        notes.append("calibration lines left out: their readouts are shorter than those of the image")
        return None
    found, _ = plan.place(calibrating, lines, grid, where)
    spread = found.reshape(*batch.shape, *found.shape[1:]).expand(*plan.batch.shape, *found.shape[1:])
    return spread.reshape(plan.grid.batch, *found.shape[1:])


def _centre(
    imaging: Readouts, encoding: Encoding, header: MRDHeader, matrix: tuple[int, int, int], notes: list[str]
) -> tuple[int, int]:
    """Return the counters (step 1, step 2) at the centre of k-space."""
    found = []
    for step, user, lines in (("1", 5, matrix[1]), ("2", 6, matrix[2])):
        limit = encoding.limits.get(f"kspace_encoding_step_{step}", Limit(0, lines - 1, lines // 2))
        center = limit.center
        if header.vendor.startswith("siemens"):
            # Their converter keeps the centre that the scanner stored with each line in user counters 5 and 6; what it
            # makes of the protocol for the header is wrong for some partial-Fourier scans.
            stored = np.unique(imaging.head["idx"]["user"][:, user])
            if len(stored) == 1 and 0 < stored[0] <= limit.maximum and stored[0] != center:
                notes.append(f"centre of step {step}: {center} by the header, {stored[0]} by the lines, which is taken")
                center = int(stored[0])
        found.append(center)
    return found[0], found[1]


def _check_centre(imaging: Readouts, lines: Lines, grid: Grid, notes: list[str]) -> None:
    """Tell if the strongest line is far from where the centre should be; only what is measured in part can be off."""
    for step, place, size in (("1", lines.y, grid.matrix[1]), ("2", lines.z, grid.matrix[0])):
        span = int(place.max() - place.min()) + 1
        if span < 16 or span == size:
            continue
        middle = (lines.first + lines.length // 2).tolist()  # where the echo is, or not far from it
        near = [samples[:, max(0, at - 4) : at + 4] for samples, at in zip(imaging.data, middle, strict=True)]
        off = int(place[int(np.argmax([np.vdot(samples, samples).real for samples in near]))]) - size // 2
        if abs(off) > max(4, _FAR * span):
            notes.append(f"the strongest line lies {off} off the centre of step {step}: is the stated centre right?")
