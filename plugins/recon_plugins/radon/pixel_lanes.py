"""Pixel-driven back-projection on the CPU by compiled kernels: several images side by side in the lanes of a vector."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from recon_plugins.radon import pixel_kernels as kernels
from recon_plugins.radon.geometry import Geometry
from recon_plugins.radon.grid import Grid
from recon_plugins.radon.pool import run_all
from recon_plugins.radon.symmetry import Turn, ViewOrbits, view_orbits
from recon_plugins.radon.view_table import ViewTable

__all__ = ["PixelLanes"]

WIDEST = 16
"""Most lanes."""
ROWS = 32
"""Rows of the image that one thread works on at a time."""


class PixelLanes:
    """The maps of `PixelDriven` in float32, without tables of weights.

    Up to 16 images share the work of finding places. Where turns and mirrors of the image map the views onto each
    other, a single image is seen in each of them side by side, and a share of the views is worked on. Every value has
    one writer, so results do not depend on the number of threads.
    """

    def __init__(self, table: ViewTable, geometry: Geometry, grid: Grid, taps: int) -> None:
        views = torch.arange(len(geometry.angles))[:, None]
        alone = ViewOrbits((Turn(0, False),), views[:, 0], views, views < 0, torch.ones(views.shape))
        self._plain = _Plan(table, grid.size, taps, alone)
        found = view_orbits(geometry, grid)
        self._turned = _Plan(table, grid.size, taps, found) if len(found.turns) > 1 else None
        self.size, self.sinogram_size = grid.size, (len(views), geometry.bins)

    def forward(self, x: Tensor) -> Tensor:
        """Spread pixels over the bins they are interpolated from. Shapes: x (N, H W) -> (N, A D)."""
        x = x.detach().unflatten(1, self.size)
        y = x.new_zeros(len(x), *self.sinogram_size)
        for part, plan in self._split(len(x)):
            plan.forward(x[part], y[part])
        return y.flatten(1)

    def adjoint(self, y: Tensor) -> Tensor:
        """Sum interpolated views. Shapes: y (N, A D) -> (N, H W)."""
        y = y.detach().unflatten(1, self.sinogram_size)
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
    """The views worked on for one set of turns.

    Where half a turn maps every view of a parallel beam onto itself, pixels of the upper half do for the whole image.
    """

    def __init__(self, table: ViewTable, size: tuple[int, ...], taps: int, found: ViewOrbits) -> None:
        self.size, self.orbits, self.turns = size, found, found.turns
        self.beam, self.taps = kernels.BEAMS.index(table.beam), (0,) * taps
        # The kernels take views by fours: the last ones see zeros.
        filled = -len(found.views) % 4
        views = torch.nn.functional.pad(found.views, (0, filled))
        self.table = table.coefficients[:, views].contiguous().numpy(), table.scale, table.shift
        self.rows = len(views), table.bins + 2 * taps
        opposite = [Turn((turn.quarters + 2) % 4, turn.mirror) for turn in found.turns]
        self.pairs: list[tuple[int, int]] = []
        """Turns and the same by half a turn more, if these see the same views."""
        if set(opposite) == set(found.turns):
            pairs = [(k, found.turns.index(turn)) for k, turn in enumerate(opposite)]
            if all(torch.equal(found.source[:, k], found.source[:, other]) for k, other in pairs):
                self.pairs = [(k, other) for k, other in pairs if k < other]
        self.share = found.share * (2 if self.pairs else 1)
        self.height = (size[0] + 1) // 2 if self.pairs else size[0]

    def adjoint(self, y: Tensor, x: Tensor) -> None:
        """Write the back-projections of y (n, A, D) into x (n, H, W)."""
        turns, taps = self.turns, len(self.taps)
        lanes = self._lanes(len(y))
        rows = torch.zeros(*self.rows, len(lanes))
        inside = rows[: len(self.orbits.views), taps:-taps]
        if len(turns) == 1:
            inside[..., : len(y)] = y.permute(1, 2, 0)
        else:
            for lane, (item, k) in enumerate((item, k) for item in range(len(y)) for k in range(len(turns))):
                inside[..., lane] = self._seen(y[item], k)
        image = torch.zeros(self.height, self.size[1], len(lanes))
        arguments = (lanes, self.beam, self.taps, *self.table, image.numpy(), rows.numpy())
        run_all(
            partial(kernels.back_project, *arguments, top, min(top + ROWS, self.height))
            for top in range(0, self.height, ROWS)
        )
        parts = image.flatten(0, 1).T.contiguous().unflatten(1, image.shape[:2])  # of two axes, copied in blocks
        parts = parts[: len(y) * len(turns)].unflatten(0, (len(y), -1))
        x.zero_()
        for k, turn in enumerate(turns):
            if not self.pairs:
                x += turn.inverse(parts[:, k])
        for k, other in self.pairs:
            below = parts[:, other].flip(-2, -1)
            whole = torch.cat([parts[:, k], below[:, self.size[0] % 2 :]], 1)
            if self.size[0] % 2:  # both halves hold the middle row
                whole[:, self.height - 1] = (parts[:, k, -1] + below[:, 0]) / 2
            x += turns[k].inverse(whole)

    def forward(self, x: Tensor, y: Tensor) -> None:
        """Add the transpose of `adjoint` of x (n, H, W) to y (n, A, D)."""
        turns, taps = self.turns, len(self.taps)
        lanes = self._lanes(len(x))
        image = torch.zeros(self.height, self.size[1], len(lanes))
        for k, turn in enumerate(turns):
            image[..., k : len(x) * len(turns) : len(turns)] = turn(x)[:, : self.height].permute(1, 2, 0)
        if self.pairs and self.size[0] % 2:
            image[-1] /= 2
        rows = torch.zeros(*self.rows, len(lanes))
        arguments = (lanes, self.beam, self.taps, *self.table, image.numpy(), rows.numpy())
        step = min(kernels.VIEWS, max(4, len(rows) // 8 // 4 * 4))
        run_all(
            partial(kernels.project, *arguments, first, min(first + step, len(rows)))
            for first in range(0, len(rows), step)
        )
        inside = rows[: len(self.orbits.views), taps:-taps]
        if len(turns) == 1:
            y += inside[..., : len(x)].permute(2, 0, 1)
        else:
            for lane, (item, k) in enumerate((item, k) for item in range(len(x)) for k in range(len(turns))):
                self._add(y[item], k, inside[..., lane])

    def _seen(self, y: Tensor, k: int) -> Tensor:
        """Return the views of y (A, D) that are worked on, as turn k shows them."""
        orbits = self.orbits
        rows = y[orbits.source[:, k]] * self.share[:, k, None]
        return torch.where(orbits.flipped[:, k, None], rows.flip(1), rows)

    def _add(self, y: Tensor, k: int, rows: Tensor) -> None:
        """Transpose of `_seen`, added to y."""
        orbits = self.orbits
        rows = torch.where(orbits.flipped[:, k, None], rows.flip(1), rows)
        y.index_add_(0, orbits.source[:, k], rows * self.share[:, k, None])

    def _lanes(self, images: int) -> tuple[Any, ...]:
        needed = images * len(self.turns)
        return (0,) * next(lanes for lanes in (4, 8, WIDEST) if lanes >= needed)
