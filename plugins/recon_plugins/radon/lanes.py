"""Projection on the CPU by compiled kernels: images, or turns of an image, side by side in the lanes of a vector."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recon_plugins.radon import kernels
from recon_plugins.radon.geometry import Geometry
from recon_plugins.radon.grid import Grid
from recon_plugins.radon.pool import run_all
from recon_plugins.radon.rays import RayTable
from recon_plugins.radon.symmetry import Orbits, orbit_choices

__all__ = ["LanesProjector"]

VIEWS = 8
"""Neighbouring views whose rays to one bin are followed together: they meet nearly the same cells."""
TASK = 3 * VIEWS
"""Views that one task projects."""
WIDEST = 128
"""Most bytes of a vector: four registers of 256 bits."""
CHUNK = 2048
"""Bytes that a column of cells may take over the lines that are worked on at a time: neighbouring columns fit the L1 cache."""
EFFORT = 3.0
"""Instructions per line of a ray that do not depend on the lanes, over those per register."""


class LanesProjector:
    """Projection and its exact adjoint, without tables of weights.

    Each call traces rays through up to 32 images at once (16 in double precision). Where turns and mirrors of the image
    map the rays onto each other (a centred square, and as many views in every quarter), an image is seen in several of
    them side by side, and only a share of the rays is traced. Positions are fixed-point numbers. Every value has one
    writer, so results do not depend on the number of threads.
    """

    def __init__(self, rays: RayTable, geometry: Geometry, grid: Grid, dtype: torch.dtype) -> None:
        self.size, self.dtype = grid.size, dtype
        self.samples = len(geometry.angles) * geometry.bins
        self._rays, self._geometry = rays, geometry
        self._orbits = orbit_choices(geometry, grid)
        self._plans: dict[int, _Plan] = {}

    def forward(self, x: Tensor) -> Tensor:
        """Project. Shapes: x (N, H W) -> (N, A D)."""
        x = x.detach().unflatten(1, self.size)
        y = x.new_empty(len(x), self.samples)
        for part, plan in self._split(len(x)):
            plan.forward(x[part], y[part])
        return y

    def adjoint(self, y: Tensor) -> Tensor:
        """Back-project. Shapes: y (N, A D) -> (N, H W)."""
        y = y.detach()
        x = y.new_empty(len(y), *self.size)
        for part, plan in self._split(len(y)):
            plan.adjoint(y[part], x[part])
        return x.flatten(1)

    def _split(self, count: int) -> Iterator[tuple[slice, _Plan]]:
        """Fill vectors with images, and with turns of each where there are few: what takes the least work an image."""
        start = 0
        while start < count:
            choices = [
                ((EFFORT + register(lanes := images * len(found.turns), self.dtype)) / lanes, -images, index)
                for index, found in enumerate(self._orbits)
                for images in range(1, min(count - start, WIDEST // self.dtype.itemsize // len(found.turns)) + 1)
            ]
            _, images, index = min(choices)
            if index not in self._plans:
                self._plans[index] = _Plan(self._rays, self._geometry, self.size, self._orbits[index], self.dtype)
            yield slice(start, start - images), self._plans[index]
            start -= images


def width(needed: int, dtype: torch.dtype) -> int:
    """Return the lanes that hold so many images: 16 bytes of them, 32, 64 or 128."""
    return next(n for n in (16, 32, 64, WIDEST) if n >= needed * dtype.itemsize) // dtype.itemsize


def register(needed: int, dtype: torch.dtype) -> float:
    """Return how many registers of 256 bits hold so many images."""
    return max(width(needed, dtype) * dtype.itemsize // 32, 1)


class _Plan:
    """The rays traced for one set of turns."""

    def __init__(
        self, rays: RayTable, geometry: Geometry, size: tuple[int, ...], found: Orbits, dtype: torch.dtype
    ) -> None:
        self.size, self.turns, self.dtype = size, found.turns, dtype
        self.traced = len(found.traced)
        view, bin_ = found.traced // geometry.bins, found.traced % geometry.bins
        # Bins of a few neighbouring views side by side: their rays share what they read.
        order = torch.argsort((view // VIEWS * geometry.bins + bin_) * VIEWS + view % VIEWS)
        traced, view = found.traced[order], view[order]
        rank = torch.empty_like(order)
        rank[order] = torch.arange(self.traced)
        self.place = found.place % len(self.turns) * self.traced + rank[found.place // len(self.turns)]
        per_bin = rays.alpha.shape[-1]
        alpha, gamma, weight, along_rows = (
            table.reshape(-1, per_bin)[traced].flatten()
            for table in (rays.alpha, rays.gamma, rays.weight, rays.along_rows)
        )
        view, sample = (index.repeat_interleave(per_bin) for index in (view, torch.arange(self.traced)))
        # Rays along rows, then those along columns, of the transposed image.
        self.sets = []
        for transposed, mask in ((False, along_rows), (True, ~along_rows)):
            if mask.any():
                lines, cells = reversed(size) if transposed else size
                table = _fixed_point(alpha[mask], gamma[mask], weight[mask].to(dtype), sample[mask], lines, cells)
                # Tasks of whole groups of views: no bin is written by two.
                _, counts = (view[mask] // TASK).unique_consecutive(return_counts=True)
                ends = counts.cumsum(0).tolist()
                self.sets.append((transposed, table, list(zip([0, *ends[:-1]], ends, strict=True))))

    def forward(self, x: Tensor, y: Tensor) -> None:
        """Write the sinograms of x (n, H, W) into y (n, A D)."""
        turned = torch.stack([turn(x) for turn in self.turns], 1).flatten(0, 1) if len(self.turns) > 1 else x
        lanes = width(len(turned), self.dtype)
        traced = x.new_zeros(self.traced, lanes)
        kernel = kernels.project(self.dtype.itemsize, lanes)
        for transposed, table, tasks in self.sets:
            image = self._blank(transposed, lanes)
            lines, cells = self._grid(transposed)
            source = turned.transpose(1, 2) if transposed else turned
            _inner(image, lines, cells)[..., : len(turned)] = (
                source.reshape(len(turned), -1).T.contiguous().unflatten(0, (lines, cells))
            )
            depth = self._depth(lanes)
            arguments = (*_pointers(image, image.shape[1], traced, *table),)
            blocks = len(image) // kernels.LINES
            run_all(partial(kernel, *arguments, *task, 0, blocks, depth) for task in tasks)
        columns = traced.T.contiguous()
        for index, row in enumerate(y):
            first = index * len(self.turns)
            torch.index_select(columns[first : first + len(self.turns)].reshape(-1), 0, self.place, out=row)

    def adjoint(self, y: Tensor, x: Tensor) -> None:
        """Write the back-projections of y (n, A D) into x (n, H, W)."""
        count = len(y) * len(self.turns)
        lanes = width(count, self.dtype)
        columns = y.new_zeros(lanes, self.traced)
        for index, row in enumerate(y):
            first = index * len(self.turns)
            columns[first : first + len(self.turns)].view(-1).index_copy_(0, self.place, row)
        traced = columns.T.contiguous()
        kernel = kernels.back_project(self.dtype.itemsize, lanes)
        total = None
        for transposed, table, tasks in self.sets:
            image = self._blank(transposed, lanes)
            lines, cells = self._grid(transposed)
            blocks, depth = len(image) // kernels.LINES, self._depth(lanes)
            arguments = (*_pointers(image, image.shape[1], traced, *table), 0, tasks[-1][1])
            run_all(
                partial(kernel, *arguments, top, min(top + depth, blocks), depth) for top in range(0, blocks, depth)
            )
            part = _inner(image, lines, cells)[..., :count].reshape(lines * cells, count).T
            part = part.reshape(count, lines, cells)
            part = part.transpose(1, 2) if transposed else part
            total = part if total is None else total + part
        parts = total.unflatten(0, (len(y), -1))
        x.copy_(self.turns[0].inverse(parts[:, 0]))
        for index, turn in enumerate(self.turns[1:], 1):
            x += turn.inverse(parts[:, index])

    def _depth(self, lanes: int) -> int:
        """Blocks worked on at a time."""
        return max(1, min(CHUNK // (kernels.LINES * lanes * self.dtype.itemsize), kernels.DEPTH))

    def _grid(self, transposed: bool) -> tuple[int, int]:
        lines, cells = reversed(self.size) if transposed else self.size
        return lines, cells

    def _blank(self, transposed: bool, lanes: int) -> Tensor:
        """Return an empty image (lines, cells, lanes), with the zeros around it that the kernels need."""
        lines, cells = self._grid(transposed)
        whole = -(-lines // kernels.LINES) * kernels.LINES
        return torch.zeros(whole, cells + 2 * kernels.MARGIN, lanes, dtype=self.dtype)


def _inner(image: Tensor, lines: int, cells: int) -> Tensor:
    return image[:lines, kernels.MARGIN : kernels.MARGIN + cells]


def _pointers(image: Tensor, cells: int, traced: Tensor, *table: Tensor) -> tuple[int, ...]:
    return (image.data_ptr(), cells, traced.data_ptr(), *(column.data_ptr() for column in table))


def _fixed_point(
    alpha: Tensor, gamma: Tensor, weight: Tensor, sample: Tensor, lines: int, cells: int
) -> tuple[Tensor, ...]:
    """Positions in fixed point, from the first cell of zeros on, and the blocks of lines in which rays are inside."""
    unit = 2.0 ** kernels.precision(weight.dtype.itemsize)
    # What lies so far out misses the image whatever its slope.
    far = float(lines + cells + 4)
    a = ((alpha + kernels.MARGIN).clamp(-far, far + 2 * kernels.MARGIN) * unit).round().long()
    g = (gamma * unit).round().long()
    # Lines on which -1 < position < cells, one more on either side, whatever rounding does; then whole blocks.
    slope = torch.where(gamma.abs() < 1e-9, 1e-9, gamma)
    ends = torch.stack([(-1 - alpha) / slope, (cells - alpha) / slope])
    low, high = ends.amin(0).floor(), ends.amax(0).ceil()
    first = low.clamp(0, lines - 1) // kernels.LINES
    stop = torch.where((low < lines) & (high >= 0), high.clamp(0, lines - 1) // kernels.LINES + 1, first)
    return a, g, weight, first.int(), stop.int(), sample.int()
