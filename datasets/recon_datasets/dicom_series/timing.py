"""When volumes were measured."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from recon_datasets.dicom_series.frame import Frame
from recon_datasets.dicom_series.header import Fields

__all__ = ["time_slice", "volume_times"]

_TEMPORAL, _IMAGE_INDEX, _SLICES = 0x00200100, 0x00541330, 0x00540081


def time_slice(fields: Fields) -> float | None:
    """Return the position in time of a PET slice: as stated, else by ImageIndex, which counts slices within times.

    References
    ----------
    PS3.3, C.8.9.4.1.9
    """
    stated, index, slices = (fields.number(tag) for tag in (_TEMPORAL, _IMAGE_INDEX, _SLICES))
    if stated is not None or index is None or slices is None or slices < 1 or index < 1:
        return stated
    return (index - 1) // slices + 1


def volume_times(frames: Sequence[Sequence[Frame]]) -> dict[str, tuple[float, ...]]:
    """Return the start of each volume in s after the first, by the clock of its earliest slice.

    Nothing where a file is silent or the clock does not advance from each volume to the next: some scanners write the
    same time into all files.
    """
    clocks = [[frame.times.started for frame in volume] for volume in frames]
    starts = [min(clock for clock in volume if clock is not None) for volume in clocks if None not in volume]
    if len(frames) < 2 or len(starts) != len(frames) or any(b <= a for a, b in pairwise(starts)):
        return {}
    return {"times_s": tuple(round(start - starts[0], 6) for start in starts)}
