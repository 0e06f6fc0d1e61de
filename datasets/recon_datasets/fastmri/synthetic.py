"""Files with fastMRI's layout from data of one's own: the published ones may not be passed on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor

from recon.errors import UsageError
from recon.io.atomic import atomic_file
from recon.kspace import crop_centred, ifft_centred, root_sum_of_squares

__all__ = ["PROTOCOLS", "write_fastmri", "write_synthetic"]

_HEADER = """<?xml version="1.0" encoding="utf-8"?>
<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">
  <measurementInformation><patientPosition>HFS</patientPosition><protocolName>{acquisition}</protocolName>
  </measurementInformation>
  <acquisitionSystemInformation><systemVendor>synthetic</systemVendor>
    <systemFieldStrength_T>{tesla}</systemFieldStrength_T><receiverChannels>{coils}</receiverChannels>
  </acquisitionSystemInformation>
  <experimentalConditions><H1resonanceFrequency_Hz>{hertz}</H1resonanceFrequency_Hz></experimentalConditions>
  <encoding>
    <encodedSpace><matrixSize><x>{height}</x><y>{width}</y><z>1</z></matrixSize>
      <fieldOfView_mm><x>{readout_mm:g}</x><y>{phase_mm:g}</y><z>{slice_mm:g}</z></fieldOfView_mm></encodedSpace>
    <reconSpace><matrixSize><x>{rows}</x><y>{columns}</y><z>1</z></matrixSize>
      <fieldOfView_mm><x>{rows_mm:g}</x><y>{columns_mm:g}</y><z>{slice_mm:g}</z></fieldOfView_mm></reconSpace>
    <encodingLimits>
      <kspace_encoding_step_1>
        <minimum>0</minimum><maximum>{last}</maximum><center>{center}</center></kspace_encoding_step_1>
      <slice><minimum>0</minimum><maximum>{last_slice}</maximum><center>{middle_slice}</center></slice>
    </encodingLimits>
    <trajectory>cartesian</trajectory>
  </encoding>
  <sequenceParameters><TR>{tr}</TR><TE>{te}</TE>{ti}<flipAngle_deg>{flip}</flipAngle_deg></sequenceParameters>
</ismrmrdHeader>
"""


@dataclass(frozen=True, slots=True)
class _Protocol:
    """Plausible times (ms), flip angle (degrees), field (tesla), and edges of a voxel (mm) in the plane and across."""

    tr: float
    te: float
    ti: float | None
    flip: float
    tesla: float
    pixel_mm: float
    slice_mm: float


PROTOCOLS: Mapping[str, _Protocol] = {
    "CORPD_FBK": _Protocol(2750, 27, None, 140, 2.8936, 0.5, 3.0),
    "CORPDFS_FBK": _Protocol(2870, 33, None, 140, 2.8936, 0.5, 3.0),
    "AXT1": _Protocol(500, 9, None, 80, 1.494, 0.6875, 5.0),
    "AXT1PRE": _Protocol(250, 2.6, None, 70, 2.8936, 0.6875, 5.0),
    "AXT1POST": _Protocol(250, 2.6, None, 70, 2.8936, 0.6875, 5.0),
    "AXT2": _Protocol(6000, 101, None, 140, 2.8936, 0.6875, 5.0),
    "AXFLAIR": _Protocol(9000, 81, 2500, 150, 2.8936, 0.6875, 5.0),
}
"""The protocols of fastMRI's knees and brains."""


