"""What all files of X-ray projections need: counts to line integrals, angles to radians, TIFF frames; all checked."""

from __future__ import annotations

import math
import re
import struct
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image as Pillow

from recon.errors import FileFormatError

__all__ = [
    "AngleUnit",
    "DeadPixels",
    "check_counts",
    "line_integrals",
    "natural_order",
    "radians",
    "read_tiff",
    "within_a_turn",
]

Floats = NDArray[np.float32]
AngleUnit = Literal["auto", "degrees", "radians"]
DeadPixels = Literal["interpolate", "refuse"]
"""What to do about the few detector pixels whose flat field is not above their dark field."""

FLOOR = 1e-6
"""Smallest transmission: what is below, after noise and dark field, counts as this."""
DEAD_SHARE = 0.01
"""Share of dead pixels beyond which something else is wrong: nothing is interpolated."""


def check_counts(counts: NDArray[np.generic], where: str) -> Floats:
    """Return counts as float32.

    Raises
    ------
    FileFormatError
        If some are NaN, infinite or negative; `where` names the data in the message.
    """
    values = np.asarray(counts, dtype=np.float32)
    odd = int(values.size - np.isfinite(values).sum())
    if odd:
        raise FileFormatError(f"{where}: {odd} of {values.size} counts are NaN or infinite; repair or leave them out")
    negative = int((values < 0).sum())
    if negative:
        raise FileFormatError(
            f"{where}: {negative} of {values.size} counts are negative (down to {values.min():g}); raw counts are "
            "needed, before any dark-field correction or logarithm"
        )
    return values


def line_integrals(
    counts: NDArray[np.generic],
    flat: NDArray[np.generic],
    dark: NDArray[np.generic] | None,
    where: str,
    *,
    dead: DeadPixels = "interpolate",
) -> tuple[Floats, tuple[str, ...]]:
    """Return -log((counts - dark) / (flat - dark)) in float32, and notes about what had to be mended.

    Parameters
    ----------
    counts
        Frames (view, row, column) or (view, column).
    flat, dark
        Counts without an object and without a beam: one frame, or several, which are averaged. No dark is zero.
    where
        What the data are called in messages.
    dead
        Interpolate pixels whose flat is not above their dark from their neighbours in the row, or refuse them.

    Raises
    ------
    FileFormatError
        If counts are NaN, infinite or negative, shapes do not fit, or there are dead pixels and they are refused, are
        more than one in a hundred, or make up a whole row.
    """
    frame = counts.shape[1:]
    values = check_counts(counts, where)
    beam = _frame(flat, frame, f"{where}, flat field")
    offset = np.zeros(frame) if dark is None else _frame(dark, frame, f"{where}, dark field")
    span = beam - offset
    gone = span <= 0
    notes = []
    if gone.any():
        if dead == "refuse" or gone.mean() > DEAD_SHARE or gone.all(axis=-1).any():
            raise FileFormatError(
                f"{where}: the flat field is not above the dark field in {gone.sum()} of {gone.size} detector pixels; "
                "check that it was taken with the beam on, and is not exchanged with the dark field"
            )
        notes.append(f"{gone.sum()} of {gone.size} detector pixels are dead: interpolated along the row")
        span = np.where(gone, 1, span)
    transmission = (values - offset.astype(np.float32)) / span.astype(np.float32)
    low = (transmission < FLOOR) & ~gone
    if low.any():
        notes.append(f"{low.sum()} of {low.size} transmissions below {FLOOR:g} were set to it")
    result = -np.log(np.maximum(transmission, FLOOR, dtype=np.float32))
    return _mend(result, gone), tuple(notes)


