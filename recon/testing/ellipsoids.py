"""Ellipses and ellipsoids whose line integrals are known in closed form: phantoms that no projector has touched."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Ellipsoid", "chords", "values_at"]


@dataclass(frozen=True, slots=True)
class Ellipsoid:
    """An ellipse (x, y) or an ellipsoid (x, y, z) of one value.

    Parameters
    ----------
    value
        What it adds inside.
    centre, axes
        Centre and semi-axes in mm, two or three numbers each; an infinite axis makes a cylinder.
    turn
        Angle in radians by which it is turned counter-clockwise in the plane (x to the right, y up).
    """

    value: float
    centre: tuple[float, ...]
    axes: tuple[float, ...]
    turn: float = 0.0


def values_at(shapes: Iterable[Ellipsoid], points: ArrayLike) -> NDArray[np.float64]:
    """Return the sum of the values at points (..., dimension)."""
    where = np.asarray(points, dtype=np.float64)
    total = np.zeros(where.shape[:-1])
    for shape in shapes:
        unit = _to_unit_ball(shape, where - np.asarray(shape.centre))
        total += shape.value * ((unit * unit).sum(-1) <= 1)
    return total


def chords(shapes: Iterable[Ellipsoid], origins: ArrayLike, directions: ArrayLike) -> NDArray[np.float64]:
    """Return the line integrals along lines through `origins` with unit `directions`, both (..., dimension).

    In the coordinates in which the ellipsoid is the unit ball the line is o + s d; it cuts the ball over a length
    2 sqrt((o d)^2 - d^2 (o^2 - 1)) / d^2 of s, which is the length in mm.
    """
    start, along = np.broadcast_arrays(np.asarray(origins, np.float64), np.asarray(directions, np.float64))
    total = np.zeros(start.shape[:-1])
    for shape in shapes:
        o, d = _to_unit_ball(shape, start - np.asarray(shape.centre)), _to_unit_ball(shape, along)
        dd = (d * d).sum(-1)
        od = (o * d).sum(-1)
        # o^2 d^2 - (o d)^2 through the point nearest to the centre, which does not cancel for far origins.
        nearest = o - (od / dd)[..., None] * d
        total += shape.value * 2 * np.sqrt(np.maximum(1 - (nearest * nearest).sum(-1), 0) / dd)
    return total


def _to_unit_ball(shape: Ellipsoid, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    c, s = np.cos(shape.turn), np.sin(shape.turn)
    turned = vectors.copy()
    turned[..., 0] = c * vectors[..., 0] + s * vectors[..., 1]
    turned[..., 1] = -s * vectors[..., 0] + c * vectors[..., 1]
    scaled: NDArray[np.float64] = turned / np.asarray(shape.axes)
    return scaled
