"""Raw counts of a detector into transmission, by flat and dark fields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from recon.errors import UsageError

__all__ = ["DARKEST", "MOST_BAD", "Corrected", "flat_field"]

DARKEST = 1e-4
"""Default floor of a transmission: what is darker cannot be told from noise and dark current."""
MOST_BAD = 0.01
"""Default share of bins, and of counts, beyond which something else is wrong: nothing is interpolated."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Corrected:
    """What `flat_field` gives.

    Parameters
    ----------
    transmission
        (raw - dark) / (flat - dark), of the shape of the raw data: 1 where nothing is in the way.
    bad
        Where it was interpolated, of the same shape.
    notes
        What was odd, one sentence each, with counts.
    """

    transmission: Tensor
    bad: Tensor
    notes: tuple[str, ...]

    def line_integrals(self, *, floor: float = DARKEST) -> Tensor:
        """Return -log(transmission), of at least `floor`; line integrals of bad bins are interpolated themselves."""
        values = -self.transmission.clamp(min=floor).log()
        return _interpolated(values, self.bad) if bool(self.bad.any()) else values


def flat_field(
    raw: Tensor,
    flat: Tensor,
    dark: Tensor | None = None,
    *,
    flat_after: Tensor | None = None,
    bad: Literal["error", "interpolate"] = "error",
    most: float = MOST_BAD,
) -> Corrected:
    """Correct raw counts for the beam's profile and the detector's gain and dark current.

    Several flat or dark fields are averaged. Beams fade: with flat fields from before and after the scan, that of view
    a of A is (1 - w) before + w after, with w = a / (A - 1).

    Parameters
    ----------
    raw
        Counts (view, *detector), of any real type; the detector is (bin,) or (row, bin).
    flat
        Counts of the beam alone, (*detector), or (field, *detector) for several.
    dark
        Counts without the beam, likewise; none by default.
    flat_after
        Flat fields from after the scan.
    bad
        What to do where the flat field is not above the dark one, or a count is NaN, infinite or negative: raise an
        error that tells how many, or interpolate along the detector's last axis, from the nearest good bins. Counts at
        or below the dark field are not bad but starved; the floor of the logarithm takes care of them.
    most
        Largest share of the detector's bins, and of the counts, that is interpolated; more are an error in any case.

    Raises
    ------
    UsageError
        If shapes do not fit, and for bad counts as said; also where a line of the detector has no good bin.
    """
    if raw.ndim not in (2, 3) or raw.is_complex() or raw.shape[0] == 0:
        raise UsageError(f"raw counts are real, (view, bin) or (view, row, bin), not of shape {tuple(raw.shape)}")
    precision = torch.float64 if raw.dtype == torch.float64 else torch.float32
    detector = tuple(raw.shape[1:])
    beam = _mean(flat, detector, "flat", precision)
    none = torch.zeros(detector, dtype=precision, device=raw.device) if dark is None else None
    offset = _mean(dark, detector, "dark", precision) if none is None and dark is not None else torch.zeros_like(beam)
    gain = (beam - offset)[None]
    if flat_after is not None:
        last = (_mean(flat_after, detector, "flat_after", precision) - offset)[None]
        share = torch.linspace(0, 1, len(raw), dtype=precision, device=raw.device).reshape(-1, *[1] * len(detector))
        gain = torch.lerp(gain, last, share)
    counts = raw.to(precision)
    blind = ~(gain > 0) | ~gain.isfinite()
    wrong = ~counts.isfinite() | (counts < 0)
    notes = _findings(blind, wrong, len(raw))
    if notes and bad == "error":
        raise UsageError(f"{'; '.join(notes)}: correct them, or interpolate with bad='interpolate'")
    if notes and max(float(part.float().mean()) for part in (blind.any(0), wrong)) > most:
        raise UsageError(
            f"{'; '.join(notes)}: too many to interpolate; check that the flat field was taken with the beam on, and "
            "is not exchanged with the dark field"
        )
    mask = (blind | wrong).expand(raw.shape)
    transmission = (counts - offset) / torch.where(blind, 1, gain)
    starved = int(((transmission <= 0) & ~mask).sum())
    if notes:
        transmission = _interpolated(transmission, mask)
        notes = [f"{note}: interpolated along the detector" for note in notes]
    if starved:
        notes.append(f"{starved} of {raw.numel()} counts at or below the dark field: starved rays")
    return Corrected(transmission=transmission, bad=mask.clone(), notes=tuple(notes))


def _mean(fields: Tensor, detector: tuple[int, ...], name: str, precision: torch.dtype) -> Tensor:
    if tuple(fields.shape) == detector:
        return fields.to(precision)
    if tuple(fields.shape[1:]) == detector and len(fields):
        return fields.to(precision).mean(0)
    raise UsageError(f"{name} field of shape {tuple(fields.shape)} does not fit the raw data's detector {detector}")


def _findings(blind: Tensor, wrong: Tensor, views: int) -> list[str]:
    notes = []
    dead = blind.any(0)
    if dead.any():
        notes.append(f"flat field not above the dark field in {int(dead.sum())} of {dead.numel()} detector bins")
    count = int(wrong.sum())
    if count:
        notes.append(f"{count} of {views * dead.numel()} counts NaN, infinite or negative")
    return notes


def _interpolated(values: Tensor, bad: Tensor) -> Tensor:
    """Replace bad values by linear interpolation between the nearest good ones of their line; edges by the nearest."""
    if bool(bad.all(-1).any()):
        raise UsageError("a line of the detector has no good bin at all: leave those rows or views out")
    place = torch.arange(values.shape[-1], device=values.device).expand(values.shape)
    end = values.shape[-1]
    left = torch.where(bad, -1, place).cummax(-1).values
    right = torch.where(bad, end, place).flip(-1).cummin(-1).values.flip(-1)
    left, right = torch.where(left < 0, right, left), torch.where(right == end, left, right)
    share = (place - left) / (right - left).clamp(min=1)
    return torch.where(bad, torch.lerp(values.gather(-1, left), values.gather(-1, right), share.to(values)), values)
