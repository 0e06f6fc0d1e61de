"""Noise of receiver coils: their covariance, and data whose noise is the same and independent in all coils."""

from __future__ import annotations

import torch
from torch import Tensor

from recon.errors import UsageError

__all__ = ["noise_covariance", "whiten", "whitening_matrix"]


def noise_covariance(
    noise: Tensor,
    *,
    region: Tensor | None = None,
    dwell_time: float | None = None,
    scan_dwell_time: float | None = None,
    relative_bandwidth: float = 1.0,
) -> Tensor:
    """Return the covariance E[n n^H] of the coils' noise, (coil, coil) in complex128.

    Its mean is taken to be zero, as that of thermal noise is. The variance of a sample is that of its bandwidth, the
    inverse of the dwell time, so that of a noise scan is scaled by dwell_time / (scan_dwell_time relative_bandwidth)
    to that of the scan. Orthonormal transforms keep it: a region without signal will do in fully sampled coil images as
    well as in k-space.

    Shapes: noise (batch, coil, ...), complex.

    Parameters
    ----------
    noise
        Noise of a scan without excitation, or data some of whose points hold noise alone.
    region
        Which of the points hold noise alone, boolean, of the shape of the last axes of `noise`; None for all.
    dwell_time, scan_dwell_time
        Time per sample of the noise and of the scan that it is meant for, in one unit; None where they are the same.
    relative_bandwidth
        Share of its nominal bandwidth in which the receiver let noise pass, as files of noise scans state it
        (``relativeReceiverNoiseBandwidth``, typically 0.793).

    Raises
    ------
    UsageError
        If there are fewer samples than coils, or only one of the dwell times is given.

    References
    ----------
    Kellman and McVeigh, Magn. Reson. Med. 54:1439, 2005, doi:10.1002/mrm.20713
    """
    if noise.ndim < 3:
        raise UsageError(f"noise has the shape (batch, coil, ...), not {tuple(noise.shape)}")
    if (dwell_time is None) != (scan_dwell_time is None):
        raise UsageError("give the dwell times of both the noise and the scan, or neither")
    coils = noise.shape[1]
    if region is None:
        samples = noise.movedim(1, 0).reshape(coils, -1)
    else:
        if region.shape != noise.shape[noise.ndim - region.ndim :] or region.ndim > noise.ndim - 2:
            raise UsageError(f"a region {tuple(region.shape)} does not fit noise of shape {tuple(noise.shape)}")
        samples = noise[..., region.to(noise.device)].movedim(1, 0).reshape(coils, -1)
    count = samples.shape[1]
    if count < coils:
        raise UsageError(f"{count} samples of noise do not tell the covariance of {coils} coils: take {coils} or more")
    samples = samples.to(torch.complex128)
    covariance = samples @ samples.mH / count
    if dwell_time is not None and scan_dwell_time is not None:
        covariance = covariance * (dwell_time / scan_dwell_time)
    return covariance / relative_bandwidth


def whitening_matrix(covariance: Tensor) -> Tensor:
    """Return W = 2^(1/2) L^-1, where L is the Cholesky factor of the covariance; (coil, coil) in complex128.

    The noise of W y is independent from coil to coil, with standard deviation 1 in the real and in the imaginary part.

    Raises
    ------
    UsageError
        If the covariance is not positive definite: a coil without noise, or one that repeats others.
    """
    covariance = covariance.to(torch.complex128)
    power = covariance.diagonal().real
    dead = (~(power > 0)).nonzero().flatten().tolist()
    if dead:
        raise UsageError(f"the noise of coil {dead[0]} is zero or not finite: leave the coil out, or do not whiten")
    scale = power.sqrt()
    # Of correlations: units and gains then say nothing about how well the factor can be found.
    factor, info = torch.linalg.cholesky_ex(covariance / (scale[:, None] * scale[None]))
    if int(info) or float(factor.diagonal().real.min()) < 1e-6:
        raise UsageError(
            "the covariance of the coils' noise is singular: a coil repeats others, or samples are too few"
        )
    identity = torch.eye(len(scale), dtype=factor.dtype, device=factor.device)
    inverse: Tensor = torch.linalg.solve_triangular(factor, identity, upper=False)
    return 2**0.5 * inverse / scale[None]


def whiten(y: Tensor, covariance: Tensor) -> Tensor:
    """Return k-space whose noise is independent from coil to coil and of standard deviation 1; see `whitening_matrix`.

    Sensitivities estimated from it are those of the new coils.

    Shapes: y (batch, coil, *k) and covariance (coil, coil) -> (batch, coil, *k), in the precision of `y`.

    Raises
    ------
    UsageError
        If the noise was measured with another number of coils, or its covariance is singular.
    """
    if covariance.ndim != 2 or covariance.shape[0] != covariance.shape[1]:
        raise UsageError(f"a covariance of coils is a square matrix, not of shape {tuple(covariance.shape)}")
    if len(covariance) != y.shape[1]:
        raise UsageError(
            f"the noise was measured with {len(covariance)} coils and the data with {y.shape[1]}: take the noise scan "
            "of the same coils, or do not whiten"
        )
    matrix = whitening_matrix(covariance).to(y.device, y.dtype)
    return (matrix @ y.flatten(2)).reshape(y.shape)
