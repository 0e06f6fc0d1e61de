"""Points on a grid that keep a distance from one another."""

from __future__ import annotations

import math

import numpy as np

__all__ = ["poisson_disc"]


def poisson_disc(
    radius: np.ndarray, scale: tuple[float, float], taken: np.ndarray, random: np.random.Generator
) -> np.ndarray:
    """Draw points in random order, each unless an earlier one lies closer than that one's radius, until none fits.

    Points lie anywhere in the inner half of their cell, so that the density is continuous in the radius; on the grid
    they may come closer to one another by half a cell along each axis.

    Parameters
    ----------
    radius
        Least distance from a point in each cell (H, W).
    scale
        Edges of a cell, in the unit of `radius`.
    taken
        Cells (H, W) in which no point is to be drawn.
    random
        Generator of the draw.

    Returns
    -------
    The cells that hold a point, as a boolean array (H, W).

    References
    ----------
    Cook, ACM Trans. Graph. 5:51, 1986, doi:10.1145/7529.8927 (dart throwing)
    """
    height, width = radius.shape
    # Discs end in the margin, so that no index needs a check.
    reach = math.ceil(float(radius.max()) / min(scale)) + 1
    stride = width + 2 * reach
    flat = np.arange((height + 2 * reach) * stride).reshape(-1, stride)
    cells = flat[reach : reach + height, reach : reach + width].ravel()
    offset_y, offset_x = (random.random(flat.size, dtype=np.float32) * np.float32(step / 2) for step in scale)
    covered, points = np.zeros(flat.size, bool), np.zeros(flat.size, bool)
    waiting = random.permutation(np.flatnonzero(~taken))
    none = np.iinfo(np.int64).max
    first = np.full(flat.size, none)
    while waiting.size:
        # A point of this batch is drawn if no earlier one of the batch covers it; the order is that of one by one.
        batch, rest = np.split(waiting, [max(512, waiting.size // 12)])
        rank = np.arange(batch.size)
        own = cells[batch]
        around, owners = _discs(radius.ravel()[batch], own, (offset_y, offset_x), scale, stride)
        np.minimum.at(first, around, owners)
        drawn = first[own] >= rank
        first[around] = none
        points[own[drawn]] = True
        covered[own[drawn]] = True
        covered[around[drawn[owners]]] = True
        waiting = np.concatenate([batch[~covered[own]], rest[~covered[cells[rest]]]])
    return points[cells].reshape(height, width)


def _discs(
    radius: np.ndarray, own: np.ndarray, offsets: tuple[np.ndarray, np.ndarray], scale: tuple[float, float], stride: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the cells whose point lies within the radius of one of `own`, and which of these it is."""
    found, owners = [], []
    reach = np.ceil(radius / min(scale)).astype(int) + 1
    for size in np.unique(reach):
        group = np.flatnonzero(reach == size)
        y, x = (np.arange(-n, n + 1) for n in (size, size))
        cells = own[group][:, None] + (y[:, None] * stride + x).ravel()
        square = np.zeros(cells.shape, np.float32)
        for offset, step, axis in zip(offsets, scale, (y[:, None] + 0 * x, x + 0 * y[:, None]), strict=True):
            distance = offset[cells] - offset[own[group]][:, None] + (step * axis.ravel()).astype(np.float32)
            square += distance * distance
        near = square < (radius[group] ** 2).astype(np.float32)[:, None]
        found.append(cells[near])
        owners.append(np.broadcast_to(group[:, None], near.shape)[near])
    return np.concatenate(found), np.concatenate(owners)
