"""Interpolation of voxels on oblique and sheared grids, of which no axis runs along one of the old ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import threshold

from recon.io.geometry import Affine

__all__ = ["SNAP", "blend", "interpolate_obliquely", "is_finite", "widened"]

SNAP = 1e-6
"""Distance in voxels within which a place counts as that of a voxel: far above rounding, far below any scanner."""

_BLOCK = 2**17
"""Voxels at a time: their places, indices and weights stay in the cache."""


def interpolate_obliquely(
    data: Tensor, index_map: Affine, size: Sequence[int], *, nearest: bool, fill: float
) -> Tensor:
    """Interpolate volumes on any grid, block by block of its rows; see `recon.io.resampling.interpolate`.

    Parameters
    ----------
    data
        (volume, z, y, x).
    index_map
        New voxel index (x, y, z, 1) to old one.
    size
        New (z, y, x).
    nearest
        Take the nearest voxel, of two the later one; else linearly between the eight around.
    fill
        Value outside.

    Returns
    -------
        (volume, *size).
    """
    differentiable = data.requires_grad and torch.is_grad_enabled()
    volumes = data.reshape(len(data), -1) if differentiable else data.detach().reshape(len(data), -1)
    dtype = data.dtype if nearest else widened(data[:0]).dtype
    found = torch.full((len(data), size[0] * size[1], size[2]), fill, dtype=dtype, device=data.device)
    grid = _Grid(index_map, size, data.shape[:0:-1])
    finite = nearest or is_finite(data)

    def work(blocks: Sequence[_Block]) -> None:
        scratch = _Scratch(data.device)
        for block in blocks:
            places = grid.nearest(block, scratch) if nearest else grid.neighbours(block, scratch, dtype)
            outside = grid.outside(block, data.device)
            for number, volume in enumerate(volumes):
                if nearest:
                    values = _picked(volume, places, 0, None if differentiable else scratch)
                else:
                    values = _between(volume, places, finite, 0, None if differentiable else scratch)
                place = found[number, block.rows, block.columns]
                if outside is None:
                    place.copy_(values)
                elif differentiable:
                    place.copy_(values.masked_fill(outside, fill))
                else:
                    torch.where(outside, place, values, out=place)

    if differentiable:  # the gradient of a block is as large as the volume, so all is one block
        work(list(grid.blocks(size[0] * size[1])))
    else:
        _spread(work, list(grid.blocks(max(1, _BLOCK // size[2]))), data.device)
    return found.reshape(len(data), *size)


def widened(data: Tensor) -> Tensor:
    """Return integers as floating values that hold them: up to 16 bits in single precision, others in double."""
    if data.is_floating_point() or data.is_complex():
        return data
    wide = data.dtype in (torch.int32, torch.int64, torch.uint32, torch.uint64)
    return data.to(torch.float64 if wide else torch.float32)


def is_finite(data: Tensor) -> bool:
    """Whether no value is infinite or not a number; the sum over all tells in one pass, but for overflow."""
    if not (data.is_floating_point() or data.is_complex()):
        return True
    return bool(torch.isfinite(data.detach().sum()))


def blend(low: Tensor, high: Tensor, weight: Tensor, finite: bool, out: Tensor | None = None) -> Tensor:
    """Return the value between two, of which the second has the weight, from 0 to less than 1."""
    if finite:
        return torch.lerp(low, high, weight.to(low.dtype), out=out)
    # Infinity less infinity is not a number: where the second value has no weight, the first is taken as it is.
    return torch.where(weight == 0, low, torch.lerp(low, high, weight.to(low.dtype)))


class _Block(NamedTuple):
    """Rows of the new grid, counted through all planes, and the columns between which any of them is inside."""

    rows: slice
    columns: slice

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start


class _Places(NamedTuple):
    """Voxels around the places of a block.

    Parameters
    ----------
    start
        (row, column): position in memory of the first of them.
    weights
        Along each axis that has neighbours, how far the later one is in memory, and its weight (row, column).
    near_end
        Whether some neighbours without weight would lie beyond the last voxel.
    """

    start: Tensor
    weights: list[tuple[int, Tensor]]
    near_end: bool


class _Scratch:
    """Memory that one block after the other uses: fresh pages would cost more than the work on them."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._kept: dict[tuple[object, torch.dtype], Tensor] = {}

    def get(self, name: object, dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
        """Return a tensor whose values are anything."""
        count = math.prod(shape)
        kept = self._kept.get((name, dtype))
        if kept is None or kept.numel() < count:
            kept = self._kept[name, dtype] = torch.empty(count, dtype=dtype, device=self.device)
        return kept[:count].view(shape)


class _Grid:
    """Where the rows of a new grid lie in an old one: straight lines, of which two columns tell what is inside."""

    def __init__(self, index_map: Affine, size: Sequence[int], counts: Sequence[int]) -> None:
        self.counts = tuple(counts)  # x, y, z
        self.strides = (1, counts[0], counts[0] * counts[1])
        self.integer = torch.int32 if math.prod(counts) < 2**31 else torch.int64
        z, y = np.arange(size[0])[:, None], np.arange(size[1])
        self.step = index_map[:3, 0]
        """From column to column, in old voxels."""
        self.origins = [(row[1] * y + (row[2] * z + row[3])).ravel() for row in index_map[:3]]
        """Places of column 0, a row each."""
        self.first = np.zeros(size[0] * size[1], dtype=np.float32)
        self.last = np.full(size[0] * size[1], size[2] - 1, dtype=np.float32)
        """The columns inside, a row each: none where the last comes before the first."""
        for origin, step, count in zip(self.origins, self.step, self.counts, strict=True):
            ends = [-0.5 - SNAP - origin, count - 0.5 + SNAP - origin]
            if step == 0:
                self.last[(ends[0] > 0) | (ends[1] < 0)] = -1
                continue
            with np.errstate(over="ignore"):  # a step next to nothing: all or none
                early, late = (end / step for end in (ends if step > 0 else ends[::-1]))
            self.first = np.maximum(self.first, np.ceil(early))
            self.last = np.minimum(self.last, np.floor(late))

    def blocks(self, height: int) -> Iterator[_Block]:
        """Iterate over what is inside, at most so many rows at a time."""
        for top in range(0, len(self.first), height):
            rows = slice(top, min(top + height, len(self.first)))
            inside = self.first[rows] <= self.last[rows]
            if inside.any():
                left, right = self.first[rows][inside].min(), self.last[rows][inside].max()
                yield _Block(rows, slice(int(left), int(right) + 1))

    def outside(self, block: _Block, device: torch.device) -> Tensor | None:
        """Return a mask of what is outside, or None if nothing is."""
        first, last = self.first[block.rows, None], self.last[block.rows, None]
        if (first <= block.columns.start).all() and (last >= block.columns.stop - 1).all():
            return None
        columns = np.arange(block.columns.start, block.columns.stop, dtype=np.float32)
        return torch.from_numpy((columns < first) | (columns > last)).to(device)

    def nearest(self, block: _Block, scratch: _Scratch) -> _Places:
        """Return for each place the voxel that is nearest."""
        start = scratch.get("start", self.integer, block.shape)
        part = scratch.get("part", self.integer, block.shape)
        for axis, (count, stride) in enumerate(zip(self.counts, self.strides, strict=True)):
            places, _, _ = self._along(axis, block, 0.5 + SNAP, scratch)
            places.clamp_(0, count - 1)
            _ = start.add_(part.copy_(places), alpha=stride) if axis else start.copy_(places)
        return _Places(start, [], near_end=False)

    def neighbours(self, block: _Block, scratch: _Scratch, dtype: torch.dtype) -> _Places:
        """Return for each place the voxels before and after it along each axis, and weights for values of `dtype`."""
        start = scratch.get("start", self.integer, block.shape).zero_()
        part = scratch.get("part", self.integer, block.shape)
        precision = torch.float64 if dtype in (torch.float64, torch.complex128) else torch.float32
        weights, near_end = [], False
        for axis, (count, stride) in enumerate(zip(self.counts, self.strides, strict=True)):
            if count == 1:
                continue
            places, lowest, highest = self._along(axis, block, SNAP, scratch)
            if lowest < SNAP or highest > count - 1:
                places.clamp_(SNAP, count - 1 + SNAP)
            start.add_(part.copy_(places), alpha=stride)
            weight = scratch.get(f"weight {axis}", precision, block.shape).copy_(places.frac_()).sub_(SNAP)
            weights.append((stride, threshold(weight, SNAP, 0, inplace=True)))
            near_end = highest > count - 2  # of the last axis, the outermost in memory
        return _Places(start, weights, near_end)

    def _along(self, axis: int, block: _Block, shift: float, scratch: _Scratch) -> tuple[Tensor, float, float]:
        """Return places along an old axis, moved by `shift`, in double precision, and bounds of them."""
        origins = self.origins[axis][block.rows, None] + shift
        steps = self.step[axis] * np.arange(block.columns.start, block.columns.stop)
        places = scratch.get("places", torch.float64, block.shape)
        torch.add(*(torch.from_numpy(part).to(places.device) for part in (origins, steps)), out=places)
        return places, float(origins.min() + steps.min()), float(origins.max() + steps.max())


def _between(volume: Tensor, places: _Places, finite: bool, slot: int, scratch: _Scratch | None) -> Tensor:
    """Blend the two neighbours along the last of the axes, each blended along the axes before.

    Parameters
    ----------
    volume
        (voxel,), beginning with the corner that is blended.
    slot
        Which of the scratch memory to use; later ones are free.
    scratch
        None for fresh memory, which gradients need.
    """
    if not places.weights:
        return _wide(_picked(volume, places, slot, scratch), slot, scratch)
    *before, (stride, weight) = places.weights
    inner = places._replace(weights=before)
    low = _between(volume, inner, finite, slot, scratch)
    high = _between(volume[stride:], inner, finite, slot + 1, scratch)
    return blend(low, high, weight, finite, None if scratch is None else low)


def _picked(volume: Tensor, places: _Places, slot: int, scratch: _Scratch | None) -> Tensor:
    """Return the values at the places' start."""
    start = places.start.view(-1)
    if places.near_end:
        start = start.clamp(max=len(volume) - 1)
    out = None if scratch is None else scratch.get(slot, volume.dtype, tuple(start.shape))
    return torch.index_select(volume, 0, start, out=out).view(places.start.shape)


def _wide(values: Tensor, slot: int, scratch: _Scratch | None) -> Tensor:
    """Return integers as floating values."""
    dtype = widened(values[:0]).dtype
    if dtype == values.dtype or scratch is None:
        return values
    return scratch.get(slot, dtype, tuple(values.shape)).copy_(values)


def _spread(work: Callable[[Sequence[_Block]], None], blocks: list[_Block], device: torch.device) -> None:
    """Share blocks among as many threads as torch uses: one operation on a block is too short to be shared."""
    threads = min(torch.get_num_threads(), len(blocks)) if device.type == "cpu" else 1
    if threads <= 1:
        work(blocks)
        return
    mode = torch.is_inference_mode_enabled()

    def one(part: int) -> None:
        with torch.inference_mode(mode):
            work(blocks[part::threads])

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(one, range(threads)))
