"""Scans of point sources in closed form: where each must appear is known from its place in the patient."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recon.io.mrd_header import Encoding, Limit, Space, header_xml
from recon.io.raw.readouts import HEAD, Readouts
from recon_datasets.ismrmrd.writer import write_readouts

__all__ = ["axial", "point_encoding", "point_readouts", "write_points"]

Vector = Sequence[float]


def axial(turn: float = 0.0, tilt: float = 0.0) -> NDArray[np.float64]:
    """Return directions of readout, phase and slice (rows, LPS) of an axial slice, turned in its plane and tilted."""
    c, s = np.cos(turn), np.sin(turn)
    plane = np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]])
    c, s = np.cos(tilt), np.sin(tilt)
    return plane @ np.array([[1.0, 0.0, 0.0], [0.0, c, s], [0.0, -s, c]])


def point_readouts(
    points: Sequence[Vector],
    *,
    matrix: tuple[int, int, int],
    fov: Vector,
    position: Vector = (0.0, 0.0, 0.0),
    directions: ArrayLike | None = None,
    coils: int = 2,
    sign: int = -1,
    lines: Sequence[int] | None = None,
    slice_number: int = 0,
) -> Readouts:
    """Return one readout for each line: all that `lines` names of each partition.

    Coil c measures sum_p (c + 1) (p + 1) exp(sign 2 pi i k . (r_p - position)), with k in cycles/mm along the
    directions and zero at sample x // 2 of line y // 2 of partition z // 2.

    Parameters
    ----------
    points
        Places r_p in the patient (LPS, mm).
    matrix, fov
        Of the encoded space (x, y, z); z = 1 for a slice, which all points are taken to lie in.
    position, directions
        Centre of the scan in the patient, and directions of readout, phase and slice as rows; LPS.
    coils
        Number of channels.
    sign
        Of the exponent: -1 as here, +1 as of Siemens.
    lines
        Encoding steps 1 to measure; by default all.
    slice_number
        Counter of the slice.
    """
    frame = axial() if directions is None else np.asarray(directions, dtype=np.float64)
    size = np.array(matrix)
    along = (np.asarray(points, dtype=np.float64) - np.asarray(position)) @ frame.T / np.asarray(fov)
    if matrix[2] == 1:
        along[:, 2] = 0
    k = [np.arange(n) - n // 2 for n in size]
    phases = [np.exp(sign * 2j * np.pi * np.outer(along[:, axis], k[axis])) for axis in range(3)]
    strength = np.arange(1, len(along) + 1)
    chosen = list(range(matrix[1]) if lines is None else lines)
    signal = np.einsum("p,px,py,pz->zyx", strength, phases[0], phases[1][:, chosen], phases[2])
    z, y = (part.ravel() for part in np.meshgrid(np.arange(matrix[2]), chosen, indexing="ij"))
    head = np.zeros(len(z), dtype=HEAD)
    head["version"] = 1
    head["number_of_samples"], head["center_sample"] = matrix[0], matrix[0] // 2
    head["active_channels"] = head["available_channels"] = coils
    head["sample_time_us"] = 5.0
    head["position"] = position
    head["read_dir"], head["phase_dir"], head["slice_dir"] = frame
    head["idx"]["kspace_encode_step_1"], head["idx"]["kspace_encode_step_2"] = y, z
    head["idx"]["slice"] = slice_number
    weights = np.arange(1, coils + 1)[:, None]
    return Readouts(head, [(weights * line).astype(np.complex64) for line in signal.reshape(len(z), -1)])


def point_encoding(
    matrix: tuple[int, int, int],
    fov: Vector,
    *,
    shown: tuple[int, int, int] | None = None,
    centre: tuple[int, int] | None = None,
    trajectory: str = "cartesian",
) -> Encoding:
    """Return the encoding of such a scan; `shown` is the size (x, y, z) of what the scanner would keep of it."""
    shown = shown or matrix
    x, y, z = (f * b / a for f, a, b in zip(fov, matrix, shown, strict=True))
    one, two = centre or (matrix[1] // 2, matrix[2] // 2)
    limits = {
        "kspace_encoding_step_1": Limit(0, matrix[1] - 1, one),
        "kspace_encoding_step_2": Limit(0, matrix[2] - 1, two),
    }
    return Encoding(Space(matrix, (fov[0], fov[1], fov[2])), Space(shown, (x, y, z)), limits, trajectory)


def write_points(path: Path, readouts: Readouts, encoding: Encoding, *, vendor: str = "synthetic") -> None:
    """Write a scan with the header of one encoding."""
    write_readouts(path, header_xml(encoding, {"manufacturer": vendor}, coils=len(readouts.data[0])), readouts)
