"""The measurement data blocks of a twix file as readouts."""

from __future__ import annotations

import contextlib
import io
import struct
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recon.errors import FileFormatError
from recon.io.raw.readouts import HEAD, Flag, Readouts

__all__ = ["directions", "is_twix", "read_blocks"]

_FLAGS: Mapping[str, int] = {
    "NOISEADJSCAN": Flag.NOISE,
    "REFLECT": Flag.REVERSE,
    "PHASCOR": Flag.PHASE_CORRECTION,
    "HPFEEDBACK": 26,
    "RETRO_DUMMYSCAN": 27,
    "RTFEEDBACK": 28,
    "REFPHASESTABSCAN": 30,
    "PHASESTABSCAN": 31,
}
"""Siemens' flags that ISMRMRD has too, and its numbers."""

_COUNTERS: Mapping[str, str] = {
    "kspace_encode_step_1": "Lin", "kspace_encode_step_2": "Par", "average": "Ave", "slice": "Sli", "contrast": "Eco",
    "phase": "Phs", "repetition": "Rep", "set": "Set", "segment": "Seg",
}  # fmt: skip

_DAMAGE = (
    ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, OSError, RuntimeError, TypeError, ValueError,
    struct.error,
)  # fmt: skip
"""What twixtools raises on damaged files."""


def is_twix(path: Path) -> bool:
    """Whether a file starts with the protocol of a scan (VB), or with a list of scans that do (VD and later)."""
    if path.stat().st_size < 512:
        return False
    with path.open("rb") as file:
        head = file.read(64)
        first, second = struct.unpack("<II", head[:8])
        if first < 10000 and 0 < second <= 64:
            offset = struct.unpack("<Q", head[16:24])[0]
            if offset > path.stat().st_size:
                return False
            file.seek(offset)
            head = file.read(64)
    return any(name in head for name in (b"Config\0", b"Dicom\0", b"Meas\0", b"MeasYaps\0", b"Phoenix\0"))


def read_blocks(path: Path, scan: int) -> tuple[dict[str, Any], Readouts]:
    """Return the protocol of a scan, and its readouts.

    Raises
    ------
    FileFormatError
        If the file is damaged or cut off, or has no such scan.
    """
    count = _scans(path)
    if not -count <= scan < count:
        raise FileFormatError(f"{path} holds {count} scans; there is no {scan}")
    found, reason = _parsed(path, scan)
    if found is None:
        raise FileFormatError(f"{path} cannot be read by twixtools (damaged or cut off?): {reason}")
    blocks = found["mdb"]
    if not blocks or not blocks[-1].is_flag_set("ACQEND"):
        raise FileFormatError(f"{path} is cut off: the block that ends a scan is missing")
    blocks = blocks[:-1]
    try:
        with path.open("rb") as file:
            for block in blocks:
                block.fid = file  # else each block opens the file anew
            data = [np.ascontiguousarray(block.data, dtype=np.complex64) for block in blocks]
    except ValueError as error:
        raise FileFormatError(f"{path} is cut off: {' '.join(str(error).split())}") from error
    protocol = {name: part for name, part in found["hdr"].items() if isinstance(part, dict)}
    return protocol, Readouts(_heads(blocks, protocol), data)


def _scans(path: Path) -> int:
    """Return the number of scans in a file that `is_twix`."""
    with path.open("rb") as file:
        first, second = struct.unpack("<II", file.read(8))
    return int(second) if first < 10000 and 0 < second <= 64 else 1


def _parsed(path: Path, scan: int) -> tuple[dict[str, Any] | None, str]:
    """Return what twixtools makes of a scan, or None and what it complains of, quietly."""
    import twixtools

    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = twixtools.read_twix(
                str(path), include_scans=[scan], parse_pmu=False, parse_geometry=False, verbose=False,
                keep_acqend=True, keep_syncdata=False,
            )  # fmt: skip
            return found[0], ""
        except _DAMAGE as error:
            # As text: with the error, its file would stay open.
            return None, " ".join(str(error).split())


def directions(quaternion: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return readout, phase and slice direction (rows, LPS) of Siemens' quaternion (w, x, y, z).

    Its rotation turns the axes phase, readout, slice.
    """
    w, x, y, z = np.asarray(quaternion, dtype=np.float64)
    turn = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
    return turn.T[[1, 0, 2]]


def _heads(blocks: list[Any], protocol: Mapping[str, Any]) -> NDArray[np.void]:
    head = np.zeros(len(blocks), dtype=HEAD)
    dwell = protocol.get("MeasYaps", {}).get("sRXSPEC", {}).get("alDwellTime", [0])[0]
    for row, block in zip(head, blocks, strict=True):
        mdh = block.mdh
        noise = block.is_flag_set("NOISEADJSCAN")
        row["version"] = 1
        row["flags"] = _flags(block)
        row["scan_counter"] = mdh.ScanCounter
        row["number_of_samples"], row["center_sample"] = mdh.SamplesInScan, mdh.CenterCol
        row["active_channels"] = row["available_channels"] = mdh.UsedChannels
        row["discard_pre"], row["discard_post"] = mdh.CutOff.Pre, mdh.CutOff.Post
        row["sample_time_us"] = _noise_dwell(block) if noise else float(dwell) / 1000
        row["position"] = mdh.SliceData.SlicePos.Sag, mdh.SliceData.SlicePos.Cor, mdh.SliceData.SlicePos.Tra
        quaternion = np.asarray(mdh.SliceData.Quaternion, dtype=np.float64)
        if np.isfinite(quaternion).all() and quaternion.any():
            row["read_dir"], row["phase_dir"], row["slice_dir"] = directions(quaternion)
        for name, short in _COUNTERS.items():
            row["idx"][name] = getattr(mdh.Counter, short)
        row["idx"]["user"][5], row["idx"]["user"][6] = mdh.CenterLin, mdh.CenterPar
    return head


def _flags(block: Any) -> np.uint64:
    numbers = [number for name, number in _FLAGS.items() if block.is_flag_set(name)]
    if block.is_flag_set("PATREFANDIMASCAN"):
        numbers.append(Flag.CALIBRATION_AND_IMAGING)
    elif block.is_flag_set("PATREFSCAN"):
        numbers.append(Flag.CALIBRATION)
    return np.uint64(sum(1 << (number - 1) for number in numbers))


def _noise_dwell(block: Any) -> float:
    """Return the time per sample of noise readouts in us; scanners take them in a bandwidth of their own.

    That is about 130 Hz a sample, from VD on rounded down to tenths of a microsecond.
    """
    samples = max(1, int(block.mdh.SamplesInScan))
    return int(76800 / samples) / 10 if block.version_is_ve else 1e6 / (130 * samples)
