"""The ramp filter of filtered back-projection, its windows, and its convolution with the rows of a sinogram."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

__all__ = ["Filter", "Padding", "filter_rows", "ramp_filter"]

Filter = Literal["ram-lak", "shepp-logan", "cosine", "hamming", "hann"]
Padding = Literal["zero", "edge"]


def ramp_filter(bins: int, window: Filter = "ram-lak", cutoff: float = 1.0, *, fan_step: float = 0.0) -> Tensor:
    """Return the filter's response, float64, at the frequencies of `torch.fft.rfft`, for a bin size of 1.

    The band-limited ramp is sampled in real space, h[0] = 1/4, h[n] = -1 / (pi n)^2 for odd n and 0 for even n, which
    keeps the mean of an image right; a ramp sampled in frequency does not. Divide by the bin size in mm for line
    integrals in mm. The length is the next 2^k or 3 2^k that keeps the convolution with `bins` samples from wrapping
    round.

    Parameters
    ----------
    bins
        Number of samples of a row.
    window
        What the response is multiplied by, in rising order of smoothness: ram-lak (nothing), shepp-logan, cosine,
        hamming, hann.
    cutoff
        Frequency at which the window ends, as a share of the Nyquist frequency.
    fan_step
        Fan angle between the bins of a curved detector in radians: h[n] is multiplied by (n step / sin(n step))^2.

    References
    ----------
    Kak and Slaney, Principles of Computerized Tomographic Imaging, 2001, doi:10.1137/1.9780898719277 (equations 3.61
    and 3.99)
    """
    power = 1 << (2 * bins - 1).bit_length()
    length = power * 3 // 4 if power * 3 // 4 >= max(2 * bins, 6) else power
    n = torch.arange(length, dtype=torch.float64)
    n = torch.minimum(n, length - n)
    ramp = torch.where(n % 2 == 1, -1 / (math.pi * n) ** 2, 0)
    ramp[0] = 1 / 4
    # Samples lie at most bins - 1 apart, and these are less than half a turn.
    ramp /= torch.sinc(n.clamp(max=bins - 1) * fan_step / math.pi) ** 2
    response = torch.fft.rfft(ramp).real
    r = torch.linspace(0, 1, length // 2 + 1, dtype=torch.float64) / cutoff
    shape = {
        "ram-lak": torch.ones_like(r),
        "shepp-logan": torch.sinc(r / 2),
        "cosine": torch.cos(math.pi * r / 2),
        "hamming": 0.54 + 0.46 * torch.cos(math.pi * r),
        "hann": 0.5 + 0.5 * torch.cos(math.pi * r),
    }[window]
    result: Tensor = response * torch.where(r <= 1, shape, 0)
    return result


def filter_rows(
    y: Tensor, window: Filter = "ram-lak", cutoff: float = 1.0, *, fan_step: float = 0.0, padding: Padding = "zero"
) -> Tensor:
    """Convolve the last axis with `ramp_filter`.

    Parameters
    ----------
    y
        Rows (..., D), real.
    window, cutoff, fan_step
        As for `ramp_filter`.
    padding
        What is assumed beyond the detector: zero, or the edge's value, which falls off over a row's length as a squared
        cosine and keeps an object that reaches beyond the detector from a bright rim.
    """
    bins = y.shape[-1]
    beyond = bins if padding == "edge" else 0
    response = ramp_filter(bins + beyond, window, cutoff, fan_step=_within_half_a_turn(fan_step, bins + beyond))
    length = 2 * (len(response) - 1)
    if beyond:
        fall = torch.cos(torch.arange(1, beyond + 1, dtype=torch.float64) * (math.pi / (2 * beyond + 2))) ** 2
        fall = fall.to(y)
        y = torch.cat([y[..., :1] * fall.flip(0), y, y[..., -1:] * fall], -1)
    response = response.to(y)

    def filtered(rows: Tensor) -> Tensor:
        return torch.fft.irfft(torch.fft.rfft(rows, length) * response, length)[..., beyond : beyond + bins]

    if y.device.type != "cpu":
        return filtered(y)
    # As many rows at a time as stay in the cache.
    parts = y.flatten(0, -2).split(max(1, 2**18 // length))
    return torch.cat([filtered(rows) for rows in parts]).unflatten(0, y.shape[:-1])


def _within_half_a_turn(fan_step: float, bins: int) -> float:
    return min(fan_step, 0.9 * math.pi / bins)
