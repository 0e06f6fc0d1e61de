"""Readouts as scanners store them: one header and one block of samples each, in the order of measurement."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["AXES", "EXCLUDED", "HEAD", "Flag", "Readouts"]


class Flag:
    """Numbers of the flags of a readout, which count from 1: flag n is bit n - 1."""

    NOISE = 19
    CALIBRATION = 20
    CALIBRATION_AND_IMAGING = 21
    REVERSE = 22
    NAVIGATION = 23
    PHASE_CORRECTION = 24


EXCLUDED: Mapping[int, str] = {
    Flag.NOISE: "noise",
    Flag.NAVIGATION: "navigator",
    Flag.PHASE_CORRECTION: "EPI phase-correction",
    26: "feedback",
    27: "dummy",
    28: "real-time feedback",
    29: "surface-coil correction",
    30: "phase-stabilisation reference",
    31: "phase-stabilisation",
}
"""Flags of readouts that belong to no image, and what they are called."""

AXES = ("average", "repetition", "contrast", "phase", "set", "slice")
"""Counters that tell images apart, outermost first."""

_COUNTERS = ("kspace_encode_step_1", "kspace_encode_step_2", "average", "slice", "contrast", "phase", "repetition")

HEAD = np.dtype(
    [
        ("version", "<u2"),
        ("flags", "<u8"),
        ("measurement_uid", "<u4"),
        ("scan_counter", "<u4"),
        ("acquisition_time_stamp", "<u4"),
        ("physiology_time_stamp", "<u4", (3,)),
        ("number_of_samples", "<u2"),
        ("available_channels", "<u2"),
        ("active_channels", "<u2"),
        ("channel_mask", "<u8", (16,)),
        ("discard_pre", "<u2"),
        ("discard_post", "<u2"),
        ("center_sample", "<u2"),
        ("encoding_space_ref", "<u2"),
        ("trajectory_dimensions", "<u2"),
        ("sample_time_us", "<f4"),
        ("position", "<f4", (3,)),
        ("read_dir", "<f4", (3,)),
        ("phase_dir", "<f4", (3,)),
        ("slice_dir", "<f4", (3,)),
        ("patient_table_position", "<f4", (3,)),
        ("idx", [*((name, "<u2") for name in (*_COUNTERS, "set", "segment")), ("user", "<u2", (8,))]),
        ("user_int", "<i4", (8,)),
        ("user_float", "<f4", (8,)),
    ]
)
"""Header of a readout in ISMRMRD version 1, by which the readers of other raw formats describe theirs too."""


@dataclass(frozen=True, slots=True, eq=False)
class Readouts:
    """Readouts in the order of measurement.

    Parameters
    ----------
    head
        Headers (readout,) with the fields of `HEAD`.
    data
        Samples (channel, sample) of each readout, complex64.
    trajectory
        Where each was measured, (sample, dimension), x first; None where no readout says.
    """

    head: NDArray[np.void]
    data: Sequence[NDArray[np.complex64]]
    trajectory: Sequence[NDArray[np.float32]] | None = None

    def __len__(self) -> int:
        """Return the number of readouts."""
        return len(self.head)

    def flagged(self, *numbers: int) -> NDArray[np.bool_]:
        """Return which readouts carry at least one of the flags."""
        bits = np.uint64(sum(1 << (number - 1) for number in numbers))
        return np.asarray(self.head["flags"] & bits, dtype=bool)

    def counter(self, name: str) -> NDArray[np.int64]:
        """Return an encoding counter of all readouts."""
        return np.asarray(self.head["idx"][name], dtype=np.int64)

    def first(self, name: str, values: Iterable[int]) -> list[int]:
        """Return the first readout for each of some values of a counter, all of which occur."""
        counter = self.counter(name)
        return [int((counter == value).argmax()) for value in values]

    def take(self, chosen: NDArray[np.bool_]) -> Readouts:
        """Return some of the readouts."""
        if chosen.all():
            return self
        kept = np.flatnonzero(chosen).tolist()
        trajectory = None if self.trajectory is None else [self.trajectory[i] for i in kept]
        return Readouts(self.head[kept], [self.data[i] for i in kept], trajectory)
