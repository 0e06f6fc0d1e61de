"""ESPIRiT."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor

from recon.errors import UsageError
from recon_plugins.calibration.calibration import Calibration, Phase, referenced
from recon_plugins.calibration.grid import axes_of, evaluate, refine, waves

__all__ = ["Espirit"]

CHUNK = 2**20
"""Most complex numbers of the matrices of pixels that are held at once."""


@dataclass(frozen=True, kw_only=True)
class Espirit(Calibration):
    """Coil sensitivities by ESPIRiT: eigenvectors, pixel by pixel, of what the calibration data say of k-space.

    All patches of the calibration data, kernel by kernel samples of all coils, are rows of a matrix with few large
    singular values. Projecting every patch of k-space on their right singular vectors V leaves it as it is:
    convolutions with V V^H keep the data, so that in each pixel r of the image a Hermitian matrix G(r) of coils by
    coils keeps the values of the coils. Its eigenvectors for the eigenvalue 1 are the sensitivities, of norm 1.

    G has (2 kernel - 1) samples of k-space an axis, the sums of V V^H over pairs of positions of equal distance; it is
    evaluated from them where it is needed. One set of maps is found by power iteration from the coils' low-resolution
    images, and by the eigendecomposition in pixels where that has not converged.

    Shapes: y (batch, coil, *k) as `operator` gives it -> maps (batch, coil, *space), or (batch, set, coil, *space) if
    `sets` is more than 1; in two and three dimensions. The maps carry no gradients.

    Parameters
    ----------
    kernel
        Edge of the patches, in samples of k-space.
    threshold
        Singular values above this share of the largest one count.
    crop
        Maps are zero where their eigenvalue is not above this. Where no maps explain the data it is far from 1.
    sets
        How many sets of maps. A second one explains what folds over where the field of view is smaller than the
        object.
    soft
        Weigh the maps by 1/2 + x / (1 + x^2), where x = (eigenvalue - crop) / (1 - crop) is kept to [-1, 1], instead of
        cutting them off at `crop`, where the weight is 1/2.
    step
        Find the maps in every `step`-th pixel along each axis only and interpolate them; 1 for all pixels.
    width
        Most samples of calibration data along each axis; None for all that the mask leaves whole.
    phase
        What the maps' phase is relative to: the ``first`` coil, or the ``principal`` component of the coils.

    Raises
    ------
    UsageError
        If the block about the centre of k-space that was fully sampled is smaller than the kernel.

    References
    ----------
    Uecker et al., Magn. Reson. Med. 71:990, 2014, doi:10.1002/mrm.24751
    """

    kernel: Annotated[int, Ge(2)] = 6
    threshold: Annotated[float, Gt(0), Le(1)] = 0.02
    crop: Annotated[float, Ge(0), Le(1)] = 0.95
    sets: Annotated[int, Gt(0)] = 1
    soft: bool = False
    step: Annotated[int, Gt(0)] = 1
    width: Annotated[int, Gt(0)] | None = 24
    phase: Phase = "principal"

    def estimate(self, centre: Tensor, size: tuple[int, ...]) -> Tensor:
        """Return the maps on a grid of `size` from k-space (batch, coil, *block)."""
        if min(centre.shape[2:]) < self.kernel:
            block = " x ".join(map(str, centre.shape[2:]))
            raise UsageError(
                f"espirit needs a fully sampled centre of k-space of at least {self.kernel} samples an axis, and found "
                f"{block}: give calibration data, or a smaller kernel"
            )
        sets = min(self.sets, centre.shape[1])
        step = min(self.step, *size)
        pixels = axes_of(size, step, centre.device)
        found = [self._item(item, pixels, size, sets) for item in centre]
        maps = torch.stack([maps for maps, _ in found])  # (batch, set, coil, *pixels)
        values = torch.stack([values for _, values in found])  # (batch, set, 1, *pixels)
        maps = referenced(maps, centre, self.phase)
        if step > 1:
            maps, values = refine(maps, size, step), refine(values, size, step)
            length = torch.linalg.vector_norm(maps, dim=2, keepdim=True)
            maps = maps / torch.where(length > 0, length, 1)
        maps = maps * self._weight(values)
        if sets < self.sets:
            maps = torch.cat([maps, maps.new_zeros(len(maps), self.sets - sets, *maps.shape[2:])], 1)
        return maps if self.sets > 1 else maps[:, 0]

    def _item(self, centre: Tensor, pixels: list[Tensor], size: tuple[int, ...], sets: int) -> tuple[Tensor, Tensor]:
        """Return maps (set, coil, *pixels) and their eigenvalues (set, 1, *pixels) of one item."""
        coils, shape = len(centre), [len(at) for at in pixels]
        scale = centre.abs().max()
        centre = centre / torch.where(scale > 0, scale, 1)  # whose squares then neither overflow nor vanish
        kernel = correlations(centre, self.kernel, self.threshold)
        # The last axes first; the first axis then goes piece by piece.
        rows = evaluate(kernel, pixels[1:], size[1:])  # (coil, coil, 2 kernel - 1, *pixels[1:])
        rows = torch.movedim(rows, (0, 1), (-2, -1)).reshape(2 * self.kernel - 1, -1)
        offsets = torch.arange(2 * self.kernel - 1, device=centre.device) - (self.kernel - 1)
        wave = waves(offsets, pixels[0], size[0], centre.dtype).T.contiguous()
        start = torch.movedim(evaluate(centre, pixels, size), 0, -1).reshape(-1, coils) if sets == 1 else None
        plane = math.prod(shape[1:])
        maps, values = [], []
        piece = max(1, CHUNK // (plane * coils**2))
        for first in range(0, shape[0], piece):
            g = (wave[first : first + piece] @ rows).reshape(-1, coils, coils)
            if start is None:
                value, vector = torch.linalg.eigh(g)
                value, vector = value[:, -sets:].flip(1), vector[..., -sets:].flip(2)
            else:
                value, vector = dominant(g, start[first * plane :][: len(g)])
            maps.append(vector)
            values.append(value)
        found = torch.cat(maps).reshape(*shape, coils, sets)
        value = torch.cat(values).reshape(*shape, 1, sets)
        return torch.movedim(found, (-1, -2), (0, 1)), torch.movedim(value, (-1, -2), (0, 1))

    def _weight(self, values: Tensor) -> Tensor:
        if not self.soft:
            return (values > self.crop).to(values.dtype)
        x = ((values - self.crop) / max(1 - self.crop, 1e-6)).clamp(-1, 1)
        return 0.5 + x / (1 + x**2)


def correlations(centre: Tensor, kernel: int, threshold: float) -> Tensor:
    """Return the k-space of the matrices G of one item's pixels, whose middle is the zero frequency.

    Shapes: centre (coil, *block) -> (coil, coil, *(2 kernel - 1)).
    """
    coils, dimensions = len(centre), centre.ndim - 1
    patches = centre
    for axis in range(1, dimensions + 1):
        patches = patches.unfold(axis, kernel, 1)
    # Rows are the patches, columns the coil and the position within the patch.
    space = row_space(torch.movedim(patches, 0, dimensions).reshape(-1, coils * kernel**dimensions), threshold)
    edges = [kernel] * dimensions
    p = (space @ space.mH).reshape(coils, *edges, coils, *edges)
    ahead = [axis for d in range(dimensions) for axis in (1 + d, 2 + dimensions + d)]
    p = p.permute(dimensions + 1, 0, *ahead)  # (coil, coil, i, j, i, j ...), i and j positions along an axis
    for _ in range(dimensions):  # sum over positions of equal distance j - i
        by_distance = p.new_zeros(coils, coils, *p.shape[4:], 2 * kernel - 1)
        for i in range(kernel):
            by_distance[..., kernel - 1 - i :][..., :kernel] += torch.movedim(p[:, :, i], 2, -1)
        p = by_distance
    return p / kernel**dimensions


def row_space(a: Tensor, threshold: float) -> Tensor:
    """Return orthonormal columns that span the rows of `a`, for singular values above `threshold` of the largest one.

    From the smaller of the two Gram matrices: their eigenvalues are the squares of the singular values, which is exact
    enough for those that count and several times faster than the singular value decomposition.
    """
    wide = a.shape[0] < a.shape[1]
    energy, vectors = torch.linalg.eigh(a @ a.mH if wide else a.mH @ a)
    keep = energy > threshold**2 * energy[-1]
    vectors = vectors[:, keep]
    return a.mH @ vectors / energy[keep].sqrt() if wide else vectors


def dominant(g: Tensor, start: Tensor, tolerance: float = 1e-4, iterations: int = 10) -> tuple[Tensor, Tensor]:
    """Return the largest eigenvalue of Hermitian matrices, and its eigenvector.

    Power iteration from `start`, to which a hundredth of a fixed vector is added: an eigenvector of another eigenvalue
    would else be kept. Where |G v - value v| > `tolerance` after it, the eigendecomposition.

    Shapes: g (n, c, c), start (n, c) -> (n, 1), (n, c, 1).
    """
    coils = torch.arange(start.shape[1], device=start.device)
    aside = torch.polar(torch.full_like(coils, 0.01, dtype=start.real.dtype), (coils**2).to(start.real.dtype))
    v = (_unit(start) + aside).unsqueeze(-1)
    for _ in range(iterations):
        v = g @ v
    v = _unit(v)
    w = g @ v
    value = (v.conj() * w).real.sum(1)
    slow = (torch.linalg.vector_norm(w - value.unsqueeze(-1) * v, dim=1) > tolerance).squeeze(-1).nonzero().squeeze(-1)
    values, vectors = torch.linalg.eigh(g[slow])
    value[slow], v[slow] = values[:, -1:], vectors[..., -1:]
    return value, v


def _unit(v: Tensor) -> Tensor:
    """Divide by the norm over axis 1; zeros stay zeros."""
    length = torch.linalg.vector_norm(v, dim=1, keepdim=True)
    return v / torch.where(length > 0, length, 1)
