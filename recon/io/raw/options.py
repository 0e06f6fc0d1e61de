"""What to make of a scan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge

from recon.errors import UsageError
from recon.io.raw.readouts import AXES

__all__ = ["Averages", "CalibrationLines", "ScanOptions", "TrajectoryUnit"]

Averages = Literal["mean", "stack"]
CalibrationLines = Literal["separate", "merge"]
TrajectoryUnit = Literal["cycles_per_fov", "cycles_per_pixel", "radians_per_pixel", "1/m", "rad/m"]


@dataclass(frozen=True, kw_only=True)
class ScanOptions:
    """What to make of a scan.

    Parameters
    ----------
    encoding
        Which of the scan's encoding spaces to read.
    select
        Values of counters to keep, such as ``{"contrast": 0}``; the names are those of `AXES`.
    averages
        mean of what was measured repeatedly, or stack, an item of the batch each.
    calibration_lines
        separate keeps lines that serve calibration alone out of the data; merge takes them for data too.
    centre
        Counters (step 1, step 2) at the centre of k-space, where the file states them wrongly.
    remove_oversampling
        Whether readout oversampling is removed; else the measurement's crop does it after the reconstruction.
    whiten
        Whether coils are decorrelated by the scan's noise readouts, if it has some.
    compress
        Number of virtual coils to compress to.
    conjugate
        Whether to conjugate the samples, which turns the image about its centre; None: where the maker is known to
        state directions for it.
    trajectory_unit
        Unit of stored trajectories.
    """

    encoding: Annotated[int, Ge(0)] = 0
    select: Mapping[str, int] | None = None
    averages: Averages = "mean"
    calibration_lines: CalibrationLines = "separate"
    centre: tuple[int, int] | None = None
    remove_oversampling: bool = True
    whiten: bool = True
    compress: Annotated[int, Ge(1)] | None = None
    conjugate: bool | None = None
    trajectory_unit: TrajectoryUnit | None = None

    def __post_init__(self) -> None:
        """Check the names of counters."""
        unknown = sorted(set(self.select or ()) - set(AXES))
        if unknown:
            raise UsageError(f"select knows {', '.join(AXES)}, not {', '.join(unknown)}")
