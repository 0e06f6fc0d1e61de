"""Small twix files, written by twixtools."""

from __future__ import annotations

import contextlib
import io
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["protocol_text", "quaternion_of", "write_twix_points"]


def quaternion_of(frame: np.ndarray) -> np.ndarray:
    """Return Siemens' quaternion (w, x, y, z) of readout, phase and slice direction as rows, by its eigenvector."""
    m = np.asarray(frame, dtype=np.float64)[[1, 0, 2]].T  # columns phase, readout, slice
    if np.linalg.det(m) < 0:
        raise ValueError("phase, readout and slice must be a right-handed frame")
    k = np.empty((4, 4))
    k[0] = [m.trace(), m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1]]
    k[1:, 0] = k[0, 1:]
    k[1:, 1:] = m + m.T - m.trace() * np.eye(3)
    vector: np.ndarray = np.linalg.eigh(k)[1][:, -1]
    return vector


def protocol_text(matrix: Sequence[int], fov: Sequence[float], *, oversampling: int = 2, trajectory: int = 1) -> bytes:
    """Return the protocol of a scan: shown matrix (x, y, z) and field of view in mm, readout oversampled."""
    x, y, z = matrix
    yaps = f"""### ASCCONV BEGIN ###
sKSpace.lBaseResolution\t = \t{x}
sKSpace.lPhaseEncodingLines\t = \t{y}
sKSpace.lPartitions\t = \t{z}
sKSpace.ucDimension\t = \t{4 if z > 1 else 2}
sKSpace.ucTrajectory\t = \t{trajectory}
sSliceArray.asSlice[0].dReadoutFOV\t = \t{fov[0]}
sSliceArray.asSlice[0].dPhaseFOV\t = \t{fov[1]}
sSliceArray.asSlice[0].dThickness\t = \t{fov[2]}
sRXSPEC.alDwellTime[0]\t = \t5000
alTR[0]\t = \t500000
alTE[0]\t = \t4500

### ASCCONV END ###
"""
    meas = "".join(
        f'<ParamLong."{name}"> {{ {value} }}\n'
        for name, value in (("iNoOfFourierColumns", oversampling * x), ("iPEFTLength", y), ("i3DFTLength", z))
    )
    dicom = '<ParamDouble."flMagneticFieldStrength"> { <Precision> 6 2.89362 }\n'
    parts = b""
    for name, text in (("Config", ""), ("Dicom", dicom), ("Meas", meas), ("MeasYaps", yaps)):
        content = text.encode("latin1") + b" " * 64
        parts += name.encode() + b"\0" + struct.pack("<I", len(content)) + content
    parts += b" " * (-(len(parts) + 8) % 32)
    return struct.pack("<II", len(parts) + 8, 4) + parts


def write_twix_points(path: Path, readouts: Any, protocol: bytes, flags: Sequence[Sequence[str]] | None = None) -> None:
    """Write readouts (`recon.io.raw.readouts.Readouts`) as a file of one scan.

    Parameters
    ----------
    path
        A file that does not exist yet.
    readouts
        Whose counters, positions and directions go into the file; their flags do not.
    protocol
        As of `protocol_text`.
    flags
        Names of Siemens' flags of each readout.
    """
    import twixtools
    from twixtools.mdb import Mdb_local

    blocks = []
    for number, (head, data) in enumerate(zip(readouts.head, readouts.data, strict=True)):
        block = Mdb_local(np.ascontiguousarray(data))
        mdh = block.mdh
        mdh.Counter.Lin = int(head["idx"]["kspace_encode_step_1"])
        mdh.Counter.Par = int(head["idx"]["kspace_encode_step_2"])
        mdh.Counter.Sli = int(head["idx"]["slice"])
        mdh.Counter.Rep = int(head["idx"]["repetition"])
        mdh.CenterCol = int(head["center_sample"])
        mdh.CenterLin, mdh.CenterPar = (int(value) for value in head["idx"]["user"][5:7])
        place = mdh.SliceData
        place.SlicePos.Sag, place.SlicePos.Cor, place.SlicePos.Tra = (float(value) for value in head["position"])
        frame = np.stack([head["read_dir"], head["phase_dir"], head["slice_dir"]])
        for axis, value in enumerate(quaternion_of(frame)):
            place.Quaternion[axis] = value
        for name in flags[number] if flags is not None else ():
            block.add_flag(name)
        blocks.append(block)
    scan = {"hdr_str": np.frombuffer(protocol, dtype="S1"), "mdb": blocks}
    with contextlib.redirect_stdout(io.StringIO()):
        twixtools.write_twix(scan, str(path))
