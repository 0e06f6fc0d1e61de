"""Files with fastMRI's layout from data of one's own: the published ones may not be passed on."""

from __future__ import annotations

import hashlib
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor

from recon.errors import UsageError
from recon.io.atomic import atomic_file
from recon.kspace import ifft_centred

__all__ = ["write_fastmri", "write_synthetic"]

_HEADER = """<?xml version="1.0" encoding="utf-8"?>
<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">
  <acquisitionSystemInformation><systemFieldStrength_T>2.8936</systemFieldStrength_T></acquisitionSystemInformation>
  <encoding>
    <encodedSpace><matrixSize><x>{height}</x><y>{width}</y><z>1</z></matrixSize>
      <fieldOfView_mm><x>{readout_mm:g}</x><y>{phase_mm:g}</y><z>4.5</z></fieldOfView_mm></encodedSpace>
    <reconSpace><matrixSize><x>{rows}</x><y>{columns}</y><z>1</z></matrixSize>
      <fieldOfView_mm><x>{rows_mm:g}</x><y>{columns_mm:g}</y><z>4.5</z></fieldOfView_mm></reconSpace>
    <encodingLimits><kspace_encoding_step_1>
      <minimum>0</minimum><maximum>{last}</maximum><center>{center}</center></kspace_encoding_step_1></encodingLimits>
    <trajectory>cartesian</trajectory>
  </encoding>
  <sequenceParameters><TR>2800</TR><TE>27</TE><flipAngle_deg>140</flipAngle_deg></sequenceParameters>
</ismrmrdHeader>
"""


def write_fastmri(
    path: Path,
    kspace: Tensor,
    *,
    size: tuple[int, int],
    mask: Tensor | None = None,
    acquisition: str = "CORPD_FBK",
    pixel_mm: float = 0.5,
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
        Name of the protocol.
    pixel_mm
        Side of a pixel.
    reference
        Whether to store the reference reconstructions.
    """
    if kspace.ndim not in (3, 4) or not kspace.is_complex():
        raise UsageError("k-space must be complex of shape (slice, H, W) or (slice, coil, H, W)")
    height, width = kspace.shape[-2:]
    rows, columns = size
    if rows > height or columns > width:
        raise UsageError(f"a reference of {size} cannot be cropped from {(height, width)}")
    images = ifft_centred(kspace)
    top, left = (height - rows) // 2, (width - columns) // 2
    magnitude = images[..., top : top + rows, left : left + columns].abs().float()
    target = magnitude if kspace.ndim == 3 else torch.linalg.vector_norm(magnitude, dim=1)
    header = _HEADER.format(
        height=height, width=width, readout_mm=height * pixel_mm, phase_mm=width * pixel_mm,
        rows=rows, columns=columns, rows_mm=rows * pixel_mm, columns_mm=columns * pixel_mm,
        last=width - 1, center=width // 2,
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
    reference: bool = True,
) -> None:
    """Write random smooth images as a fastMRI file; ``coils=None`` writes a single-coil one."""
    generator = torch.Generator().manual_seed(seed)
    count = (slices,) if coils is None else (slices, coils)
    noise = torch.randn(*count, *shape, generator=generator, dtype=torch.complex64)
    ky, kx = (torch.linspace(-1, 1, n) for n in shape)
    low_pass = torch.exp(-8 * (ky[:, None] ** 2 + kx**2))
    write_fastmri(Path(path), 1e-4 * noise * low_pass, size=size, mask=mask, reference=reference)


def _central_run(mask: Tensor) -> int:
    middle = len(mask) // 2
    left, right = mask[:middle].flip(0).int(), mask[middle:].int()
    return int(left.cumprod(0).sum() + right.cumprod(0).sum())
