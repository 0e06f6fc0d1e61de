"""Turns and mirrors of the square under which a scan is its own image: one ray then serves several."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from recon_plugins.radon.geometry import Geometry, ParallelBeam
from recon_plugins.radon.grid import Grid

__all__ = ["Orbits", "Turn", "ViewOrbits", "orbit_choices", "transposed", "view_orbits"]


@dataclass(frozen=True)
class Turn:
    """An image's mirror image, left to right, if asked; then so many quarter turns anticlockwise."""

    quarters: int
    mirror: bool

    def __call__(self, x: Tensor, axes: tuple[int, int] = (-2, -1)) -> Tensor:
        """Turn images (..., H, W), or those that have rows and columns as other axes."""
        return torch.rot90(x.flip(axes[1]) if self.mirror else x, self.quarters, axes)

    def inverse(self, x: Tensor, axes: tuple[int, int] = (-2, -1)) -> Tensor:
        """Turn back."""
        x = torch.rot90(x, -self.quarters, axes)
        return x.flip(axes[1]) if self.mirror else x


@dataclass(frozen=True)
class Orbits:
    """Which samples of the sinogram are traced, and where the others come from.

    Tracing the rays of `traced` through the image as each of `turns` shows it gives the whole sinogram: its sample s
    is entry place[s] of the result (len(traced), len(turns)), flattened.
    """

    turns: tuple[Turn, ...]
    traced: Tensor
    place: Tensor


def orbit_choices(geometry: Geometry, grid: Grid) -> list[Orbits]:
    """Find groups of turns that map the image's grid and the set of rays onto themselves, the identity alone last."""
    maps = dict(zip(*_symmetries(geometry, grid), strict=True))
    found: list[Orbits] = []
    for group in _GROUPS:
        turns = tuple(Turn(k, mirror) for mirror, k in group)
        if all(turn in maps for turn in turns) and len(turns) < min([len(f.turns) for f in found], default=9):
            orbits = _orbits(turns, [maps[turn] for turn in turns])
            if (orbits.place >= 0).all():  # Rounding of odd angles might leave samples out.
                found.append(orbits)
    return found


_GROUPS = (
    [(mirror, k) for mirror in (False, True) for k in range(4)],
    [(False, k) for k in range(4)],
    [(mirror, k) for mirror in (False, True) for k in (0, 2)],
    [(mirror, k) for mirror, k in ((False, 0), (False, 2), (True, 1), (True, 3))],
    [(False, 0), (False, 2)],
    *([(False, 0), (True, k)] for k in range(4)),
    [(False, 0)],
)
"""Groups of turns, (mirror, quarters), the larger first."""


def _orbits(turns: tuple[Turn, ...], maps: list[Tensor]) -> Orbits:
    traced = torch.stack(maps).amin(0).unique()
    place = torch.full_like(maps[0], -1)
    for index in reversed(range(len(maps))):
        place[maps[index][traced]] = torch.arange(len(traced)) * len(maps) + index
    return Orbits(turns, traced, place)


def transposed(turns: tuple[Turn, ...]) -> list[int] | None:
    """For each turn, which of them shows an image as this one does after transposition; None if one lacks."""
    image = torch.arange(9).view(3, 3)
    shown = [turn(image) for turn in turns]
    found = [[i for i, other in enumerate(shown) if torch.equal(other, x.T)] for x in shown]
    return [matches[0] for matches in found] if all(found) else None


@dataclass(frozen=True)
class ViewOrbits:
    """Which views are worked on, and which view of the scan each is as each turn shows the image.

    View v of `views` sees the turned image turns[k] as view source[v, k] sees the image itself, with its bins in
    reverse order where flipped[v, k]. A view that n of the turns lead to has share 1 / n.
    """

    turns: tuple[Turn, ...]
    views: Tensor
    source: Tensor
    flipped: Tensor
    share: Tensor


def view_orbits(geometry: Geometry, grid: Grid) -> ViewOrbits:
    """Find the turns that map the image's grid and the set of views onto themselves."""
    turns, maps = _symmetries(geometry, grid)
    first = torch.stack(maps, 1)[:: geometry.bins]
    source = first // geometry.bins
    views = source.amin(1).unique()
    counts = torch.bincount(source[views].flatten(), minlength=len(source))
    if (counts == 0).any():
        turns, views, counts = turns[:1], torch.arange(len(source)), torch.ones_like(counts)
    source, first = source[views, : len(turns)], first[views, : len(turns)]
    return ViewOrbits(tuple(turns), views, source, first % geometry.bins != 0, 1 / counts[source])


def _symmetries(geometry: Geometry, grid: Grid) -> tuple[list[Turn], list[Tensor]]:
    """Return the turns that map grid and rays onto themselves, identity first, and where each takes every sample."""
    samples = torch.arange(len(geometry.angles) * geometry.bins)
    turns, maps = [Turn(0, mirror=False)], [samples]
    quarters = (0, 1, 2, 3) if grid.square else (0, 2)
    for turn in [Turn(k, mirror) for mirror in (False, True) for k in quarters][1:] if grid.centred else []:
        moved = _moved(geometry, turn)
        if moved is not None:
            turns.append(turn)
            maps.append(moved)
    return turns, maps


def _moved(geometry: Geometry, turn: Turn) -> Tensor | None:
    """For each sample, the one whose ray meets the image as its own meets the turned image; None if one lacks."""
    theta = torch.tensor(geometry.angles, dtype=torch.float64)
    wanted = theta - turn.quarters * math.pi / 2
    view = _match(theta, -wanted if turn.mirror else wanted)
    flip = torch.full_like(view, turn.mirror, dtype=torch.bool)
    if isinstance(geometry, ParallelBeam):
        # The view from behind sees the same rays, in reverse order.
        opposite = _match(theta, (-wanted if turn.mirror else wanted) + math.pi)
        flip ^= view < 0
        view = torch.where(view < 0, opposite, view)
    if (view < 0).any() or len(view.unique()) < len(view) or (not geometry.symmetric and flip.any()):
        return None
    bins = torch.arange(geometry.bins)
    return (view[:, None] * geometry.bins + torch.where(flip[:, None], bins.flip(0), bins)).flatten()


def _match(angles: Tensor, wanted: Tensor) -> Tensor:
    """Index of the angle that equals each wanted one modulo 2 pi to 1e-10, or -1."""
    turn = 2 * math.pi
    ordered, order = torch.sort(angles % turn)
    ordered = torch.cat([ordered[-1:] - turn, ordered, ordered[:1] + turn])
    order = torch.cat([order[-1:], order, order[:1]])
    wanted = wanted % turn
    above = torch.searchsorted(ordered, wanted).clamp(1, len(ordered) - 1)
    nearest = torch.where(wanted - ordered[above - 1] < ordered[above] - wanted, above - 1, above)
    return torch.where((ordered[nearest] - wanted).abs() < 1e-10, order[nearest], -1)