def radians(angles: ArrayLike, unit: str | None, where: str) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Return angles in radians, and a note where their unit had to be told from their range.

    Parameters
    ----------
    angles
        Angles of the views.
    unit
        "degrees", "radians" or the like, as a file or a user states it; None or "auto" tells it from the range: more
        than 2 pi from first to last is degrees.
    where
        What the angles are called in messages.

    Raises
    ------
    FileFormatError
        If they are not finite or not a list, or their range contradicts the unit.
    """
    values = np.asarray(angles, dtype=np.float64)
    if values.ndim != 1 or values.size == 0 or not np.isfinite(values).all():
        raise FileFormatError(f"{where}: angles must be a list of finite numbers, got shape {values.shape}")
    span = float(np.ptp(values))
    word = (unit or "auto").strip().lower()
    if word.startswith("deg") or word in ("°", "d"):
        if len(values) >= 20 and math.pi / 2 <= span <= 2.02 * math.pi:
            raise FileFormatError(
                f"{where}: {len(values)} angles are marked as degrees but span {span:.4g}, which looks like radians; "
                "correct the unit, or read with angle_unit: radians"
            )
        return np.deg2rad(values), ()
    if word.startswith("rad"):
        if span > 20 * math.pi:
            raise FileFormatError(
                f"{where}: angles are marked as radians but span {span:.4g}, which looks like degrees; correct the "
                "unit, or read with angle_unit: degrees"
            )
        return values, ()
    if word != "auto":
        raise FileFormatError(f"{where}: angles have the unit {unit!r}; degrees or radians are known")
    if span > 2.02 * math.pi:
        return np.deg2rad(values), ("angles without a unit, taken as degrees by their range",)
    return values, ("angles without a unit, taken as radians by their range",)


def within_a_turn(angles: NDArray[np.float64]) -> list[float]:
    """Return angles modulo 2 pi where they leave [-2 pi, 2 pi], and as they are elsewhere."""
    turn = 2 * math.pi
    return [float(angle) if abs(angle) <= turn else float(angle % turn) for angle in angles]


def read_tiff(path: Path) -> NDArray[np.generic]:
    """Read the numbers of a gray TIFF as they are stored: (H, W), or (pages, H, W) if there are several pages.

    Raises
    ------
    FileFormatError
        If the file is missing, damaged, or holds colours.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Pillow.DecompressionBombWarning)
            warnings.filterwarnings("ignore", category=UserWarning, module="PIL")
            with Pillow.open(path, formats=("TIFF",)) as picture:
                pages = []
                for page in range(getattr(picture, "n_frames", 1)):
                    picture.seek(page)
                    if picture.mode not in ("1", "L", "I", "F") and not picture.mode.startswith("I;16"):
                        raise FileFormatError(f"{path} holds {picture.mode} colours; counts are gray")
                    pages.append(np.array(picture))
    except FileNotFoundError:
        raise FileFormatError(f"{path} does not exist") from None
    except (Pillow.DecompressionBombError, Pillow.DecompressionBombWarning) as error:
        raise FileFormatError(f"{path} declares too many pixels: {error}") from None
    except (OSError, SyntaxError, ValueError, TypeError, KeyError, struct.error) as error:
        reason = " ".join(str(error).split())
        raise FileFormatError(f"{path} is not a readable TIFF file (damaged or cut off?): {reason}") from error
    if len({page.shape for page in pages}) > 1:
        raise FileFormatError(f"{path} has pages of different sizes; save them as files of their own")
    return pages[0] if len(pages) == 1 else np.stack(pages)


def natural_order(paths: Sequence[Path]) -> list[Path]:
    """Sort paths by name with numbers by value: raw_2 before raw_10."""
    return sorted(paths, key=lambda path: [int(s) if s.isdigit() else s for s in re.split(r"(\d+)", path.name)])


def _frame(frames: NDArray[np.generic], shape: tuple[int, ...], where: str) -> NDArray[np.float64]:
    values = check_counts(frames, where)
    if values.shape == shape:
        return values.astype(np.float64)
    if values.ndim == len(shape) + 1 and values.shape[1:] == shape and len(values):
        mean: NDArray[np.float64] = values.mean(axis=0, dtype=np.float64)
        return mean
    raise FileFormatError(f"{where}: shape {values.shape} does not fit projections of {shape}")


def _mend(values: Floats, gone: NDArray[np.bool_]) -> Floats:
    """Interpolate dead pixels linearly along the last axis; at the edges the nearest living one counts."""
    if not gone.any():
        return values
    columns = np.arange(values.shape[-1])
    rows = values.reshape(len(values), -1, values.shape[-1])
    for number, dead in enumerate(gone.reshape(-1, values.shape[-1])):
        if dead.any():
            alive = columns[~dead]
            right = np.clip(np.searchsorted(alive, columns[dead]), 1, max(len(alive) - 1, 1))
            left = alive[right - 1]
            after = alive[np.minimum(right, len(alive) - 1)]
            weight = np.clip((columns[dead] - left) / np.maximum(after - left, 1), 0, 1).astype(np.float32)
            rows[:, number, dead] = (1 - weight) * rows[:, number, left] + weight * rows[:, number, after]
    return values