def write_fastmri(
    path: Path,
    kspace: Tensor,
    *,
    size: tuple[int, int],
    mask: Tensor | None = None,
    acquisition: str = "CORPD_FBK",
    measured: tuple[int, int] | None = None,
    pixel_mm: float | None = None,
    reference: bool = True,
) -> None:
    """Write a volume with fastMRI's layout; the references are computed from k-space as the publishers did.

    Parameters
    ----------
    path
        The file.
    kspace
        Fully sampled, (slice, H, W) for a single-coil file or (slice, coil, H, W), centred and orthonormal.
    size
        (rows, columns) of the reference, which is cropped from the middle.
    mask
        Columns (W,) to keep, for a file like those of the test sets, whose references are left out with
        ``reference=False``.
    acquisition
        Name of the protocol, one of `PROTOCOLS`, which also says what the header does: times, field, voxels.
    measured
        Columns (first, past the last) that the scanner measured; the others are zero, as the header tells (padding).
    pixel_mm
        Side of a pixel, by default the protocol's.
    reference
        Whether to store the reference reconstructions.

    Raises
    ------
    UsageError
        If k-space, size, columns or protocol cannot be.
    """
    if kspace.ndim not in (3, 4) or not kspace.is_complex():
        raise UsageError("k-space must be complex of shape (slice, H, W) or (slice, coil, H, W)")
    height, width = kspace.shape[-2:]
    rows, columns = size
    if rows > height or columns > width:
        raise UsageError(f"a reference of {size} cannot be cropped from {(height, width)}")
    if acquisition not in PROTOCOLS:
        raise UsageError(f"unknown protocol {acquisition!r}; known: {', '.join(PROTOCOLS)}")
    first, end = measured or (0, width)
    if not 0 <= first <= width // 2 < end <= width:
        raise UsageError(f"the measured columns {first} to {end - 1} must lie in 0 to {width - 1} and hold the centre")
    if measured is not None:
        kspace = torch.cat([torch.zeros_like(kspace[..., :first]), kspace[..., first:end],
                            torch.zeros_like(kspace[..., end:])], dim=-1)  # fmt: skip
    magnitude = crop_centred(ifft_centred(kspace), size).abs().float()
    target = magnitude if kspace.ndim == 3 else root_sum_of_squares(magnitude)[:, 0]
    protocol = PROTOCOLS[acquisition]
    pixel = protocol.pixel_mm if pixel_mm is None else pixel_mm
    header = _HEADER.format(
        acquisition=acquisition, tesla=protocol.tesla, hertz=round(42.577478518e6 * protocol.tesla),
        coils=1 if kspace.ndim == 3 else kspace.shape[1], height=height, width=width, readout_mm=height * pixel,
        phase_mm=width * pixel, rows=rows, columns=columns, rows_mm=rows * pixel, columns_mm=columns * pixel,
        slice_mm=protocol.slice_mm, last=end - first - 1, center=width // 2 - first, last_slice=len(kspace) - 1,
        middle_slice=len(kspace) // 2, tr=protocol.tr, te=protocol.te, flip=protocol.flip,
        ti="" if protocol.ti is None else f"<TI>{protocol.ti}</TI>",
    )  # fmt: skip
    with atomic_file(path) as temporary, h5py.File(temporary, "w") as file:
        stored = kspace if mask is None else torch.where(mask.bool(), kspace, 0)
        file["kspace"] = stored.to(torch.complex64).numpy()
        file["ismrmrd_header"] = header.encode()
        file.attrs["acquisition"] = acquisition
        file.attrs["patient_id"] = hashlib.sha256(Path(path).name.encode()).hexdigest()
        if reference:
            # Single-coil files carry both: the root of one square is the magnitude.
            file["reconstruction_rss"] = target.numpy()
            if kspace.ndim == 3:
                file["reconstruction_esc"] = target.numpy()
            file.attrs["max"] = float(target.max())
            file.attrs["norm"] = float(torch.linalg.vector_norm(target))
        if mask is not None:
            file["mask"] = mask.bool().numpy().astype(np.float32)
            file.attrs["acceleration"] = round(mask.numel() / max(1, int(mask.sum())))
            file.attrs["num_low_frequency"] = int(_central_run(mask.bool()))


def write_synthetic(
    path: Path,
    *,
    slices: int = 2,
    coils: int | None = 3,
    shape: tuple[int, int] = (32, 24),
    size: tuple[int, int] = (20, 20),
    seed: int = 0,
    mask: Tensor | None = None,
    acquisition: str = "CORPD_FBK",
    measured: tuple[int, int] | None = None,
    reference: bool = True,
) -> None:
    """Write random smooth images as a fastMRI file; ``coils=None`` writes a single-coil one."""
    generator = torch.Generator().manual_seed(seed)
    count = (slices,) if coils is None else (slices, coils)
    noise = torch.randn(*count, *shape, generator=generator, dtype=torch.complex64)
    ky, kx = (torch.linspace(-1, 1, n) for n in shape)
    low_pass = torch.exp(-8 * (ky[:, None] ** 2 + kx**2))
    write_fastmri(
        Path(path),
        1e-4 * noise * low_pass,
        size=size,
        mask=mask,
        acquisition=acquisition,
        measured=measured,
        reference=reference,
    )


def _central_run(mask: Tensor) -> int:
    middle = len(mask) // 2
    left, right = mask[:middle].flip(0).int(), mask[middle:].int()
    return int(left.cumprod(0).sum() + right.cumprod(0).sum())
