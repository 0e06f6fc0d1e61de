"""Which readouts of a scan are of the image, and which image of the batch they are of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recon.errors import FileFormatError
from recon.io.raw.options import ScanOptions
from recon.io.raw.readouts import AXES, EXCLUDED, Flag, Readouts

__all__ = ["Batch", "Selection", "batch_axes", "select"]


@dataclass(frozen=True, slots=True)
class Selection:
    """Readouts of the image, those for calibration besides (none where the image's are all there is), and noise."""

    imaging: Readouts
    calibrating: Readouts
    noise: Readouts


@dataclass(frozen=True, slots=True)
class Batch:
    """Axes of the batch: names of counters, outermost first, and the values along each, in the order of the data."""

    axes: tuple[tuple[str, tuple[int, ...]], ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        return tuple(len(values) for _, values in self.axes)

    @property
    def slices(self) -> tuple[int, ...]:
        """Counters of the slices in the order of their positions."""
        return self.axes[-1][1]

    def items(self, readouts: Readouts) -> NDArray[np.int64]:
        """Return the item of the batch that each readout belongs to."""
        item = np.zeros(len(readouts), dtype=np.int64)
        for name, values in self.axes:
            order = np.argsort(values)
            item = item * len(values) + order[np.searchsorted(np.asarray(values)[order], readouts.counter(name))]
        return item

    def dims(self, dimensions: int) -> tuple[tuple[str, ...], tuple[int, ...] | None]:
        """Return `dims` and `batch` of a measurement of images of so many dimensions; slices of them are z."""
        space = ("z", "y", "x")[-dimensions:]
        axes = [(name, len(values)) for name, values in self.axes]
        if dimensions == 2:
            axes[-1] = ("z", axes[-1][1])
        elif axes[-1][1] == 1:
            axes.pop()
        else:
            axes[-1] = ("slab", axes[-1][1])
        sizes = tuple(size for _, size in axes)
        return (*(name for name, _ in axes), *space), sizes if len(sizes) > 1 else None


def select(readouts: Readouts, options: ScanOptions, notes: list[str], where: str) -> Selection:
    """Sort readouts out by their flags, encoding and counters; `notes` gets what is left out.

    Raises
    ------
    FileFormatError
        If none is of an image, or channels differ.
    """
    if not len(readouts):
        raise FileFormatError(f"{where} holds no readouts")
    noise, excluded = readouts.flagged(Flag.NOISE), readouts.flagged(*EXCLUDED)
    for number, name in EXCLUDED.items():
        count = int((readouts.flagged(number) & ~noise).sum())
        if count:
            effect = "; odd and even lines are not aligned" if number == Flag.PHASE_CORRECTION else ""
            notes.append(f"{count} {name} readouts left out{effect}")
    own = ~excluded & (readouts.head["encoding_space_ref"] == options.encoding)
    others = int((~excluded & ~own).sum())
    if others:
        notes.append(f"{others} readouts of other encodings left out; encoding={options.encoding} is read")
    for name, value in (options.select or {}).items():
        own &= readouts.counter(name) == value
    both = readouts.flagged(Flag.CALIBRATION_AND_IMAGING)
    only = readouts.flagged(Flag.CALIBRATION) & ~both & (options.calibration_lines == "separate")
    imaging = readouts.take(own & ~only)
    if not len(imaging):
        chosen = "".join(f", {name}={value}" for name, value in (options.select or {}).items())
        raise FileFormatError(
            f"{where}: none of {len(readouts)} readouts is of an image (encoding={options.encoding}{chosen})"
        )
    calibrating = readouts.take(own & (only | both) & bool((own & only).any()))
    channels = sorted({len(samples) for part in (imaging, calibrating) for samples in part.data})
    if len(channels) > 1:
        raise FileFormatError(f"{where}: readouts of the image have {channels} channels; one number is needed")
    return Selection(imaging, calibrating, readouts.take(noise))


def batch_axes(imaging: Readouts, options: ScanOptions, notes: list[str]) -> Batch:
    """Return the axes along which readouts differ, slices always among them."""
    axes = []
    for name in AXES:
        values = np.unique(imaging.counter(name))
        if name == "slice":
            values = _by_position(imaging, values)
        elif len(values) == 1:
            continue
        elif name == "average" and options.averages == "mean":
            notes.append(f"mean of {len(values)} averages")
            continue
        axes.append((name, tuple(values.tolist())))
    return Batch(tuple(axes))


def _by_position(imaging: Readouts, values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sort slices along their direction; where positions do not tell, by their counters."""
    head = imaging.head[imaging.first("slice", values)]
    along = head["position"].astype(np.float64) @ head["slice_dir"][0].astype(np.float64)
    return values[np.argsort(np.round(along, 3), kind="stable")]
