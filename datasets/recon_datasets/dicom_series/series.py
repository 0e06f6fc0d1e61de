"""A series as one image: its stack, its grid, its values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recon.io.provenance import Provenance, hashed
from recon_datasets.dicom_series.dicom_file import read_file
from recon_datasets.dicom_series.diffusion import gradient_table
from recon_datasets.dicom_series.errors import DicomError
from recon_datasets.dicom_series.frame import DicomFile, Frame
from recon_datasets.dicom_series.kinds import OBJECTS, UNKNOWN
from recon_datasets.dicom_series.pixels import Padding, fill, same_pixels
from recon_datasets.dicom_series.quiet import quiet
from recon_datasets.dicom_series.resample import mixed, untilted
from recon_datasets.dicom_series.source import Assume, find_sources, is_zip
from recon_datasets.dicom_series.stacks import choose, group, split
from recon_datasets.dicom_series.suv import uptake_factor
from recon_datasets.dicom_series.timing import volume_times
from recon_datasets.dicom_series.volume import Gaps, Volume, arrange

__all__ = ["Series", "is_beside", "pick", "read_files"]

_OTHER_OBJECTS = ("RECON-DICOM-KIND",)
"""Codes of what may lie beside the images of a folder: reports, structures, pictures of the screen."""
_MODALITIES = {kind.modality for kind in OBJECTS.values()}


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """Frames of one image, on their grid.

    Parameters
    ----------
    files
        The files that hold them.
    volume
        The frames.
    unit
        HU, Bq/ml or arbitrary.
    technical
        Facts for `Image.metadata`.
    notes
        Oddities.
    where
        Begins messages.
    """

    files: tuple[DicomFile, ...]
    volume: Volume
    unit: str
    technical: dict[str, Any]
    notes: tuple[str, ...]
    where: str

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(t, z, y, x)."""
        return self.volume.shape

    def values(self, padding: Padding = "keep", limit: float = float("inf")) -> NDArray[np.float32]:
        """Decode all frames into one float32 array (t, z, y, x).

        Parameters
        ----------
        padding
            What becomes of pixels marked as outside.
        limit
            Largest size in bytes.

        Raises
        ------
        DicomError
            If it is larger, or pixels are damaged.
        """
        frames = self.volume.frames
        size = 4 * int(np.prod([float(n) for n in self.shape]))
        if size > limit:
            raise DicomError(
                "RECON-DICOM-LIMIT", f"{self.where} would take {size} bytes, more than the limit of {limit:.0f}"
            )
        values = np.empty((len(frames), len(frames[0]), *frames[0][0].shape), np.float32)
        with quiet():
            fill(((values[t, z], frame) for t, f in enumerate(frames) for z, frame in enumerate(f)), padding)
        return values if self.volume.weights is None else mixed(values, self.volume.weights)

    @property
    def provenance(self) -> Provenance:
        """What it was made of, as hashes."""
        first = self.files[0]
        found = {"study": first.study, "series": first.series, "frame_of_reference": first.frame_of_reference}
        hashes = {level: hashed(identifier) for level, identifier in found.items() if identifier}
        return Provenance(reader="dicom_series", identifiers=hashes, files=len(self.files))

    def untilted(self, values: NDArray[np.float32]) -> tuple[NDArray[np.float32], np.ndarray, str]:
        """Return values on a right-angled grid; see `resample.untilted`."""
        return untilted(values, self.volume)

    def uptake_factor(self) -> float:
        """Return the factor by which Bq/ml become SUV in g/ml."""
        return uptake_factor([item.suv for item in self.files], self.where)

    @classmethod
    def of(
        cls,
        files: Sequence[DicomFile],
        where: str | Path,
        *,
        stack: int | None = None,
        gaps: Gaps = "refuse",
        drop_partial: bool = False,
        placeless: bool = False,
    ) -> Series:
        """Choose a stack of a series and arrange its frames.

        Parameters
        ----------
        files
            Of one series.
        where
            Begins messages.
        stack
            Number of the stack, where there are several.
        gaps, drop_partial
            As for `arrange`.
        placeless
            Accept frames without a place in the patient.

        Raises
        ------
        DicomError
            With the code of what is wrong.
        """
        images = [item for item in files if not is_beside(item)] or files
        beside = len(files) - len(images)
        joined = stack is None and gaps == "resample"
        found, notes = choose(split(_sound(images, placeless=placeless), joined=joined), stack, where)
        mine = {id(frame.pixels) for frame in found.frames}
        holders = tuple(item for item in images if item.frames and id(item.frames[0].pixels) in mine)
        volume = arrange(found.frames, str(where), gaps=gaps, drop_partial=drop_partial, same=_same)
        gradients, oddities = gradient_table(volume.frames)
        said = (*notes, *(note for item in holders for note in item.notes), *volume.notes, *oddities)
        if beside:
            said = (f"{beside} objects of the series that are no scans left out", *said)
        technical = {
            name: value
            for name, value in holders[0].technical.items()
            if all(item.technical.get(name) == value for item in holders)
        }
        if found.kind.echo_ms:
            technical["echo_time_ms"] = found.kind.echo_ms
        technical |= gradients | volume_times(volume.frames)
        return cls(holders, volume, found.kind.unit, technical, tuple(dict.fromkeys(said)), str(where))


