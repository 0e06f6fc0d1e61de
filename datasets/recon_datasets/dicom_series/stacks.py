"""Files into series, and the frames of a series into stacks: what forms one image."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recon_datasets.dicom_series.errors import DicomError
from recon_datasets.dicom_series.frame import DicomFile, Frame, Kind

__all__ = ["Stack", "choose", "group", "listed", "without_localizers"]

ORIENTATION_TOLERANCE = 1e-3
"""Largest accepted difference between direction vectors of one stack."""
SPACING_TOLERANCE = 1e-4
"""Largest accepted relative difference between pixel spacings of one stack."""
_PLANES = ("sagittal", "coronal", "axial")
_SUMMED = "ADD"
"""Word of ImageType for slices that are sums of thinner ones."""


@dataclass(frozen=True, slots=True, eq=False)
class Stack:
    """Frames of one kind, size, pixel spacing and orientation.

    Parameters
    ----------
    frames
        In the order in which they came.
    """

    frames: tuple[Frame, ...]

    @property
    def kind(self) -> Kind:
        """Kind of all frames."""
        return self.frames[0].kind

    @property
    def label(self) -> str:
        """What it is, in words of our own."""
        head, comma, echo = self.kind.label.partition(",")
        plane = self.frames[0].plane
        if plane is None:
            return self.kind.label
        along = int(np.argmax(np.abs(plane.normal)))
        oblique = "" if abs(plane.normal[along]) > 1 - 1e-6 else "oblique, near "
        return f"{head} {oblique}{_PLANES[along]}{comma}{echo}"


def group(files: Iterable[DicomFile]) -> list[list[DicomFile]]:
    """Group files by series, in an order that names and order of files do not change: study, number, identifier.

    Two numbers are two series, even where a tool that changed the files gave them one identifier.
    """
    series: dict[tuple[str, int | None], list[DicomFile]] = {}
    for item in files:
        series.setdefault((item.series, item.series_number), []).append(item)
    return sorted(series.values(), key=lambda found: (found[0].study, found[0].series_number or 0, found[0].series))


def split(files: Sequence[DicomFile], *, joined: bool = False) -> list[Stack]:
    """Split the frames of a series into stacks, magnitude before phase, small echo times first, localizers last.

    Parameters
    ----------
    files
        Of one series.
    joined
        Put slices that were added up of thinner ones (ADD) and others into one stack: their distances differ.
    """
    exact: dict[tuple[object, ...], list[Frame]] = {}
    for item in files:
        for frame in item.frames:
            plane = frame.plane
            place = b"" if plane is None else plane.row.tobytes() + plane.column.tobytes()
            spacing = None if plane is None else plane.spacing
            kind = _unsummed(frame.kind) if joined else frame.kind
            key = (item.frame_of_reference, kind, frame.shape, frame.pixels.floating, spacing, place)
            exact.setdefault(key, []).append(frame)
    merged: dict[tuple[object, ...], list[tuple[np.ndarray, list[Frame]]]] = {}
    for exactly, frames in sorted(exact.items(), key=lambda pair: -len(pair[1])):
        alike = merged.setdefault(exactly[:4], [])
        numbers = _numbers(frames[0])
        fitting = next((others for known, others in alike if _close(known, numbers)), None)
        if fitting is None:
            alike.append((numbers, list(frames)))
        else:
            fitting.extend(frames)
    stacks = [Stack(tuple(frames)) for alike in merged.values() for _, frames in alike]
    return sorted(stacks, key=_order)


def without_localizers(stacks: list[Stack]) -> tuple[list[Stack], list[Stack]]:
    """Return the stacks that are no localizers, and the localizers; if all are, they count as the former."""
    kept = [stack for stack in stacks if not stack.kind.localizer]
    return (kept, [stack for stack in stacks if stack.kind.localizer]) if kept else (stacks, [])


def choose(stacks: list[Stack], wanted: int | None, where: str | Path) -> tuple[Stack, tuple[str, ...]]:
    """Return the stack to read, and notes.

    Raises
    ------
    DicomError
        If there are several, or not the one that is wanted; it lists them by number, count and kind.
    """
    if wanted is not None:
        if not 1 <= wanted <= len(stacks):
            raise DicomError(
                "RECON-DICOM-CHOICE", f"{where} has no stack {wanted}; there are {listed(stacks)}: choose with stack="
            )
        return stacks[wanted - 1], ()
    kept, localizers = without_localizers(stacks)
    if len(kept) > 1:
        kinds = {stack.kind for stack in kept}
        join = ", or join them with gaps=resample" if len({_unsummed(kind) for kind in kinds}) == 1 < len(kinds) else ""
        raise DicomError(
            _difference(kept),
            f"{where} holds {len(kept)} images in one series; choose with stack={join}: {listed(kept)}",
        )
    count = sum(len(stack.frames) for stack in localizers)
    return kept[0], (f"{count} localizer frames left out",) if count else ()


def listed(stacks: Sequence[Stack], most: int = 8) -> str:
    """Return stacks in a line: number, count, kind, size."""
    parts = [
        f"{number}: {len(stack.frames)} x {stack.label} {stack.frames[0].shape[0]} x {stack.frames[0].shape[1]}"
        for number, stack in enumerate(stacks[:most], start=1)
    ]
    return "; ".join(parts) + (f"; and {len(stacks) - most} more" if len(stacks) > most else "")


def _unsummed(kind: Kind) -> Kind:
    if _SUMMED not in kind.words:
        return kind
    return kind._replace(words=tuple(word for word in kind.words if word != _SUMMED))


def _difference(stacks: list[Stack]) -> str:
    if all(stack.kind.instance for stack in stacks):
        return "RECON-DICOM-AMBIGUOUS"
    if len({(stack.frames[0].shape, _spacing(stack.frames[0])) for stack in stacks}) > 1:
        return "RECON-DICOM-GRID"
    if len({stack.kind for stack in stacks}) == 1:
        return "RECON-DICOM-ORIENTATION"
    return "RECON-DICOM-MIXED"


def _spacing(frame: Frame) -> tuple[float, ...]:
    return () if frame.plane is None else tuple(round(value, 3) for value in frame.plane.spacing)


def _numbers(frame: Frame) -> np.ndarray:
    plane = frame.plane
    return np.empty(0) if plane is None else np.concatenate([plane.row, plane.column, plane.spacing])


def _close(a: np.ndarray, b: np.ndarray) -> bool:
    if a.size != b.size or not a.size:
        return a.size == b.size
    off = np.abs(a - b)
    return bool(off[:6].max() <= ORIENTATION_TOLERANCE and (off[6:] <= SPACING_TOLERANCE * a[6:]).all())


def _order(stack: Stack) -> tuple[object, ...]:
    names = ("", "magnitude", "phase", "real", "imaginary", "field")
    first, kind = stack.frames[0], stack.kind
    rounded = tuple(np.round(_numbers(first), 2).tolist())
    alone = (kind.form, first.order, kind.instance) if kind.instance else ()
    return kind.localizer, alone, names.index(kind.component), kind.echo_ms, kind.words, kind.unit, first.shape, rounded
