"""Interpolation of voxels on another grid, block averages, and the turning and padding of arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recon.io.geometry import Affine, axes_map, scaling_map
from recon.io.oblique import SNAP, blend, interpolate_obliquely, is_finite, widened

__all__ = ["average", "interpolate", "pad", "turn"]


def turn(data: Tensor, space: int, axes: Sequence[int], reverse: Sequence[bool]) -> tuple[Tensor, Affine]:
    """Permute and reverse the last axes of data; return it with the index map.

    Parameters
    ----------
    data
        (..., z, y, x), or (..., y, x) where `space` is 2.
    space
        Number of spatial axes.
    axes
        The old axes that become x, y and z: 0 is x, the last axis of the data. Of a plane, the third is 2.
    reverse
        Whether the new x, y and z run against the old.
    """
    kept = range(data.ndim - space)
    # Axis k of the index is axis -1 - k of the data.
    data = data.permute(*kept, *(data.ndim - 1 - axis for axis in axes[:space][::-1]))
    sizes = [*data.shape[: -space - 1 : -1], 1][:3]
    steps = [-1.0 if back else 1.0 for back in reverse]
    starts = [size - 1.0 if back else 0.0 for size, back in zip(sizes, reverse, strict=True)]
    flipped = [data.ndim - 1 - new for new in range(space) if reverse[new]]
    return (data.flip(flipped) if flipped else data), axes_map(axes) @ scaling_map(steps, starts)


def pad(data: Tensor, widths: Sequence[tuple[int, int]], value: float) -> Tensor:
    """Add voxels (before, after) along x, y and, if there is a third pair, z."""
    shape = list(data.shape)
    inner = [slice(None)] * data.ndim
    for new, (before, after) in enumerate(widths):
        axis = data.ndim - 1 - new
        inner[axis] = slice(before, before + shape[axis])
        shape[axis] += before + after
    padded = torch.full(shape, value, dtype=data.dtype, device=data.device)
    padded[tuple(inner)] = data
    return padded


def average(data: Tensor, factors: Sequence[int]) -> Tensor:
    """Return the means over blocks of voxels, (x, y[, z]) of them; what does not fill a block at the end is dropped."""
    data = widened(data)
    for new, factor in enumerate(factors):
        if factor == 1:
            continue
        axis = data.ndim - 1 - new
        blocks = data.shape[axis] // factor
        data = data.narrow(axis, 0, blocks * factor)
        data = data.reshape(*data.shape[:axis], blocks, factor, *data.shape[axis + 1 :]).mean(axis + 1)
    return data


def interpolate(data: Tensor, index_map: Affine, size: Sequence[int], *, nearest: bool, fill: float) -> Tensor:
    """Interpolate volumes on another grid.

    Places are computed in double precision. A voxel reaches half its size beyond its centre: within, the edge's value
    holds, beyond, `fill`. Where a place is that of a voxel, its value is taken as it is, whatever its neighbours are.

    Parameters
    ----------
    data
        (..., z, y, x).
    index_map
        New voxel index (x, y, z, 1) to old one.
    size
        New (z, y, x).
    nearest
        Take the nearest voxel, of two the later one; else linearly between the eight around. Linear values of integers
        are floating.
    fill
        Value outside.

    Returns
    -------
        (..., *size).
    """
    flat = data.reshape(-1, *data.shape[-3:])
    if nearest and not (data.is_floating_point() or data.is_complex()):
        fill = int(fill)
    axes = _separable(index_map, size)
    if axes is None:
        found = interpolate_obliquely(flat, index_map, size, nearest=nearest, fill=fill)
    else:
        found = _axis_by_axis(flat, index_map, axes, size, nearest, fill)
    return found.reshape(*data.shape[:-3], *size)


def _separable(index_map: Affine, size: Sequence[int]) -> tuple[int, ...] | None:
    """Return the old axis that the new x, y and z run along, if each runs along one."""
    reach = np.abs(index_map[:3, :3]) * (np.array(size[::-1]) - 1)  # in old voxels, (old, new)
    matrix = np.where(reach > SNAP / 3, np.abs(index_map[:3, :3]), 0)
    for axes in ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)):
        others = matrix.copy()
        others[list(axes), range(3)] = 0
        if not others.any():
            return axes
    return None


def _axis_by_axis(
    data: Tensor, index_map: Affine, axes: tuple[int, ...], size: Sequence[int], nearest: bool, fill: float
) -> Tensor:
    outside = []
    changes = []
    finite = is_finite(data)
    for new, old in enumerate(axes):
        count, number = data.shape[3 - old], size[2 - new]
        places = index_map[old, new] * np.arange(number) + index_map[old, 3]
        low, weight, inside = _neighbours(places, count, nearest)
        changes.append((number / count, 3 - old, count, low, weight))
        outside.append((new, inside))
    for _, axis, count, low, weight in sorted(changes, key=lambda change: change[0]):  # shrinking comes first
        data = _lines(data, axis, count, low, weight, finite)
    data = data.permute(0, *[3 - old for old in axes[::-1]])
    if not nearest:
        data = widened(data)
    if all(inside.all() for _, inside in outside):
        return data
    data = data.clone()
    for new, inside in outside:
        if not inside.all():
            gone = torch.from_numpy(np.flatnonzero(~inside)).to(data.device)
            data = data.index_fill(3 - new, gone, fill)
    return data


def _lines(
    data: Tensor, axis: int, count: int, low: NDArray[np.int64], weight: NDArray[np.float64], finite: bool
) -> Tensor:
    """Interpolate along one axis."""
    if len(low) == count and not weight.any() and (low == np.arange(count)).all():
        return data
    first = data.index_select(axis, torch.from_numpy(low).to(data.device))
    if not weight.any():
        return first
    second = data.index_select(axis, torch.from_numpy(np.where(weight > 0, low + 1, low)).to(data.device))
    shape = [-1 if other == axis else 1 for other in range(data.ndim)]
    return blend(widened(first), widened(second), torch.from_numpy(weight).to(data.device).reshape(shape), finite)


def _neighbours(
    places: NDArray[np.float64], count: int, nearest: bool
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.bool_]]:
    """Return the voxel before each place, the weight of the one after it, and whether the place is inside."""
    inside = (places >= -0.5 - SNAP) & (places <= count - 0.5 + SNAP)
    if nearest:
        return np.clip(np.floor(places + 0.5 + SNAP), 0, count - 1).astype(np.int64), np.zeros(len(places)), inside
    places = np.clip(places, 0, count - 1)
    low = (places + SNAP).astype(np.int64)  # of what is not negative, the floor
    weight = places - low
    weight[weight < SNAP] = 0
    return low, weight, inside
