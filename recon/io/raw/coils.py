"""What happens to readouts on their way: coils decorrelated, samples conjugated."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from recon.errors import FileFormatError, UsageError
from recon.io.coil_compression import CoilCompression, compress_svd
from recon.io.mrd_header import MRDHeader
from recon.io.noise import noise_covariance, whitening_matrix
from recon.io.raw.options import ScanOptions
from recon.io.raw.readouts import Readouts
from recon.io.raw.selection import Selection

__all__ = ["Step", "compression", "treatment"]

Step = Callable[[Tensor], Tensor]
"""Acts on readouts (readout, channel, sample)."""


def treatment(selected: Selection, header: MRDHeader, options: ScanOptions, notes: list[str], where: str) -> list[Step]:
    """Return whitening by the noise readouts and conjugation, as far as they apply.

    Raises
    ------
    FileFormatError
        If the noise readouts have other channels than the image's, or too few or degenerate samples.
    """
    steps: list[Step] = []
    if options.whiten and len(selected.noise):
        matrix = _whitening(selected.noise, selected.imaging, header, where).to(torch.complex64)
        steps.append(lambda y: matrix @ y)
        notes.append(f"whitened by {sum(samples.shape[1] for samples in selected.noise.data)} samples of noise")
    siemens = header.vendor.startswith("siemens")
    if siemens if options.conjugate is None else options.conjugate:
        steps.append(lambda y: y.conj().resolve_conj())
        notes.append("samples conjugated" + ("; Siemens' directions are stated for that" if siemens else ""))
    return steps


def compression(y: Tensor, coils: int, notes: list[str]) -> CoilCompression:
    """Return the compression to virtual coils, found from `y`."""
    found = compress_svd(y, coils=coils)
    notes.append(f"{y.shape[1]} coils compressed to {coils}, which hold {found.energy:.4%} of the energy")
    return found


def _whitening(noise: Readouts, imaging: Readouts, header: MRDHeader, where: str) -> Tensor:
    own, channels = sorted({len(samples) for samples in noise.data}), len(imaging.data[0])
    if own != [channels]:
        raise FileFormatError(
            f"{where}: noise readouts have {own} channels, those of the image {channels}: read it with whiten=False"
        )
    samples = torch.from_numpy(np.concatenate(list(noise.data), axis=1))
    times = [float(part.head["sample_time_us"][0]) for part in (noise, imaging)]
    known = min(times) > 0
    try:
        covariance = noise_covariance(
            samples[None],
            dwell_time=times[0] if known else None,
            scan_dwell_time=times[1] if known else None,
            relative_bandwidth=header.noise_bandwidth,
        )
        return whitening_matrix(covariance)
    except UsageError as error:
        raise FileFormatError(f"{where}: {error}; or read it with whiten=False") from error
