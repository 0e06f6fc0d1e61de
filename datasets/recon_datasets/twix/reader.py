"""Siemens raw data as measurements."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from annotated_types import Ge

from recon.errors import FileFormatError
from recon.io import Measurement
from recon.io.listing import check_is_file
from recon.io.raw.options import Averages, CalibrationLines, ScanOptions
from recon.io.raw.scan import scan_measurement
from recon_datasets.twix.blocks import is_twix, read_blocks
from recon_datasets.twix.protocol import header_of

__all__ = ["TwixReader"]


class TwixReader:
    """Reads a Cartesian scan of a meas.dat file, of software VB, VD or later, with twixtools.

    Readouts get the counters, flags, positions and directions of their own headers, the geometry of k-space comes from
    the protocol; the result is that of the reader `ismrmrd` for the same scan. The file's slice positions are towards
    the patient's left, back and head; its quaternions turn phase, readout and slice to them.

    Tested on files made by twixtools, not yet on a scanner's. Radial and spiral scans are refused: the file holds no
    trajectory.

    Parameters
    ----------
    scan
        Which of the file's measurements to read; by default the last, which the ones before only prepare.
    select
        Values of counters to keep, such as ``{"contrast": 0, "slice": 3}``: average, repetition, contrast (echo),
        phase, set, slice.
    averages
        mean of what was measured repeatedly, or stack, which makes an axis of it.
    calibration_lines
        Lines flagged as reference of parallel imaging alone: separate keeps them out of the data, for the measurement's
        calibration; merge takes them for data too.
    centre
        Counters (line, partition) at the centre of k-space, if the file states them wrongly.
    remove_oversampling
        Whether readout oversampling is removed at once, in image space; else the crop does it in the end.
    whiten
        Whether coils are decorrelated by the scan's noise readouts, if it has some.
    compress
        Number of virtual coils to compress to.
    conjugate
        Whether samples are conjugated, which turns the image about its centre; Siemens' directions are stated for that.
    """

    def __init__(
        self,
        *,
        scan: int = -1,
        select: Mapping[str, int] | None = None,
        averages: Averages = "mean",
        calibration_lines: CalibrationLines = "separate",
        centre: tuple[int, int] | None = None,
        remove_oversampling: bool = True,
        whiten: bool = True,
        compress: Annotated[int, Ge(1)] | None = None,
        conjugate: bool = True,
    ) -> None:
        self.scan = scan
        self.select = select
        self.averages: Averages = averages
        self.calibration_lines: CalibrationLines = calibration_lines
        self.centre = centre
        self.remove_oversampling = remove_oversampling
        self.whiten = whiten
        self.compress = compress
        self.conjugate = conjugate
        self._options = ScanOptions(
            select=select,
            averages=averages,
            calibration_lines=calibration_lines,
            centre=centre,
            remove_oversampling=remove_oversampling,
            whiten=whiten,
            compress=compress,
            conjugate=conjugate,
        )

    def accepts(self, path: Path) -> bool:
        """Whether the file starts like one of Siemens' raw data."""
        return is_twix(path)

    def read(self, path: Path) -> Measurement:
        """Read a scan.

        Raises
        ------
        FileFormatError
            If the file is damaged, cut off or of another kind, is not Cartesian, or has no readout of an image.
        """
        check_is_file(path)
        if not is_twix(path):
            raise FileFormatError(f"{path} is not a raw data file of Siemens (twix)")
        protocol, readouts = read_blocks(path, self.scan)
        return scan_measurement(readouts, header_of(protocol, readouts, path), self._options, str(path))
