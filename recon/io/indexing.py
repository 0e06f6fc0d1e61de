"""What integers and slices pick of an array with named axes."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from types import EllipsisType

from torch import Tensor

from recon.errors import UsageError
from recon.io.geometry import Affine, axes_map, scaling_map
from recon.io.layout import SPACE
from recon.io.metadata import PER_ITEM, Value

__all__ = ["Index", "index_items", "pick", "pick_facts"]

Index = int | slice | EllipsisType


def index_items(index: Index | tuple[Index, ...], dims: tuple[str, ...], shape: tuple[int, ...]) -> list[int | slice]:
    """Return an integer, counted from the start, or a slice for each axis.

    Raises
    ------
    IndexError
        For an integer beyond its axis.
    UsageError
        For too many indices, and anything but integers, slices and one ``...``.
    """
    given = index if isinstance(index, tuple) else (index,)
    dots = [place for place, item in enumerate(given) if item is ...]
    missing = len(dims) - (len(given) - len(dots))
    if len(dots) > 1 or missing < 0:
        raise UsageError(f"too many indices for an image with axes {', '.join(dims)}")
    at = dots[0] if dots else len(given)
    items: list[int | slice] = []
    for item in (*given[:at], *(slice(None),) * missing, *given[at + len(dots) :]):
        items.append(item if isinstance(item, slice) else _whole_number(item, dims[len(items)], shape[len(items)]))
    return items


def _whole_number(item: object, name: str, count: int) -> int:
    if isinstance(item, bool) or not hasattr(item, "__index__") or getattr(item, "ndim", None):
        raise UsageError(
            "an image is indexed with integers, slices and ...; masks and lists have no affine: index .data"
        )
    number = operator.index(item)
    if not -count <= number < count:
        raise IndexError(f"index {number} is beyond axis {name!r} of {count}")
    return number % count


def pick(data: Tensor, dims: tuple[str, ...], items: list[int | slice]) -> tuple[Tensor, tuple[str, ...], Affine]:
    """Return the items, the names of the axes that are left, and the index map; see `Image.__getitem__`.

    Raises
    ------
    UsageError
        If nothing is picked, or no plane is left.
    """
    steps, starts = {"x": 1, "y": 1, "z": 1}, {"x": 0, "y": 0, "z": 0}
    for axis, (name, item) in enumerate(zip(dims, items, strict=True)):
        start, step, number = _picked(item if isinstance(item, slice) else slice(item, item + 1), data.shape[axis])
        data = _cut(data, axis, start, step, number)
        if name in steps:
            steps[name], starts[name] = step, start
    index_map = scaling_map(list(steps.values()), list(starts.values()))
    dropped = [axis for axis, item in enumerate(items) if not isinstance(item, slice)]
    left = tuple(name for axis, name in enumerate(dims) if axis not in dropped)
    gone = [SPACE[::-1].index(dims[axis]) for axis in dropped if dims[axis] in SPACE]
    if sum(name in SPACE for name in left) < 2:
        raise UsageError("integers may drop one axis of a volume and none of a plane: take a length of 1, such as 5:6")
    if gone:
        left = (*(name for name in left if name not in SPACE), "y", "x")
        index_map = index_map @ axes_map([axis for axis in range(3) if axis != gone[0]] + gone)
    return data.squeeze(dropped), left, index_map


def pick_facts(
    metadata: Mapping[str, Value], dims: tuple[str, ...], shape: tuple[int, ...], items: list[int | slice]
) -> dict[str, Value]:
    """Return the metadata of the picked items: lists with a value an item follow; one of another length is dropped."""
    found = dict(metadata)
    for key, along in PER_ITEM.items():
        value = found.get(key)
        if along not in dims or not isinstance(value, tuple):
            continue
        axis = dims.index(along)
        if len(value) == shape[axis]:
            found[key] = value[items[axis]]
        else:
            del found[key]
    return found


def _picked(item: slice, count: int) -> tuple[int, int, int]:
    """Return (start, step, number) of the indices that a slice picks of an axis."""
    chosen = range(count)[item]
    if len(chosen) == 0:
        raise UsageError(f"{item} picks nothing of an axis of {count}: an image has at least one voxel")
    step = chosen.step if len(chosen) > 1 else (1 if chosen.step > 0 else -1)  # one voxel keeps its size
    return chosen.start, step, len(chosen)


def _cut(data: Tensor, axis: int, start: int, step: int, number: int) -> Tensor:
    """Return the items start, start + step ... of an axis; a view unless `step` is negative."""
    last = start + step * (number - 1)
    chosen = data.narrow(axis, min(start, last), abs(last - start) + 1)
    chosen = chosen[(slice(None),) * axis + (slice(None, None, abs(step)),)]
    return chosen.flip(axis) if step < 0 else chosen
