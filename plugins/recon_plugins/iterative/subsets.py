"""Ordered subsets: the views of a scan in groups, one after the other."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from recon.errors import UsageError
from recon.operators import LinearOperator

__all__ = ["grouped_views", "split"]


def split(operator: LinearOperator, count: int | None) -> list[tuple[list[int], LinearOperator]]:
    """Return so many groups of views, in the order of their turns, each with the operator of it alone.

    Parameters
    ----------
    operator
        Operator with a method `views` and `theta`, its angles.
    count
        Number of groups; None for a group for each view.

    Raises
    ------
    UsageError
        If the operator cannot be split, or has fewer views.
    """
    views: Callable[[list[int]], LinearOperator] | None = getattr(operator, "views", None)
    theta: Tensor | None = getattr(operator, "theta", None)
    if views is None or theta is None:
        raise UsageError(
            "ordered subsets need an operator of views, such as radon, fan_beam or cone_beam; "
            f"{type(operator).__name__} is not: take sirt, cgls or pwls with subsets 1"
        )
    return [(group, views(group)) for group in grouped_views(theta.tolist(), count)]


def grouped_views(angles: Sequence[float], count: int | None) -> list[list[int]]:
    """Return the indices of the views of each group, in the order of the groups' turns.

    Every `count`-th view by angle goes into a group, and the groups take turns so that consecutive ones are far apart:
    by the golden section, as fractions of a turn of the groups.

    Raises
    ------
    UsageError
        If there are fewer views.
    """
    views = len(angles)
    count = views if count is None else count
    if count > views:
        raise UsageError(f"{count} subsets of {views} views: take at most {views}")
    # Rounded, so that the order does not hang on the last digit of equal angles.
    order = sorted(range(views), key=lambda view: (round(angles[view] % (2 * math.pi), 9), view))
    golden = (math.sqrt(5) - 1) / 2
    places: Tensor = torch.arange(count, dtype=torch.float64) * golden % 1
    return [order[group::count] for group in places.argsort().argsort().tolist()]
