"""Time segmentation: exp(-i w t) as a short sum of products of a function of time and one of place."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from recon.errors import UsageError

__all__ = ["Interpolation", "segments_of", "time_segments"]

Interpolation = Literal["histogram", "least_squares"]

_BINS = 512
_MOST = 64
_CHUNK = 2**22


def time_segments(
    omega: Tensor, times: Tensor, segments: int, interpolation: Interpolation = "histogram"
) -> tuple[Tensor, Tensor, float]:
    """Return tau and b with exp(-i w t) ~ sum_l b_l(t) exp(-i w tau_l), and the largest error over t.

    The segments' times tau are spread evenly over the readout; for each t, b minimises the mean of the squared error
    over the field map's values w, as they are (least_squares) or by their histogram of 512 bins, which needs a fraction
    of the time. The error is the root of that mean.

    Shapes: omega (...) in rad/s, times (T,) in s -> tau (L,), b (L, T) complex128.

    References
    ----------
    Sutton, Noll and Fessler, IEEE Trans. Med. Imaging 22:178, 2003, doi:10.1109/TMI.2002.808360
    """
    values, shares = _distribution(omega.double().flatten(), interpolation)
    times = times.double()
    first, last = float(times.min()), float(times.max())
    places = torch.linspace(first, last, segments, dtype=torch.float64)
    tau = places if segments > 1 else torch.tensor([(first + last) / 2], dtype=torch.float64)
    step = max(1, _CHUNK // len(times))
    blocks = list(zip(values.split(step), shares.split(step), strict=True))
    gram = torch.zeros(segments, segments, dtype=torch.complex128)
    right = torch.zeros(segments, len(times), dtype=torch.complex128)
    for w, share in blocks:
        basis = _turned(w, tau)
        weighted = (share[:, None] * basis).mH
        gram += weighted @ basis
        right += weighted @ _turned(w, times)
    b = torch.linalg.pinv(gram, hermitian=True, rtol=1e-13) @ right
    squares = torch.zeros(len(times), dtype=torch.float64)
    for w, share in blocks:
        squares += share @ (_turned(w, times) - _turned(w, tau) @ b).abs().square()
    return tau, b, float(squares.max().sqrt())


def _turned(omega: Tensor, times: Tensor) -> Tensor:
    phase = -omega[:, None] * times
    return torch.polar(torch.ones_like(phase), phase)


def segments_of(omega: Tensor, times: Tensor, tolerance: float) -> int:
    """Return the smallest number of segments whose error is at most `tolerance` at every time.

    Raises
    ------
    UsageError
        If 64 are not enough.
    """
    for segments in range(1, _MOST + 1):
        if time_segments(omega, times, segments)[2] <= tolerance:
            return segments
    raise UsageError(
        f"{_MOST} segments do not reach an error of {tolerance:g}: are field map and times in the units given?"
    )


def _distribution(omega: Tensor, interpolation: Interpolation) -> tuple[Tensor, Tensor]:
    low, high = float(omega.min()), float(omega.max())
    if interpolation == "least_squares" or len(omega) <= _BINS or low == high:
        values, counts = torch.unique(omega, return_counts=True)
    else:
        counts = torch.histc(omega, _BINS, low, high)
        width = (high - low) / _BINS
        values = low + width * (torch.arange(_BINS, dtype=torch.float64) + 0.5)
        values, counts = values[counts > 0], counts[counts > 0]
    return values, counts.double() / len(omega)
