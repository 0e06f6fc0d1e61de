"""Which measured points of k-space a missing one is made of, in GRAPPA."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["Geometry", "geometries", "spacing"]

Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Geometry:
    """Missing points that lie alike among measured ones, so that one kernel serves them.

    Positions are those of an anchor, the first of the sources; all coordinates are along the axes of the mask.
    """

    sources: Integers
    """Offsets of the sources from the anchor, (source, axis)."""
    targets: Integers
    """Offsets of the missing points, (target, axis)."""
    anchors: Integers
    """Where it applies, (place, axis)."""
    wanted: NDArray[np.bool_]
    """Which targets are missing at which anchor, (place, target)."""


def spacing(mask: NDArray[np.bool_], axis: int) -> int:
    """Return the distance of measured points along an axis where they are apart: 1 if they never are.

    It is that of all but one in twenty, which leaves out the gap of partial Fourier.
    """
    lines = np.moveaxis(mask, axis, -1).reshape(-1, mask.shape[axis])
    gaps = [np.diff(np.flatnonzero(line)) for line in lines[lines.any(1)]]
    apart = np.concatenate(gaps) if gaps else np.ones(0)
    apart = apart[apart > 1]
    return int(np.percentile(apart, 95, method="lower")) if apart.size else 1


def geometries(mask: NDArray[np.bool_], lines: int, reach: Sequence[int]) -> list[Geometry]:
    """Sort the missing points of k-space by how the measured ones lie about them.

    A point is made of the measured points nearest to it, in turns from each side (in the plane: from each quadrant),
    `lines` for each axis: on a regular grid along one axis, of lines/2 on either side. It is left out where measured
    points do not surround it, as beyond the edge that partial Fourier leaves. k-space is periodic, as that of any
    image on a grid is.

    Parameters
    ----------
    mask
        Where k-space is measured, of one to three axes.
    lines
        Number of sources for each axis.
    reach
        How far away they may lie, for each axis.
    """
    return _geometries(mask.tobytes(), mask.shape, lines, tuple(reach))


@lru_cache(maxsize=16)
def _geometries(mask_bytes: bytes, shape: tuple[int, ...], lines: int, reach: tuple[int, ...]) -> list[Geometry]:
    mask = np.frombuffer(mask_bytes, dtype=bool).reshape(shape)
    missing = np.argwhere(~mask)
    if not len(missing):
        return []
    axes, count = len(shape), lines ** len(shape)
    offsets = np.array([o for o in itertools.product(*[range(-r, r + 1) for r in reach]) if any(o)]).reshape(-1, axes)
    distance = np.linalg.norm(offsets / np.maximum(1, reach), axis=1)
    offsets = offsets[np.argsort(distance, kind="stable")]
    side = (offsets >= 0) @ (1 << np.arange(axes))
    chosen = []
    for some in np.array_split(missing, -(-len(missing) * len(offsets) // 2**22)):
        measured = mask[tuple(np.moveaxis((some[:, None] + offsets) % shape, -1, 0))]
        # Sources in turns from each side, and in each turn the nearest first.
        turn = np.full(measured.shape, np.iinfo(np.int64).max)
        for s in np.unique(side):
            of_side = measured & (side == s)
            turn = np.where(of_side, np.cumsum(of_side, axis=1) * len(offsets) + np.arange(len(offsets)), turn)
        order = np.sort(turn, axis=1)[:, :count]
        index = np.where(order < np.iinfo(np.int64).max, order % len(offsets), -1)
        sides = np.array([(measured & (side == s)).any(1) for s in np.unique(side)]).sum(0)
        surrounded = sides > 2**axes / 2
        # The order of the sources does not matter: sorted by place, so that neighbours that share them are found.
        rank = np.lexsort(offsets.T[::-1])
        place = np.empty_like(rank)
        place[rank] = np.arange(len(rank))
        places = np.sort(np.where(index >= 0, place[index], len(offsets)), axis=1)
        chosen.append((some[surrounded], places[surrounded], offsets[rank]))
    points = np.concatenate([c[0] for c in chosen])
    if not len(points):
        return []
    places, by_place = np.concatenate([c[1] for c in chosen]), chosen[0][2]
    first = by_place[places[:, 0]]
    # Absent sources, in a mask that is nearly empty, get an offset that no source has.
    absent = 4 * max(reach)
    relative = np.where(
        (places < len(by_place))[..., None], by_place[np.minimum(places, len(by_place) - 1)] - first[:, None], absent
    )
    keys, group = np.unique(relative.reshape(len(points), -1), axis=0, return_inverse=True)
    group = group.reshape(-1)
    result = []
    order = np.argsort(group, kind="stable")
    for key, members in zip(keys, np.split(order, np.cumsum(np.bincount(group))[:-1]), strict=True):
        sources = key.reshape(-1, axes)
        anchors, where = np.unique((points[members] + first[members]) % shape, axis=0, return_inverse=True)
        targets, which = np.unique(-first[members], axis=0, return_inverse=True)
        wanted = np.zeros((len(anchors), len(targets)), dtype=bool)
        wanted[where.reshape(-1), which.reshape(-1)] = True
        result.append(Geometry(sources[(sources != absent).all(1)], targets, anchors, wanted))
    return result
