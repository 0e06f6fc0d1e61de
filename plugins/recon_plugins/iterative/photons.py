"""Statistical weights of transmission measurements."""

from __future__ import annotations

import torch
from torch import Tensor

from recon.errors import UsageError

__all__ = ["count_weights"]


def count_weights(y: Tensor, photons: float, electronic: float = 0.0) -> Tensor:
    """Return the inverse variance N^2 / (N + electronic^2) of line integrals y = -log(N / photons).

    Parameters
    ----------
    y
        Line integrals, real.
    photons
        Counts of a ray that meets nothing.
    electronic
        Standard deviation of the detector's own noise, in counts.

    Raises
    ------
    UsageError
        If y is complex.

    References
    ----------
    Sauer and Bouman, IEEE Trans. Signal Process. 41:534, 1993, doi:10.1109/78.193196;
    Thibault et al., SPIE 6065:60650X, 2006, doi:10.1117/12.660281 (with electronic noise)
    """
    if y.is_complex():
        raise UsageError("photons give weights to line integrals, which are real; the measurement is complex")
    counts = photons * torch.exp(-y)
    return counts**2 / (counts + electronic**2)
