"""What a folder holds, told from headers alone, without torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from recon.io.series import SeriesInfo, StackInfo
from recon_datasets.dicom_series.errors import DicomError
from recon_datasets.dicom_series.frame import DicomFile
from recon_datasets.dicom_series.series import is_beside, read_files
from recon_datasets.dicom_series.stacks import Stack, choose, group, split
from recon_datasets.dicom_series.volume import arrange

__all__ = ["scan"]


def scan(path: Path | Sequence[Path], *, text: bool = False) -> list[SeriesInfo]:
    """List the series of a folder with its subfolders, a zip archive, a list of files, or a file.

    No pixel is read, so slices that lie in one place are listed as a problem even where they are copies. A
    series that would be refused is listed with the code; nothing it holds stops the others.

    Parameters
    ----------
    path
        What to look into.
    text
        Also return descriptions and identifiers, which may name the patient.

    Raises
    ------
    DicomError
        If there is no DICOM file at all.
    """
    files = read_files(path, text=text)
    studies = {study: i for i, study in enumerate(sorted({item.study for item in files}), start=1)}
    return [_series(found, number, studies[found[0].study]) for number, found in enumerate(group(files), start=1)]


def _series(files: list[DicomFile], number: int, study: int) -> SeriesInfo:
    images = [item for item in files if not is_beside(item)] or files
    error = next((item.error or item.placeless for item in images if item.error or item.placeless), None)
    readable = [item for item in images if item.error is None]
    stacks = split(readable) if readable else []
    if error is None:
        try:
            choose(stacks, None, f"series {number}")
        except DicomError as several:
            error = several
    infos = tuple(_stack(stack, i) for i, stack in enumerate(stacks, start=1))
    if error is None:
        alone = next(info for info in infos if len(infos) == 1 or not info.localizer)
        problem, message = alone.problem, alone.message
    else:
        problem, message = error.code, error.message
    first = images[0]
    return SeriesInfo(
        number=number,
        study=study,
        series_number=first.series_number,
        modality=first.modality,
        files=len(files),
        size=sum(item.source.size for item in files),
        stacks=infos,
        problem=problem,
        message=message,
        text=first.text,
        paths=tuple(item.source.path for item in files) if first.source.member < 0 else (),
    )


def _stack(stack: Stack, number: int) -> StackInfo:
    first = stack.frames[0]
    try:
        volume = arrange(stack.frames, f"stack {number}")
    except DicomError as error:
        return StackInfo(
            number=number,
            kind=stack.label,
            shape=(len(stack.frames), *first.shape),
            voxel_size=None,
            localizer=stack.kind.localizer,
            problem=error.code,
            message=error.message,
        )
    sizes = first.spacing if first.kind.is_flat else None
    if volume.affine is not None:
        sizes = tuple(np.linalg.norm(volume.affine[:3, :3], axis=0).tolist())
    return StackInfo(
        number=number,
        kind=stack.label,
        shape=volume.shape,
        voxel_size=sizes,
        localizer=stack.kind.localizer,
    )
