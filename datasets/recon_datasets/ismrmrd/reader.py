"""ISMRMRD raw data as measurements."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from annotated_types import Ge

from recon.io import Measurement
from recon.io.hdf5 import open_hdf5
from recon.io.raw.options import Averages, CalibrationLines, ScanOptions, TrajectoryUnit
from recon.io.raw.scan import scan_measurement
from recon_datasets.ismrmrd.records import groups, read_records

__all__ = ["ISMRMRDReader"]


class ISMRMRDReader:
    """Reads a scan in ISMRMRD's HDF5 format (MRD version 1).

    The data are k-space (batch, coil, y, x) or (batch, coil, z, y, x): x is the readout, y and z are the encoding steps
    1 and 2, centred where the header says. Slices, repetitions, contrasts, phases and sets are the batch; slices are
    ordered by position. The operator is ``fourier`` with the measured lines as mask. Readouts that are noise,
    navigators, phase correction and the like are not data; the notes say how many of which were left out.

    The affine places voxel n // 2 of the encoded image at the position of the readouts, with axes along the directions
    of readout, phase and slice, turned from the file's LPS to RAS. The measurement's crop keeps of a reconstruction
    what the scanner would show; voxels stay as they were measured, never interpolated to a larger matrix.

    Parameters
    ----------
    group
        The scan to read, of a file with several: dataset, dataset_2 ...
    encoding
        Which of the scan's encoding spaces to read.
    select
        Values of counters to keep, such as ``{"contrast": 0, "slice": 3}``: average, repetition, contrast, phase, set,
        slice.
    averages
        mean of what was measured repeatedly, or stack, which makes an axis of it.
    calibration_lines
        Lines flagged as parallel calibration alone: separate keeps them out of the data, for the measurement's
        calibration; merge takes them for data too.
    centre
        Counters (step 1, step 2) at the centre of k-space, if the header states them wrongly, as converters do.
    remove_oversampling
        Whether readout oversampling is removed at once, in image space; else the crop does it in the end.
    whiten
        Whether coils are decorrelated by the scan's noise readouts, if it has some: noise gets the standard deviation 1
        in the real and the imaginary part. Their dwell time and the receiver's bandwidth are accounted for.
    compress
        Number of virtual coils to compress to.
    conjugate
        Whether samples are conjugated, which turns the image about its centre. By default those of Siemens are: their
        directions are stated for a forward transform from k-space to the image.
    trajectory_unit
        Unit of a stored trajectory, which the format does not define; needed to read non-Cartesian scans.

    References
    ----------
    Inati et al., Magn. Reson. Med. 77:411, 2017, doi:10.1002/mrm.26089
    """

    def __init__(
        self,
        *,
        group: str | None = None,
        encoding: Annotated[int, Ge(0)] = 0,
        select: Mapping[str, int] | None = None,
        averages: Averages = "mean",
        calibration_lines: CalibrationLines = "separate",
        centre: tuple[int, int] | None = None,
        remove_oversampling: bool = True,
        whiten: bool = True,
        compress: Annotated[int, Ge(1)] | None = None,
        conjugate: bool | None = None,
        trajectory_unit: TrajectoryUnit | None = None,
    ) -> None:
        self.group = group
        self.encoding = encoding
        self.select = select
        self.averages: Averages = averages
        self.calibration_lines: CalibrationLines = calibration_lines
        self.centre = centre
        self.remove_oversampling = remove_oversampling
        self.whiten = whiten
        self.compress = compress
        self.conjugate = conjugate
        self.trajectory_unit: TrajectoryUnit | None = trajectory_unit
        self._options = ScanOptions(
            encoding=encoding,
            select=select,
            averages=averages,
            calibration_lines=calibration_lines,
            centre=centre,
            remove_oversampling=remove_oversampling,
            whiten=whiten,
            compress=compress,
            conjugate=conjugate,
            trajectory_unit=trajectory_unit,
        )

    def accepts(self, path: Path) -> bool:
        """Whether the file has a group with readouts."""
        with open_hdf5(path) as file:
            return bool(groups(file))

    def read(self, path: Path) -> Measurement:
        """Read a scan.

        Raises
        ------
        FileFormatError
            If the file is damaged or another kind of HDF5 file, has no header or no readout of an image, header and
            readouts contradict each other, or noise and image have different coils.
        """
        with open_hdf5(path) as file:
            header, readouts = read_records(file, self.group, path)
        return scan_measurement(readouts, header, self._options, str(path))
