"""Compiled kernels that follow rays through a volume one by one."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

__all__ = ["back_project", "project"]


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _axes(dz, dy, dx):  # noqa: ANN001, ANN202
    """Return the axis across whose planes a ray is followed, and the other two."""
    if abs(dz) > max(abs(dy), abs(dx)):
        return 0, 1, 2
    if abs(dy) >= abs(dx):
        return 1, 0, 2
    return 2, 0, 1


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _inside(at, step, cells, begin, end):  # noqa: ANN001, ANN202
    """Return the planes of a range on which -1 < at + step plane < cells, perhaps with one more on either side."""
    if abs(step) < 1e-12:
        return (begin, end) if -1 < at < cells else (begin, begin)
    a, b = (-1 - at) / step, (cells - at) / step
    low, high = max(min(a, b), -1.0), min(max(a, b), 1e9)
    return max(begin, int(low)), min(end, int(max(high, -2.0)) + 2)


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _ray(rays, view, row, column):  # noqa: ANN001, ANN202
    """Return axes, positions and steps across them from plane to plane, and the length in between, of a ray."""
    start, start_step, towards, towards_step, edges = rays
    z, y, x = (
        start[view, column, 0] + row * start_step[view, 0, 0],
        start[view, column, 1] + row * start_step[view, 0, 1],
        start[view, column, 2] + row * start_step[view, 0, 2],
    )
    dz, dy, dx = (
        towards[view, column, 0] + row * towards_step[view, 0, 0],
        towards[view, column, 1] + row * towards_step[view, 0, 1],
        towards[view, column, 2] + row * towards_step[view, 0, 2],
    )
    major, one, two = _axes(dz, dy, dx)
    origin, direction = (z, y, x), (dz, dy, dx)
    length = (dz * edges[0]) ** 2 + (dy * edges[1]) ** 2 + (dx * edges[2]) ** 2
    steep = direction[major]
    first_step, second_step = direction[one] / steep, direction[two] / steep
    first, second = origin[one] - origin[major] * first_step, origin[two] - origin[major] * second_step
    return major, one, two, first, first_step, second, second_step, math.sqrt(length) / abs(steep)


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def project(volume, rays, begin, end, y):  # noqa: ANN001, ANN201
    """Write the line integrals of the views from begin to end. Shapes: volume (D + 2, H + 2, W + 2), y (A, R, C)."""
    flat = volume.reshape(-1)
    strides = (volume.shape[1] * volume.shape[2], volume.shape[2], 1)
    for view in range(begin, end):
        for row in range(y.shape[1]):
            for column in range(y.shape[2]):
                major, one, two, first, first_step, second, second_step, length = _ray(rays, view, row, column)
                cells, rest = volume.shape[one] - 2, volume.shape[two] - 2
                low, high = _inside(first, first_step, cells, 0, volume.shape[major] - 2)
                low, high = _inside(second, second_step, rest, low, high)
                down, across, along = strides[one], strides[two], strides[major]
                total = 0.0
                for plane in range(low, high):
                    a, b = first + first_step * plane + 1, second + second_step * plane + 1
                    i, j = math.floor(a), math.floor(b)
                    if 0 <= i <= cells and 0 <= j <= rest:
                        f, g = a - i, b - j
                        at = np.uint64((plane + 1) * along + i * down + j * across)
                        upper = (1 - g) * flat[at] + g * flat[at + np.uint64(across)]
                        at += np.uint64(down)
                        total += (1 - f) * upper + f * ((1 - g) * flat[at] + g * flat[at + np.uint64(across)])
                y[view, row, column] = total * length


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def back_project(volume, rays, axis, begin, end, y):  # noqa: ANN001, ANN201
    """Add all rays followed across `axis` to its planes [begin, end), which this call alone writes to."""
    flat = volume.reshape(-1)
    strides = (volume.shape[1] * volume.shape[2], volume.shape[2], 1)
    for view in range(y.shape[0]):
        for row in range(y.shape[1]):
            for column in range(y.shape[2]):
                major, one, two, first, first_step, second, second_step, length = _ray(rays, view, row, column)
                if major != axis:
                    continue
                cells, rest = volume.shape[one] - 2, volume.shape[two] - 2
                low, high = _inside(first, first_step, cells, begin, end)
                low, high = _inside(second, second_step, rest, low, high)
                down, across, along = strides[one], strides[two], strides[major]
                value = y[view, row, column] * length
                for plane in range(low, high):
                    a, b = first + first_step * plane + 1, second + second_step * plane + 1
                    i, j = math.floor(a), math.floor(b)
                    if 0 <= i <= cells and 0 <= j <= rest:
                        f, g = a - i, b - j
                        at = np.uint64((plane + 1) * along + i * down + j * across)
                        flat[at] += (1 - f) * (1 - g) * value
                        flat[at + np.uint64(across)] += (1 - f) * g * value
                        at += np.uint64(down)
                        flat[at] += f * (1 - g) * value
                        flat[at + np.uint64(across)] += f * g * value
