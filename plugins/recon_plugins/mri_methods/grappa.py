"""GRAPPA."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Self

import numpy as np
import torch
from annotated_types import Ge, Gt
from torch import Tensor

from recon.calibration import calibration_data
from recon.errors import UsageError
from recon.interfaces import Method
from recon.kspace import as_complex
from recon.methods import Output, finish
from recon.operators import Operator
from recon.schema import Part
from recon_plugins.mri_methods.cartesian import cartesian, combined_image
from recon_plugins.mri_methods.neighbours import Geometry, geometries, spacing

__all__ = ["Grappa"]

MOST = 2**22
"""Most values that are gathered at a time."""


@dataclass(frozen=True, kw_only=True)
class Grappa:
    """GRAPPA: missing points of k-space as weighted sums of the measured ones about them, in all coils.

    The weights are fitted, by damped least squares, where the centre of k-space is measured in full; each item of a
    batch has its own. For regular and irregular undersampling of Cartesian k-space along one or more axes: every
    pattern that measured points form about a missing one gets weights of its own (see `neighbours`). Points that
    measured ones do not surround stay zero, as do those that partial Fourier leaves out.

    Shapes: y (batch, coil, *k) -> x (batch, 1, *space): the root sum of squares of the coil images, real; or what
    sensitivities combine them to, if the operator brings them or `maps` tells how to find them.

    Parameters
    ----------
    lines
        Measured points that a missing one is made of, for each undersampled axis: half of them on either side.
    readout
        Points taken along each axis that is measured in full, an odd number.
    damping
        Tikhonov regularisation of the fit, as a part of |S|_F / n for n sources with the Gram matrix S.
    maps
        Calibration that estimates the sensitivities to combine coil images by: a method such as ``espirit``, by name
        or config. None combines by the root sum of squares.
    calibration
        k-space to fit the weights to instead of y, of its shape, with zeros where nothing was measured.
    output
        What becomes of a complex image: ``as_is``, its ``magnitude`` or its ``real`` part.

    References
    ----------
    Griswold et al., Magn. Reson. Med. 47:1202, 2002, doi:10.1002/mrm.10171
    """

    lines: Annotated[int, Ge(2)] = 4
    readout: Annotated[int, Ge(1)] = 5
    damping: Annotated[float, Gt(0)] = 1e-3
    maps: Annotated[Method | Mapping[str, Any] | str | None, Part("method")] = None
    calibration: Tensor | None = None
    output: Output = "as_is"

    def __post_init__(self) -> None:
        if self.readout % 2 == 0:
            raise UsageError(f"readout must be odd, not {self.readout}")

    def with_calibration(self, data: Tensor) -> Self:
        """Return the method that fits its weights to `data`, k-space of the shape of the measurement."""
        return replace(self, calibration=data)

    def __call__(self, y: Tensor, operator: Operator) -> Tensor:
        """Reconstruct."""
        k = self.fill(y, operator)
        return finish(combined_image(k, y, operator, self.maps, self.calibration), self.output)

    @torch.no_grad()
    def fill(self, y: Tensor, operator: Operator) -> Tensor:
        """Return k-space with the missing points filled in. Shapes: (batch, coil, *k), kept.

        Raises
        ------
        UsageError
            If the operator is not one of Cartesian k-space, or too little of its centre is measured.
        """
        coils, mask = cartesian(operator, y)
        y = as_complex(y)
        if mask is None:
            return y
        if mask.ndim > y.ndim - 2:
            one_by_one = []
            for i, own in enumerate(mask.expand(len(y), *mask.shape[1:])):
                given = None if self.calibration is None else self.calibration[i : i + 1]
                item, alone = y[i : i + 1], coils.with_(mask=own[0], resample=False)
                one_by_one.append(self._filled(item, calibration_data(item, alone, given=given), own[0]))
            return torch.cat(one_by_one)
        return self._filled(y, calibration_data(y, coils, given=self.calibration), mask)

    def _filled(self, y: Tensor, acs: Tensor, mask: Tensor) -> Tensor:
        size = y.shape[2:]
        grid = mask.reshape([1] * (len(size) - mask.ndim) + list(mask.shape)).cpu().numpy()
        sampled = [axis for axis, n in enumerate(grid.shape) if n > 1]
        grid = grid.reshape([grid.shape[axis] for axis in sampled])
        reach = [self._reach(spacing(grid, i), acs.shape[2 + axis]) for i, axis in enumerate(sampled)]
        points = torch.where(mask, y, 0).flatten(2).transpose(1, 2).contiguous()  # (batch, point, coil)
        filled = points.clone()
        for geometry in geometries(grid, self.lines, reach):
            sources = self._offsets(geometry.sources, sampled, len(size), self.readout)
            targets = self._offsets(geometry.targets, sampled, len(size), 1)
            weights = _weights(acs, sources, targets, self.damping)
            _apply(weights, points, filled, geometry, (sources, targets), sampled, size)
        return filled.transpose(1, 2).reshape(y.shape)

    def _reach(self, apart: int, width: int) -> int:
        # A few places, so that there is something to fit to.
        reach = min(self.lines // 2 * apart, (width - 4) // 2)
        if reach < min(apart, self.lines // 2 * apart):
            raise UsageError(
                f"only {width} lines about the centre of k-space are measured in full, too few for GRAPPA with lines "
                f"{apart} apart: it needs {2 * apart + 4}"
            )
        return reach

    @staticmethod
    def _offsets(along: Any, sampled: list[int], axes: int, readout: int) -> Tensor:
        """Return offsets along all axes, of which those measured in full have `readout` each."""
        others = [axis for axis in range(axes) if axis not in sampled]
        taps = list(itertools.product(range(-(readout // 2), readout // 2 + 1), repeat=len(others)))
        result = torch.zeros(len(along), len(taps), axes, dtype=torch.long)
        result[..., sampled] = torch.from_numpy(along)[:, None]
        result[..., others] = torch.tensor(taps, dtype=torch.long).reshape(1, len(taps), len(others))
        return result.flatten(0, 1)


def _weights(acs: Tensor, sources: Tensor, targets: Tensor, damping: float) -> Tensor:
    """Fit the weights (batch, source and coil, target and coil), over all places that fit in the calibration data."""
    batch, coils, *block = acs.shape
    every = torch.cat([sources, targets])
    low, high = every.amin(0).tolist(), every.amax(0).tolist()
    counts = [n - (b - a) for n, a, b in zip(block, low, high, strict=True)]
    if min(counts) < 1:
        raise UsageError(f"the calibration data {tuple(block)} are too small for kernels of {sources.shape[0]} points")
    n_sources, n_targets = len(sources) * coils, len(targets) * coils
    gram = acs.new_zeros(batch, n_sources, n_sources)
    right = acs.new_zeros(batch, n_sources, n_targets)
    # In slabs along the first axis, so that the shifted copies stay small.
    rows = max(1, MOST // (batch * (n_sources + n_targets) * max(1, int(np.prod(counts[1:])))))
    for start in range(0, counts[0], rows):
        extent = [min(rows, counts[0] - start), *counts[1:]]
        shifted = []
        for offset in every.tolist():
            part = acs
            for axis, (o, a, n) in enumerate(zip(offset, low, extent, strict=True)):
                part = part.narrow(2 + axis, o - a + (start if axis == 0 else 0), n)
            shifted.append(part.flatten(2))
        data = torch.stack(shifted, 1)
        s, t = data[:, : len(sources)].flatten(1, 2), data[:, len(sources) :].flatten(1, 2)
        # Least squares for t = W^T s at each place.
        gram += s.conj() @ s.mT
        right += s.conj() @ t.mT
    damped = damping * torch.linalg.matrix_norm(gram) / n_sources
    damped = torch.where(damped > 0, damped, 1)
    gram.diagonal(dim1=-2, dim2=-1).add_(damped[:, None])
    return torch.linalg.solve(gram, right)


def _apply(
    weights: Tensor,
    points: Tensor,
    filled: Tensor,
    geometry: Geometry,
    offsets: tuple[Tensor, Tensor],
    sampled: Sequence[int],
    size: Sequence[int],
) -> None:
    """Fill in what one kernel makes, in place. Shapes: points and filled (batch, point, coil)."""
    device, coils = points.device, points.shape[2]
    sources, targets = offsets
    # All places: the anchors along the sampled axes, everything along the others.
    others = [axis for axis in range(len(size)) if axis not in sampled]
    across = torch.tensor(list(itertools.product(*[range(size[axis]) for axis in others])), dtype=torch.long)
    anchors = torch.from_numpy(geometry.anchors)
    places = torch.zeros(len(anchors), len(across), len(size), dtype=torch.long)
    places[..., list(sampled)] = anchors[:, None]
    places[..., others] = across[None]
    places = places.flatten(0, 1).to(device)
    wanted = torch.from_numpy(geometry.wanted).to(device).repeat_interleave(len(across), 0)
    strides = torch.tensor([int(np.prod(size[axis + 1 :])) for axis in range(len(size))], device=device)
    extent = torch.tensor(list(size), device=device)

    def flat(offset: Tensor, some: Tensor) -> Tensor:
        return ((some[:, None] + offset.to(device)) % extent * strides).sum(-1)

    step = max(1, MOST // (len(points) * len(sources) * coils))
    for some, want in zip(places.split(step), wanted.split(step), strict=True):
        made = points[:, flat(sources, some)].flatten(2) @ weights
        made = made.unflatten(2, (len(targets), coils))
        filled[:, flat(targets, some)[want]] = made[:, want]
