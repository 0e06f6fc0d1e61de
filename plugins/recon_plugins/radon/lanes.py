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
from recon_plugins.radon.symmetry import Orbits, Turn, orbits

__all__ = ["LanesProjector"]

DEPTH = 256
"""Lines of the image worked on at a time, times lanes: half a megabyte of an image of 512 columns."""
VIEWS = 24
"""Views worked on at a time."""
WIDEST = 16
"""Most lanes."""


class LanesProjector:
    """Projection in float32 and its exact adjoint, without tables of weights.

    Each call traces rays through up to 16 images at once. Where turns and mirrors of the image map the rays onto each
    other (a centred square, and as many views in every quarter), an image is seen in each of them side by side, and
    only a share of the rays is traced. Positions are fixed-point numbers with 32 bits of fraction. Every value has one
    writer, so results do not depend on the number of threads.
    """

    def __init__(self, rays: RayTable, geometry: Geometry, grid: Grid) -> None:
        self.size = size = grid.size
        samples = len(geometry.angles) * geometry.bins
        self._plain = _Plan(
            rays, geometry, size, Orbits((Turn(0, False),), torch.arange(samples), torch.arange(samples))
        )
        self._turned = None
        found = orbits(geometry, grid)
        if len(found.turns) > 1:
            self._turned = _Plan(rays, geometry, size, found)

    def forward(self, x: Tensor) -> Tensor:
        """Project. Shapes: x (N, H W) -> (N, A D)."""
        x = x.detach().unflatten(1, self.size)
        y = x.new_empty(len(x), self._plain.samples)
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
        """Full vectors of images first; for what is left, turns of each image if there are any."""
        full = count - count % WIDEST if self._turned else count
        for plan, begin, end in ((self._plain, 0, full), (self._turned, full, count)):
            if plan is not None:
                step = WIDEST // len(plan.turns)
                for start in range(begin, end, step):
                    yield slice(start, min(start + step, end)), plan


class _Plan:
    """The rays traced for one set of turns."""

    def __init__(self, rays: RayTable, geometry: Geometry, size: tuple[int, ...], found: Orbits) -> None:
        self.size, self.turns, self.place = size, found.turns, found.place
        self.samples, self.traced = len(found.place), len(found.traced)
        view = found.traced // geometry.bins
        per_bin = rays.alpha.shape[-1]
        alpha, gamma, weight, along_rows = (
            table.reshape(-1, per_bin)[found.traced].flatten()
            for table in (rays.alpha, rays.gamma, rays.weight, rays.along_rows)
        )
        view, sample = (index.repeat_interleave(per_bin) for index in (view, torch.arange(self.traced)))
        # Rays along rows, then those along columns, of the transposed image.
        self.sets = []
        for transposed, mask in ((False, along_rows), (True, ~along_rows)):
            if mask.any():
                lines, cells = reversed(size) if transposed else size
                table = _fixed_point(alpha[mask], gamma[mask], weight[mask], sample[mask], lines, cells)
                # Blocks of whole views: no bin is written by two.
                _, counts = (view[mask] // VIEWS).unique_consecutive(return_counts=True)
                ends = counts.cumsum(0).tolist()
                self.sets.append((transposed, table, list(zip([0, *ends[:-1]], ends, strict=True))))

    def forward(self, x: Tensor, y: Tensor) -> None:
        """Write the sinograms of x (n, H, W) into y (n, A D)."""
        lanes = self._lanes(len(x))
        traced = torch.zeros(self.traced, len(lanes))
        turned = torch.stack([turn(x) for turn in self.turns], 1).flatten(0, 1) if len(self.turns) > 1 else x
        for transposed, table, blocks in self.sets:
            image = torch.zeros(*self._grid(transposed), len(lanes))
            source = turned.permute(2, 1, 0) if transposed else turned.permute(1, 2, 0)
            image[:, 1:-1, : len(turned)] = source
            arguments = (lanes, image.numpy(), table)
            depth = DEPTH // len(lanes)
            run_all(partial(kernels.project, *arguments, *block, depth, traced.numpy()) for block in blocks)
        if len(self.turns) == 1:
            y.copy_(traced[:, : len(x)].T)
        else:
            entries = traced[:, : len(turned)].unflatten(1, (len(x), -1))
            for index, row in enumerate(y):
                torch.index_select(entries[:, index].reshape(-1), 0, self.place, out=row)

    def adjoint(self, y: Tensor, x: Tensor) -> None:
        """Write the back-projections of y (n, A D) into x (n, H, W)."""
        lanes = self._lanes(len(y))
        traced = torch.zeros(self.traced, len(lanes))
        count = len(y) * len(self.turns)
        if len(self.turns) == 1:
            traced[:, :count] = y.T
        else:
            for index, row in enumerate(y):
                entries = row.new_zeros(self.traced * len(self.turns)).index_copy_(0, self.place, row)
                first = index * len(self.turns)
                traced[:, first : first + len(self.turns)] = entries.unflatten(0, (self.traced, -1))
        total = torch.zeros(count, *self.size)
        for transposed, table, _ in self.sets:
            image = torch.zeros(*self._grid(transposed), len(lanes))
            arguments = (lanes, image.numpy(), table)
            lines, depth = len(image), DEPTH // len(lanes)
            run_all(
                partial(kernels.back_project, *arguments, top, min(top + depth, lines), traced.numpy())
                for top in range(0, lines, depth)
            )
            total += image[:, 1:-1, :count].permute((2, 1, 0) if transposed else (2, 0, 1))
        parts = total.unflatten(0, (len(y), -1))
        x.copy_(self.turns[0].inverse(parts[:, 0]))
        for index, turn in enumerate(self.turns[1:], 1):
            x += turn.inverse(parts[:, index])

    def _lanes(self, images: int) -> tuple[int, ...]:
        needed = images * len(self.turns)
        return (0,) * next(lanes for lanes in (4, 8, WIDEST) if lanes >= needed)

    def _grid(self, transposed: bool) -> tuple[int, int]:
        lines, cells = reversed(self.size) if transposed else self.size
        return lines, cells + 2


def _fixed_point(
    alpha: Tensor, gamma: Tensor, weight: Tensor, sample: Tensor, lines: int, cells: int
) -> tuple[np.ndarray[Any, Any], ...]:
    """Positions in units of 2^-32 cells from the empty cell before the line, and the lines on which they are inside."""
    unit = 2.0**32
    # What lies so far out misses the image whatever its slope.
    a = ((alpha + 1).clamp(-(2.0**29), 2.0**29) * unit).round().long().numpy()
    g = (gamma * unit).round().long().numpy()
    end = np.int64((cells + 1) << 32)
    # 0 <= a + g l < end, in exact integers, since it is what keeps the kernels within the array.
    slope = np.where(g == 0, 1, g)
    rising, falling = -(a // slope), (end - a) // slope + 1
    first = np.where(g > 0, rising, falling)
    stop = np.where(g > 0, -((a - end) // slope), (-a) // slope + 1)
    inside = (a >= 0) & (a < end)
    first = np.where(g == 0, np.where(inside, 0, lines), first)
    stop = np.where(g == 0, lines, stop)
    first, stop = (bound.clip(0, lines).astype(np.int32) for bound in (first, stop))
    return a, g, weight.float().numpy(), first, stop, sample.int().numpy()
