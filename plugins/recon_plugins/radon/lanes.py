"""Projection on the CPU by compiled kernels: images, or turns of an image, side by side in the lanes of a vector."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, overload

import torch
from torch import Tensor

from recon_plugins.radon import kernels
from recon_plugins.radon.bundles import Bundles
from recon_plugins.radon.geometry import Geometry
from recon_plugins.radon.grid import Grid
from recon_plugins.radon.pool import alone, parts, run_all
from recon_plugins.radon.rays import RayTable
from recon_plugins.radon.scratch import scratch
from recon_plugins.radon.symmetry import Orbits, orbit_choices, transposed
from recon_plugins.radon.transpose import transpose
from recon_plugins.radon.turned import add_back, show, shown

__all__ = ["LanesProjector"]

VIEWS = 4
"""Neighbouring views whose rays to one bin are followed one after the other: they meet nearly the same cells."""
BLOCK, STRIP, TASKS = 48, 64, 32
"""Most views, and bins, of one task of projecting; into how many tasks a projection is divided if views suffice."""
PARTS, GATHERED = 8, 4
"""Into how many tasks the samples of an image are put into order, and how much longer than a copy that takes."""
WIDEST = 128
"""Most bytes of a vector: four registers of 256 bits."""
LINES = 32
"""Lines that are worked on at a time, half of them with the widest vectors: what is in use of them stays in L2."""
EFFORT = 4.0
"""Work per line of a ray that does not depend on the lanes, over that per register."""
BUNDLED = 1.3
"""Work per line of a ray in a bundle."""


class LanesProjector:
    """Projection and its exact adjoint, without tables of weights.

    Each call traces rays through up to 32 images at once (16 in double precision). Where turns and mirrors of the image
    map the rays onto each other (a centred square, and as many views in every quarter), an image is seen in several of
    them side by side, and only a share of the rays is traced. Few images without such turns are projected by bundles of
    rays, where those lie close enough. Positions are fixed-point numbers. Every value has one writer, so results do not
    depend on the number of threads.
    """

    def __init__(self, rays: RayTable, geometry: Geometry, grid: Grid, dtype: torch.dtype) -> None:
        self.size, self.dtype = grid.size, dtype
        self.samples = len(geometry.angles) * geometry.bins
        self._rays, self._geometry = rays, geometry
        self._orbits = orbit_choices(geometry, grid)
        self._plans: dict[int, _Plan] = {}
        self._bundles: Bundles | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Project. Shapes: x (N, H W) -> (N, A D)."""
        x = x.detach().unflatten(1, self.size)
        y = x.new_empty(len(x), self.samples)
        with alone():
            for part, plan in self._split(len(x), bundles=self.dtype == torch.float32):
                plan.forward(x[part], y[part])
        return y

    def adjoint(self, y: Tensor) -> Tensor:
        """Back-project. Shapes: y (N, A D) -> (N, H W)."""
        y = y.detach()
        x = y.new_empty(len(y), *self.size)
        with alone():
            for part, plan in self._split(len(y)):
                plan.adjoint(y[part], x[part])
        return x.flatten(1)

    @overload
    def _split(self, count: int, *, bundles: bool) -> Iterator[tuple[slice, _Plan | Bundles]]: ...
    @overload
    def _split(self, count: int) -> Iterator[tuple[slice, _Plan]]: ...
    def _split(self, count: int, *, bundles: bool = False) -> Iterator[tuple[slice, Any]]:
        """Choose what takes the least work an image: vectors of images, or of turns of few; bundles of rays of one."""
        start = 0
        while start < count:
            choices = [
                (work(lanes, self.dtype) / lanes, -lanes // turns, index)
                for index, turns in enumerate(len(found.turns) for found in self._orbits)
                for lanes in range(turns, min((count - start) * turns, WIDEST // self.dtype.itemsize) + 1, turns)
            ]
            least, images, index = min(choices)
            if bundles and least > BUNDLED and self._of_bundles().fits:
                yield slice(start, start + 1), self._of_bundles()
                start += 1
            else:
                yield slice(start, start - images), self._plan(self._orbits[index])
                start -= images

    def _plan(self, found: Orbits) -> _Plan:
        turns = len(found.turns)
        if turns not in self._plans:
            self._plans[turns] = _Plan(self._rays, self._geometry, self.size, found, self.dtype)
        return self._plans[turns]

    def _of_bundles(self) -> Bundles:
        if self._bundles is None:
            self._bundles = Bundles(self._rays, self.size)
        return self._bundles


def width(needed: int, dtype: torch.dtype) -> int:
    """Return the lanes that hold so many images: 16 bytes of them, 32, 64 or 128."""
    return next(n for n in (16, 32, 64, WIDEST) if n >= needed * dtype.itemsize) // dtype.itemsize


def work(needed: int, dtype: torch.dtype) -> float:
    """Return what a line of a ray takes through so many images: more with every register of 256 bits."""
    return EFFORT + max(width(needed, dtype) * dtype.itemsize // 32, 1)


class _Plan:
    """The rays traced for one group of turns. Lane k n + i of a vector holds turn k of image i of n."""

    def __init__(
        self, rays: RayTable, geometry: Geometry, size: tuple[int, ...], found: Orbits, dtype: torch.dtype
    ) -> None:
        self.size, self.turns, self.dtype = size, found.turns, dtype
        self.bits = kernels.fraction(dtype.itemsize, sum(size))
        self.traced = len(found.traced)
        self._placed: tuple[int, Tensor] | None = None
        view, bin_ = found.traced // geometry.bins, found.traced % geometry.bins
        # Bins of a few neighbouring views side by side: their rays share what they read.
        strips = -(-geometry.bins // STRIP)
        block = max(1, min(BLOCK, len(view.unique()) * strips // TASKS) // VIEWS) * VIEWS
        task = view // block * strips + bin_ // STRIP
        order = torch.argsort(((task * block + view % block // VIEWS) * geometry.bins + bin_) * VIEWS + view % VIEWS)
        traced, task = found.traced[order], task[order]
        rank = torch.empty_like(order)
        rank[order] = torch.arange(self.traced)
        # Where each sample is found: row of the traced rays, and turn.
        self.row, self.turn = rank[found.place // len(self.turns)], found.place % len(self.turns)
        per_bin = rays.alpha.shape[-1]
        alpha, gamma, weight, along_rows = (
            table.reshape(-1, per_bin)[traced].flatten()
            for table in (rays.alpha, rays.gamma, rays.weight, rays.along_rows)
        )
        task, sample = (index.repeat_interleave(per_bin) for index in (task, torch.arange(self.traced)))
        by_bin = along_rows.view(-1, per_bin)
        swapped = transposed(self.turns)
        self.one_image = swapped is not None and bool((by_bin == by_bin[:, :1]).all())
        """Whether the transposed image's turns are among the image's own, and no bin needs both."""
        if swapped is not None and self.one_image:
            self.turn = torch.where(by_bin[self.row, 0], self.turn, torch.tensor(swapped)[self.turn])
        if self.traced * WIDEST < 2**31:
            self.row, self.turn = self.row.int(), self.turn.int()  # faster to read
        # For each turn and row, the sample that belongs there, and the rows that none belongs to.
        source = torch.full((len(self.turns) * self.traced,), -1, dtype=self.row.dtype)
        source[self.turn * self.traced + self.row] = torch.arange(len(self.row), dtype=self.row.dtype)
        self.sources = [(rows.clamp(min=0), (rows < 0).nonzero()[:, 0]) for rows in source.view(len(self.turns), -1)]
        # Rays along rows, then those along columns, of the transposed image.
        self.sets = []
        for columns, mask in ((False, along_rows), (True, ~along_rows)):
            if mask.any():
                lines, cells = reversed(size) if columns else size
                shares = (alpha[mask], gamma[mask], weight[mask].to(dtype), sample[mask])
                table = _fixed_point(*shares, lines, cells, self.bits)
                counts = task[mask].unique_consecutive(return_counts=True)[1].tolist()
                work = [int(lengths.sum()) for lengths in (table[4] - table[3]).clamp(min=0).split(counts)]
                ends = list(itertools.accumulate(counts, initial=0))
                # The longest first: short ones, of the image's edge, are left for the end, where a thread may wait.
                tasks = [(ends[k], ends[k + 1]) for k in sorted(range(len(work)), key=work.__getitem__, reverse=True)]
                self.sets.append((columns, table, tasks))

    def forward(self, x: Tensor, y: Tensor) -> None:
        """Write the sinograms of x (n, H, W) into y (n, A D)."""
        lanes = width(len(x) * len(self.turns), self.dtype)
        kernel = kernels.project(self.dtype.itemsize, lanes, self.bits)
        with scratch(self.traced, lanes, dtype=self.dtype, zero=True) as traced:
            with shown(x, self.turns, [columns for columns, _ in self._images()]) as sources:
                for columns, sets in self._images():
                    with scratch(*self._grid(columns), lanes, dtype=self.dtype) as image:
                        show(sources, self.turns, image, columns=columns)
                        lines, depth = len(image), self._depth(lanes)
                        trace = [
                            partial(kernel, *_addresses(image, traced, *table), *task, 0, lines, depth)
                            for table, tasks in sets
                            for task in tasks
                        ]
                        run_all(trace, self._work(lanes))
            with scratch(lanes, self.traced, dtype=self.dtype) as entries:
                transpose(traced, entries)
                flat, place = entries.view(-1), self._place(len(y))
                collect = [
                    partial(torch.index_select, flat[index * self.traced :], 0, place[start:stop], out=row[start:stop])
                    for index, row in enumerate(y)
                    for start, stop in parts(len(place), max(1, PARTS // len(y)))
                ]
                run_all(collect, GATHERED * y.numel())

    def adjoint(self, y: Tensor, x: Tensor) -> None:
        """Write the back-projections of y (n, A D) into x (n, H, W)."""
        lanes = width(len(y) * len(self.turns), self.dtype)
        kernel = kernels.back_project(self.dtype.itemsize, lanes, self.bits)
        with scratch(self.traced, lanes, dtype=self.dtype) as traced:
            with scratch(lanes, self.traced, dtype=self.dtype) as entries:
                items, targets = y.unbind(), iter(entries)
                spread: list[Callable[[], object]] = [
                    partial(_spread, item, next(targets), *sources) for sources in self.sources for item in items
                ]
                spread += [empty.zero_ for empty in (*targets, *x)]
                run_all(spread, GATHERED * y.numel())
                transpose(entries, traced)
            for columns, sets in self._images():
                with scratch(*self._grid(columns), lanes, dtype=self.dtype) as image:
                    depth = self._depth(lanes)
                    every = [(*_addresses(image, traced, *table), 0, len(table[0])) for table, _ in sets]
                    blocks = _blocks(len(image), depth)
                    run_all(
                        [partial(_fill, image, kernel, every, *block, depth) for block in blocks], self._work(lanes)
                    )
                    add_back(image, self.turns, x, columns=columns)

    def _place(self, count: int) -> Tensor:
        """Where each sample of the first of so many images was traced; the last answer is kept."""
        found = self._placed
        if found is None or found[0] != count:
            self._placed = found = count, torch.add(self.row, self.turn, alpha=count * self.traced)
        return found[1]

    def _images(self) -> list[tuple[bool, list[Any]]]:
        """Tell the images that are worked on, transposed or not, and the tables of the rays through each."""
        if self.one_image:
            return [(False, [(table, tasks) for _, table, tasks in self.sets])]
        return [(columns, [(table, tasks)]) for columns, table, tasks in self.sets]

    def _work(self, lanes: int) -> int:
        """About as many numbers as could be copied while the rays are followed."""
        return self.traced * max(self.size) * lanes // 4

    def _depth(self, lanes: int) -> int:
        """Lines worked on at a time."""
        return LINES // 2 if lanes * self.dtype.itemsize == WIDEST else LINES

    def _grid(self, columns: bool) -> tuple[int, int]:
        """Lines and cells of an image, with a cell of zeros on either end of a line."""
        lines, cells = reversed(self.size) if columns else self.size
        return lines, cells + 2


def _blocks(lines: int, depth: int) -> list[tuple[int, int]]:
    """Divide lines into blocks of `depth`; the last of many are a half and a quarter as large: threads end together."""
    many = (2 * depth, depth), (depth, depth // 2), (0, depth // 4)
    ends = [0]
    for left, size in many if lines >= 8 * depth else ((0, depth),):
        ends += range(ends[-1] + size, lines - left + 1, size)
    return list(itertools.pairwise([*ends, lines] if ends[-1] < lines else ends))


def _fill(
    image: Tensor, kernel: Callable[..., None], rays: list[tuple[int, ...]], top: int, bottom: int, depth: int
) -> None:
    """Back-project the rays of several tables, one after the other, into lines [top, bottom) of an image."""
    image[top:bottom] = 0
    for table in rays:
        kernel(*table, top, bottom, depth)


def _spread(row: Tensor, target: Tensor, sources: Tensor, none: Tensor) -> None:
    """Write the samples of one sinogram (A D) that belong to one turn, and zero where there is none."""
    torch.index_select(row, 0, sources, out=target)
    if len(none):
        target[none] = 0


def _addresses(image: Tensor, traced: Tensor, *table: Tensor) -> tuple[int, ...]:
    return (image.data_ptr(), image.shape[1], traced.data_ptr(), *(column.data_ptr() for column in table))


def _fixed_point(
    alpha: Tensor, gamma: Tensor, weight: Tensor, sample: Tensor, lines: int, cells: int, bits: int
) -> tuple[Tensor, ...]:
    """Positions from the empty cell before the line, and the lines on which they are inside."""
    unit = 2.0**bits
    # What lies so far out misses the image whatever its slope.
    far = float(lines + cells + 2)
    a = ((alpha + 1).clamp(-far, far) * unit).round().long()
    g = (gamma * unit).round().long()
    end = (cells + 1) << bits
    # 0 <= a + g l < end, in exact integers, since it is what keeps the kernels within the array.
    slope = torch.where(g == 0, 1, g)
    rising, falling = -(a // slope), torch.div(end - a, slope, rounding_mode="floor") + 1
    first = torch.where(g > 0, rising, falling)
    stop = torch.where(g > 0, -((a - end) // slope), (-a) // slope + 1)
    inside = (a >= 0) & (a < end)
    first = torch.where(g == 0, torch.where(inside, 0, lines), first)
    stop = torch.where(g == 0, lines, stop)
    first, stop = (bound.clamp(0, lines).int() for bound in (first, stop))
    return a, g, weight, first, stop, sample.int()
