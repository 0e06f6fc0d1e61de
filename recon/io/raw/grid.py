"""Readouts put on the grid of k-space that they were measured on."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recon.errors import FileFormatError
from recon.io.raw.readouts import Flag, Readouts
from recon.kspace import crop_centred, fft_centred, ifft_centred

__all__ = ["Grid", "Lines", "place_readouts", "without_oversampling"]

Counts = NDArray[np.int64]

_AT_A_TIME = 16
"""Readouts worked on together: enough to share the calls, few enough for the cache."""

MAX_EMPTY = 256
"""Largest accepted ratio of the k-space that a header declares to what the readouts fill."""

MAX_UNCHECKED = 2**27
"""k-space of up to so many bytes may be as empty as it likes."""


@dataclass(frozen=True, slots=True)
class Grid:
    """k-space of a batch of images: `batch` items of `matrix` (z, y, x) points."""

    batch: int
    matrix: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Lines:
    """Where readouts lie on a grid: item of the batch, partition z, line y, and columns [start, start + length).

    Parameters
    ----------
    item, z, y, start, length
        One number a readout.
    first
        The first sample that counts.
    reverse
        Which were measured backwards.
    """

    item: Counts
    z: Counts
    y: Counts
    start: Counts
    length: Counts
    first: Counts
    reverse: NDArray[np.bool_]

    @classmethod
    def of(cls, readouts: Readouts, grid: Grid, item: Counts, centre: tuple[int, int], where: str) -> Lines:
        """Find the places of readouts; the counters `centre` (step 1, step 2) lie at the grid's y // 2 and z // 2.

        Along the readout the header's ``center_sample``, which counts in the order of measurement and includes what is
        discarded, lies at x // 2.

        Raises
        ------
        FileFormatError
            If some lie outside the grid.
        """
        head = readouts.head
        nz, ny, nx = grid.matrix
        first, last = head["discard_pre"].astype(np.int64), head["discard_post"].astype(np.int64)
        length = head["number_of_samples"].astype(np.int64) - first - last
        if length.min() <= 0:
            raise FileFormatError(f"{where}: a readout discards all of its {head['number_of_samples'].min()} samples")
        reverse = readouts.flagged(Flag.REVERSE)
        middle = head["center_sample"].astype(np.int64) - first
        middle = np.where((middle <= 0) & (length >= nx), length // 2, middle)  # left at zero, not an echo at the start
        middle = np.where(reverse, length - 1 - middle, middle)
        start = nx // 2 - middle
        # The middle of an even number of samples turns into the one before it: a readout that fills the row, fills it.
        start = np.where(length == nx, 0, start)
        z = nz // 2 + readouts.counter("kspace_encode_step_2") - centre[1]
        y = ny // 2 + readouts.counter("kspace_encode_step_1") - centre[0]
        if start.min() < 0 or (start + length).max() > nx:
            raise FileFormatError(
                f"{where}: readouts of {length.max()} samples with the echo at sample {middle.min()} do not fit the "
                f"{nx} columns of the encoded matrix that the header states"
            )
        for name, place, size, middle_line in (("1", y, ny, centre[0]), ("2", z, nz, centre[1])):
            if place.min() < 0 or place.max() >= size:
                low, high = place.min() - size // 2 + middle_line, place.max() - size // 2 + middle_line
                raise FileFormatError(
                    f"{where}: lines {low} to {high} of encoding step {name} about the centre {middle_line} do not fit "
                    f"the encoded matrix of {size}; give the true centre as centre=(step 1, step 2)"
                )
        return cls(item, z, y, start, length, first, reverse)

    def full(self, columns: int) -> bool:
        """Whether every readout fills its row."""
        return bool((self.length == columns).all())

    def sampled(self, grid: Grid) -> NDArray[np.bool_]:
        """Return where something was measured: (batch, z, y, 1), or (batch, z, y, x) if rows are partly measured."""
        nz, ny, nx = grid.matrix
        full = self.full(nx)
        mask = np.zeros((grid.batch, nz, ny, 1 if full else nx), dtype=bool)
        if full:
            mask[self.item, self.z, self.y] = True
        else:
            for i, z, y, start, length in zip(self.item, self.z, self.y, self.start, self.length, strict=True):
                mask[i, z, y, start : start + length] = True
        return mask


def place_readouts(
    readouts: Readouts,
    lines: Lines,
    grid: Grid,
    where: str,
    *,
    treat: Callable[[Tensor], Tensor] | None = None,
    columns: int | None = None,
) -> tuple[Tensor, int]:
    """Return k-space (batch, channel, z, y, x), zero where nothing was measured, and how often lines were repeated.

    What was measured several times in the same place is averaged.

    Parameters
    ----------
    readouts, lines, grid
        What to put where; readouts of one number of channels.
    where
        Name of the file for messages.
    treat
        Applied to readouts (readout, channel, sample), in the direction of the grid, before they are placed.
    columns
        Columns that `treat` leaves of the grid's, where it changes their number.

    Raises
    ------
    FileFormatError
        If the grid is absurdly large for the readouts.
    """
    nz, ny, nx = grid.matrix
    channels = len(readouts.data[0])
    shape = (grid.batch, channels, nz, ny, columns or nx)
    size, filled = 8 * math.prod(shape), 8 * channels * int(lines.length.sum())
    if size > MAX_UNCHECKED and size > MAX_EMPTY * filled:
        raise FileFormatError(
            f"{where}: the header declares k-space of {size >> 20} MB, the readouts fill {filled >> 20} MB of it; the "
            "file is damaged or hostile"
        )
    out = np.zeros(shape, dtype=np.complex64)
    key = np.ravel_multi_index((lines.item, lines.z, lines.y), (grid.batch, nz, ny))
    counts = np.bincount(key, minlength=grid.batch * nz * ny)
    repeated = int((counts > 1).sum())
    kinds = np.stack([lines.first, lines.length, lines.start, lines.reverse.astype(np.int64)], axis=1)
    for kind in np.unique(kinds, axis=0):
        first, length, start = (int(value) for value in kind[:3])
        step = -1 if kind[3] else 1
        alike = np.flatnonzero((kinds == kind).all(axis=1))
        for lot in (alike[at : at + _AT_A_TIME].tolist() for at in range(0, len(alike), _AT_A_TIME)):
            block = [readouts.data[number][:, first : first + length][:, ::step] for number in lot]
            if treat is not None:
                block = list(treat(torch.from_numpy(np.stack(block))).numpy())
            row = slice(start, start + block[0].shape[-1])
            for samples, number in zip(block, lot, strict=True):
                target = out[lines.item[number], :, lines.z[number], lines.y[number], row]
                if repeated:
                    target += samples
                else:
                    target[...] = samples
    if repeated:
        out /= np.maximum(_shares(lines, grid, counts, out.shape[-1]), 1)[:, None]
    return torch.from_numpy(out), repeated


def without_oversampling(y: Tensor, columns: int) -> Tensor:
    """Return k-space (..., columns) of the central columns of the image, of k-space (..., x) of a wider one.

    Of twice the columns, this is the even ones plus the odd ones, shifted by half a step as the Fourier shift theorem
    does it: two short transforms instead of a long and a short one. The transforms are orthonormal.
    """
    wide = y.shape[-1]
    if wide != 2 * columns or columns % 2:
        return fft_centred(crop_centred(ifft_centred(y, 1), (columns,)), 1)
    half_step = torch.exp(1j * math.pi * torch.fft.fftfreq(columns, dtype=torch.float64)).to(y.dtype)
    shifted: Tensor = torch.fft.fft(torch.fft.ifft(y[..., 1::2]).mul_(half_step))
    return shifted.add_(y[..., ::2]).mul_(math.sqrt(0.5))


def _shares(lines: Lines, grid: Grid, counts: Counts, columns: int) -> NDArray[np.float32]:
    """Return how many readouts each place holds: (batch, z, y, 1), or (..., x) where some fill their row in part."""
    nz, ny, nx = grid.matrix
    if lines.full(nx):
        return counts.reshape(grid.batch, nz, ny, 1).astype(np.float32)
    shares = np.zeros((grid.batch, nz, ny, columns), dtype=np.float32)
    for i, z, y, start, length in zip(lines.item, lines.z, lines.y, lines.start, lines.length, strict=True):
        shares[i, z, y, start : start + length] += 1
    return shares