def read_files(where: Path | Sequence[Path], *, text: bool = False, assume: Assume = "nothing") -> list[DicomFile]:
    """Read the headers of all DICOM objects of a folder, an archive, a list of files, or a file.

    A DICOMDIR that is named stands for its folder.

    Raises
    ------
    DicomError
        If there are none.
    """
    sources = find_sources(where, assume=assume)
    with quiet():
        found = [read_file(source, text=text) for source in sources]
    files = [item for item in found if item is not None]
    if not files and isinstance(where, Path) and where.is_file() and not is_zip(where):
        return read_files(where.parent, text=text, assume=assume)
    if not files:
        raise DicomError(
            "RECON-DICOM-EMPTY", f"{_named(where)} holds only an index of other files (DICOMDIR); give their folder"
        )
    return files


def pick(files: Sequence[DicomFile], wanted: int | None, where: str | Path) -> list[DicomFile]:
    """Return the files of the series to read.

    Objects that are no images are passed over where there are images.

    Raises
    ------
    DicomError
        If there are several series and none is wanted, or not that one; it lists them.
    """
    series = group(files)
    if wanted is None:
        images = [found for found in series if not all(_is_other(item) for item in found)]
        if len(images) == 1:
            return images[0]
        series_or_images = images or series
        if not images:
            raise _first_error(series[0])
        raise DicomError(
            "RECON-DICOM-AMBIGUOUS",
            f"{where} holds {len(images)} series; choose with series=: {_listed(series, series_or_images)}",
        )
    if not 1 <= wanted <= len(series):
        raise DicomError(
            "RECON-DICOM-CHOICE", f"{where} has no series {wanted}; choose with series=: {_listed(series, series)}"
        )
    return series[wanted - 1]


def _listed(series: list[list[DicomFile]], shown: list[list[DicomFile]], most: int = 8) -> str:
    numbers = {id(found): number for number, found in enumerate(series, start=1)}
    parts = [f"{numbers[id(found)]}: {len(found)} {found[0].modality} files" for found in shown[:most]]
    return "; ".join(parts) + (f"; and {len(shown) - most} more" if len(shown) > most else "")


def _sound(files: Sequence[DicomFile], *, placeless: bool) -> Sequence[DicomFile]:
    """Return the files, unless one of them cannot be read."""
    for item in files:
        if item.error is not None:
            raise item.error
        if item.placeless is not None and not placeless:
            raise item.placeless
    return files


def is_beside(item: DicomFile) -> bool:
    """Whether it is known to be no scan, such as raw data that a scanner puts into the series made of them.

    What is of an unknown kind may be a damaged slice, without which a volume would pass for whole.
    """
    return _is_other(item) and item.modality not in (*_MODALITIES, UNKNOWN)


def _is_other(item: DicomFile) -> bool:
    return item.error is not None and item.error.code in _OTHER_OBJECTS


def _first_error(files: Sequence[DicomFile]) -> DicomError:
    return next(item.error for item in files if item.error is not None)


def _same(a: Frame, b: Frame) -> bool:
    with quiet():
        return same_pixels(a, b)


def _named(where: Path | Sequence[Path]) -> str:
    return str(where) if isinstance(where, Path) else "the list of files"
