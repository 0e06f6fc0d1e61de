"""From counts, fields and angles to a measurement: what both kinds of file have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from recon.errors import FileFormatError, UsageError
from recon.io import Measurement
from recon.io.projections import DeadPixels, line_integrals, within_a_turn
from recon.io.rotation_centre import find_centre

__all__ = ["chosen_rows", "parallel_beam"]


def chosen_rows(rows: tuple[int, int] | None, count: int, where: str) -> slice:
    """Return the detector rows (first, past the last) as a slice.

    Raises
    ------
    FileFormatError
        If there are no such rows.
    """
    first, past = (0, count) if rows is None else rows
    if not 0 <= first < past <= count:
        raise FileFormatError(
            f"{where} has detector rows 0 to {count - 1}, but rows {first} to {past - 1} are asked for"
        )
    return slice(first, past)


def parallel_beam(
    counts: NDArray[Any],
    flat: NDArray[Any],
    dark: NDArray[Any] | None,
    theta: NDArray[np.float64],
    where: str,
    *,
    centre: float | None,
    pixel: float | None,
    dead: DeadPixels,
    notes: Sequence[str],
) -> Measurement:
    """Return line integrals (row, 1, view, column) with the `radon` operator of each row's slice.

    Parameters
    ----------
    counts
        Frames (view, row, column).
    flat, dark
        Frames, or one frame, of the same rows; no dark counts as zero.
    theta
        Angles in radians.
    where
        What the data are called in messages.
    centre
        Column, from 0, on which the axis falls; found by `recon.io.rotation_centre.find_centre` if None.
    pixel
        Edge of a detector pixel in mm, at the object; None makes it the unit of length.
    dead
        What to do about dead pixels.
    notes
        What was found odd before.
    """
    if counts.ndim != 3 or 0 in counts.shape:
        raise FileFormatError(f"{where}: projections must be (view, row, column), not of shape {counts.shape}")
    views, _, columns = counts.shape
    if len(theta) != views:
        raise FileFormatError(f"{where}: {len(theta)} angles for {views} projections; each needs one")
    values, mended = line_integrals(counts, flat, dark, where, dead=dead)
    said = [*notes, *mended]
    if centre is None:
        middle = (columns - 1) / 2
        try:
            centre = middle - find_centre(torch.from_numpy(values), torch.from_numpy(theta))
            said.append(f"axis found on column {centre:.2f}; give centre if it is not there")
        except UsageError as error:
            centre = middle
            said.append(f"{error}: axis assumed on the middle of the detector; give centre if it is not there")
    elif not 0 <= centre <= columns - 1:
        raise FileFormatError(f"{where}: centre {centre:g} is not one of the columns 0 to {columns - 1}")
    edge = 1.0 if pixel is None else pixel
    if pixel is None:
        said.append("no pixel size in the file: lengths are in pixels")
    return Measurement(
        data=torch.from_numpy(np.ascontiguousarray(values.transpose(1, 0, 2)))[:, None],
        operator_config={
            "use": "radon",
            "size": (columns, columns),
            "angles": within_a_turn(theta),
            "pixel": edge,
            "bins": columns,
            "bin_size": edge,
            "offset": ((columns - 1) / 2 - centre) * edge,
        },
        voxel_size=None if pixel is None else (pixel, pixel, pixel),
        unit="arbitrary" if pixel is None else "1/mm",
        dims=("z", "y", "x"),
        metadata={"modality": "CT"},
        notes=tuple(said),
    )
