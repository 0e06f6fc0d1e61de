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
import torch
from numpy.typing import ArrayLike, NDArray
from PIL import Image as Pillow

from recon.errors import FileFormatError, UsageError
from recon.io.flat_field import DARKEST, flat_field

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
    floor: float = DARKEST,
) -> tuple[Floats, tuple[str, ...]]:
    """Return -log((counts - dark) / (flat - dark)) of a file in float32, and notes about what had to be mended.

    It is `flat_field` for what files hold: counts that no detector gives are always refused.

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
    floor
        Least transmission; what is below is set to it, and told.

    Raises
    ------
    FileFormatError
        If counts are NaN, infinite or negative, shapes do not fit, or there are dead pixels and they are refused, are
        more than one in a hundred, or make up a whole row.
    """
    raw, beam = check_counts(counts, where), check_counts(flat, f"{where}, flat field")
    offset = None if dark is None else torch.from_numpy(check_counts(dark, f"{where}, dark field"))
    try:
        corrected = flat_field(
            torch.from_numpy(raw),
            torch.from_numpy(beam),
            offset,
            bad="interpolate" if dead == "interpolate" else "error",
        )
    except UsageError as error:
        raise FileFormatError(f"{where}: {error}") from None
    notes = list(corrected.notes)
    low = int(((corrected.transmission < floor) & ~corrected.bad).sum())
    if low:
        notes.append(f"{low} of {raw.size} transmissions below {floor:g} were set to it")
    return corrected.line_integrals(floor=floor).numpy(), tuple(notes)


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
