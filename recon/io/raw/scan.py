"""Scans of readouts as measurements."""

from __future__ import annotations

from recon.errors import FileFormatError
from recon.io.measurement import Measurement
from recon.io.mrd_header import MRDHeader
from recon.io.raw.cartesian import cartesian_measurement
from recon.io.raw.noncartesian import noncartesian_measurement
from recon.io.raw.options import ScanOptions
from recon.io.raw.readouts import Readouts
from recon.io.raw.selection import select

__all__ = ["scan_measurement"]


def scan_measurement(readouts: Readouts, header: MRDHeader, options: ScanOptions, where: str) -> Measurement:
    """Arrange the readouts of a scan, Cartesian and EPI ones on a grid, all others along their stored trajectories.

    Raises
    ------
    FileFormatError
        If readouts and header contradict each other, none is of an image, or a trajectory is missing.
    """
    if options.encoding >= len(header.encodings):
        raise FileFormatError(
            f"{where}: its header describes {len(header.encodings)} encodings, not {options.encoding}"
        )
    encoding = header.encodings[options.encoding]
    if encoding.encoded.matrix is None:
        raise FileFormatError(f"{where}: the header states no encoded matrix, which tells where readouts belong")
    notes: list[str] = []
    selected = select(readouts, options, notes, where)
    arrange = cartesian_measurement if encoding.trajectory in ("cartesian", "epi") else noncartesian_measurement
    return arrange(selected, encoding, header, options, notes, where)
