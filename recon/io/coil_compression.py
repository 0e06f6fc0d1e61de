"""Fewer, virtual coils that hold nearly all of the signal."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from recon.errors import UsageError
from recon.kspace import fft_centred, ifft_centred

__all__ = ["CoilCompression", "compress_geometric", "compress_svd"]


@dataclass(frozen=True, kw_only=True, eq=False)
class CoilCompression:
    """Virtual coils as combinations of coils; made by `compress_svd` or `compress_geometric`.

    The combinations are orthonormal, so that white noise stays white and what they span is kept.

    Parameters
    ----------
    matrix
        Weights (virtual, coil), or (position, virtual, coil) where they vary along the readout.
    readout
        Axis of k-space, counted from the end (negative), along which they vary.
    energy
        Share of the calibration data's energy that the virtual coils hold.
    """

    matrix: Tensor
    energy: float
    readout: int | None = None

    @property
    def coils(self) -> int:
        """Number of virtual coils."""
        return self.matrix.shape[-2]

    def compress(self, y: Tensor) -> Tensor:
        """Combine the coils. Shapes: y (batch, coil, *k), k-space -> (batch, virtual, *k).

        Raises
        ------
        UsageError
            If the data have another number of coils, or of samples along the readout.
        """
        return self._apply(self.matrix, y)

    def expand(self, y: Tensor) -> Tensor:
        """Return the part of the coils that virtual coils hold. Shapes: (batch, virtual, *k) -> (batch, coil, *k)."""
        return self._apply(self.matrix.mH, y)

    def _apply(self, matrix: Tensor, y: Tensor) -> Tensor:
        if y.shape[1] != matrix.shape[-1]:
            raise UsageError(
                f"the compression is of {matrix.shape[-1]} coils and the data have {y.shape[1]}: find it from these "
                "data"
            )
        matrix = matrix.to(y.device, y.dtype)
        if self.readout is None:
            return (matrix @ y.flatten(2)).reshape(len(y), -1, *y.shape[2:])
        if y.shape[self.readout] != len(matrix):
            raise UsageError(
                f"the compression is of {len(matrix)} positions along the readout and the data have "
                f"{y.shape[self.readout]}: find it from these data"
            )
        hybrid = _along(ifft_centred, y, self.readout)  # (batch, coil, *rest, position)
        mixed = torch.einsum("pvc,bc...p->bv...p", matrix, hybrid)
        return torch.movedim(fft_centred(mixed, 1), -1, self.readout)


def compress_svd(y: Tensor, *, coils: int | None = None, energy: float | None = None) -> CoilCompression:
    """Find the virtual coils that hold most of the energy of calibration data: their principal components.

    Shapes: y (batch, coil, *k), whitened; all items share the virtual coils.

    Parameters
    ----------
    y
        Calibration data, or any k-space or images of the coils.
    coils
        Number of virtual coils.
    energy
        Instead of a number: the share of the energy to keep, such as 0.99, in as few coils as hold it.

    Raises
    ------
    UsageError
        If there are fewer coils than asked for, or both or neither of `coils` and `energy` are given.

    References
    ----------
    Huang et al., Magn. Reson. Imaging 26:133, 2008, doi:10.1016/j.mri.2007.04.010
    """
    power, vectors = _components(y.movedim(1, 0).reshape(y.shape[1], -1))
    kept = _number(power, coils, energy)
    matrix = vectors[:, :kept].mH.to(y.dtype)
    return CoilCompression(matrix=matrix, energy=_share(power[:kept], power))


def compress_geometric(
    y: Tensor, *, coils: int | None = None, energy: float | None = None, readout: int = -2, window: int = 5
) -> CoilCompression:
    """Find virtual coils for each position along a fully sampled readout: geometric coil compression (GCC).

    At a position only few sensitivities are at work, so that fewer virtual coils do. Those of neighbours are rotated
    into one another, starting from the middle, so that virtual sensitivities stay smooth.

    Shapes: y (batch, coil, *k), whitened; all items share the virtual coils.

    Parameters
    ----------
    y
        Calibration data, k-space with the whole readout and zeros where nothing was measured.
    coils, energy
        As for `compress_svd`; the number of virtual coils is the same everywhere.
    readout
        Axis of the readout, counted from the end: -2 of files in fastMRI's layout.
    window
        Number of neighbouring positions that are looked at together.

    Raises
    ------
    UsageError
        As for `compress_svd`, or if `readout` is not an axis of k-space.

    References
    ----------
    Zhang et al., Magn. Reson. Med. 69:571, 2013, doi:10.1002/mrm.24267
    """
    if not -(y.ndim - 2) <= readout < 0:
        raise UsageError(f"readout must be an axis of k-space from -{y.ndim - 2} to -1, not {readout}")
    hybrid = torch.movedim(_along(ifft_centred, y, readout), (-1, 1), (0, 1)).flatten(2)  # (position, coil, samples)
    hybrid = hybrid / _largest(hybrid)
    gram = hybrid @ hybrid.mH
    # Windows are sums of neighbours' covariances; at the ends they are cut.
    n = len(gram)
    cumulated = torch.cat([torch.zeros_like(gram[:1]), gram.to(torch.complex128).cumsum(0).to(gram.dtype)])
    edge = torch.arange(n, device=y.device)
    low, high = (edge - window // 2).clamp(min=0), (edge - window // 2 + window).clamp(max=n)
    local = cumulated[high] - cumulated[low]
    power, vectors = torch.linalg.eigh(local)
    power, vectors = power.flip(1).clamp(min=0), vectors.flip(2)
    kept = _number(power.sum(0), coils, energy)
    matrix = _aligned(vectors[..., :kept].mH)
    return CoilCompression(matrix=matrix.to(y.dtype), energy=_share(power[:, :kept], power), readout=readout)


def _along(transform: object, y: Tensor, axis: int) -> Tensor:
    result: Tensor = transform(torch.movedim(y, axis, -1), 1)  # type: ignore[operator]
    return result


def _aligned(matrix: Tensor) -> Tensor:
    """Rotate the virtual coils of each position into those of its neighbour, from the middle outwards."""
    matrix = matrix.clone()
    middle = len(matrix) // 2
    for positions, step in ((range(middle + 1, len(matrix)), -1), (range(middle - 1, -1, -1), 1)):
        for position in positions:
            # The unitary R that brings R A nearest to its neighbour B is U V^H, from B A^H = U S V^H.
            u, _, vh = torch.linalg.svd(matrix[position + step] @ matrix[position].mH)
            matrix[position] = u @ vh @ matrix[position]
    return matrix


def _components(samples: Tensor) -> tuple[Tensor, Tensor]:
    """Return the energies of the principal components of the coils, largest first, and their vectors as columns."""
    samples = samples / _largest(samples)
    power, vectors = torch.linalg.eigh(samples @ samples.mH)
    return power.flip(0).clamp(min=0), vectors.flip(1)


def _number(power: Tensor, coils: int | None, energy: float | None) -> int:
    have = len(power)
    if (coils is None) == (energy is None):
        raise UsageError("give either the number of virtual coils or the share of energy to keep")
    if coils is not None:
        if not 1 <= coils <= have:
            raise UsageError(f"{have} coils make from 1 to {have} virtual ones, not {coils}")
        return coils
    if energy is None or not 0 < energy <= 1:
        raise UsageError(f"the share of energy to keep must be above 0 and at most 1, not {energy}")
    share = power.double().cumsum(0) / power.double().sum().clamp(min=torch.finfo(torch.float64).tiny)
    return min(have, int((share < energy * (1 - 1e-12)).sum()) + 1)


def _share(kept: Tensor, power: Tensor) -> float:
    total = float(power.double().sum())
    return float(kept.double().sum()) / total if total else 1.0


def _largest(x: Tensor) -> Tensor:
    scale = x.abs().max()
    return torch.where(scale > 0, scale, 1)
