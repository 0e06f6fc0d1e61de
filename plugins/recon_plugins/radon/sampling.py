"""Views left out of a scan: every k-th kept, listed ones, or those of an arc."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from recon.errors import UsageError
from recon.operators import Composition, LinearOperator, Operator
from recon_plugins.radon.geometry import equispaced
from recon_plugins.radon.projection import ProjectionOperator

__all__ = ["LimitedAngle", "SparseViews", "ViewSampling", "as_ray_transform"]


class ViewSampling(LinearOperator):
    """Keep some views of a sinogram. The adjoint puts them back and fills the others with zeros.

    In a composition the projector is asked for the views that are kept alone, so that no dropped view is computed:
    ``SparseViews(...) @ radon`` is ``radon.views(index)``.

    Shapes: (batch, channel, A, ...) -> (batch, channel, len(index), ...).
    """

    def __init__(self, total: int, index: Sequence[int]) -> None:
        super().__init__()
        if not index or not all(0 <= i < total for i in index) or len(set(index)) < len(index):
            raise UsageError(f"the views kept must be different indices of the {total} there are, and at least one")
        self.total = total
        """Number A of views before any is dropped."""
        self.kept = tuple(int(i) for i in index)
        """Indices of the views that are kept, in their order."""

    def forward(self, x: Tensor) -> Tensor:
        """Keep the views."""
        if x.ndim < 4 or x.shape[2] != self.total:
            raise UsageError(f"sinogram must be (batch, channel, {self.total} views, ...), got {tuple(x.shape)}")
        return x[:, :, torch.tensor(self.kept, device=x.device)]

    def adjoint(self, y: Tensor) -> Tensor:
        """Put the views back."""
        if y.ndim < 4 or y.shape[2] != len(self.kept):
            raise UsageError(f"sinogram must be (batch, channel, {len(self.kept)} views, ...), got {tuple(y.shape)}")
        zeros = y.new_zeros(*y.shape[:2], self.total, *y.shape[3:])
        return zeros.index_copy(2, torch.tensor(self.kept, device=y.device), y)

    def after(self, inner: Operator) -> Operator | None:
        """Return the projector of the views that are kept, if `inner` is a projector."""
        if isinstance(inner, ViewSampling) and len(inner.kept) == self.total:
            return SparseViews(views=inner.total, index=[inner.kept[i] for i in self.kept])
        if not isinstance(inner, ProjectionOperator):
            return None
        if inner.sinogram_size[0] != self.total:
            raise UsageError(f"sampling of {self.total} views does not fit a projector of {inner.sinogram_size[0]}")
        return inner.views(self.kept)


class SparseViews(ViewSampling):
    """Keep every k-th view, so many equispaced ones, or listed ones; the adjoint fills the others with zeros.

    Composed with a projector it never computes the views that are dropped.

    Shapes: (batch, channel, views, ...) -> (batch, channel, kept, ...).

    Parameters
    ----------
    views
        Number of views before any is dropped.
    every
        Keep views 0, every, 2 every, ...
    count
        Keep so many views, equispaced from view 0 (rounded down where the number does not divide).
    index
        Keep these views, in this order. Exactly one of every, count and index is given.

    Raises
    ------
    UsageError
        If not exactly one of the three is given, or a view is missing or listed twice.
    """

    def __init__(
        self,
        *,
        views: Annotated[int, Gt(0)],
        every: Annotated[int, Gt(0)] | None = None,
        count: Annotated[int, Gt(0)] | None = None,
        index: Sequence[Annotated[int, Ge(0)]] | None = None,
    ) -> None:
        if sum(given is not None for given in (every, count, index)) != 1:
            raise UsageError("sparse_views needs exactly one of every, count and index")
        if count is not None and count > views:
            raise UsageError(f"cannot keep {count} of {views} views")
        kept = index
        if kept is None:
            kept = range(0, views, every) if every else [i * views // (count or 1) for i in range(count or 1)]
        super().__init__(views, kept)
        self.views = views
        self.every = every
        self.count = count
        self.index = None if index is None else self.kept


class LimitedAngle(ViewSampling):
    """Keep the views whose angles lie on an arc; the adjoint fills the others with zeros.

    Composed with a projector it never computes the views that are dropped.

    Shapes: (batch, channel, A, ...) -> (batch, channel, kept, ...).

    Parameters
    ----------
    angles
        The projector's: the views' angles in radians, or their number if they are equispaced over [0, span).
    start, stop
        Ends of the arc in radians, both within it; angles are taken modulo 2 pi.
    span
        What a number of angles is spread over: pi as for parallel beams, 2 pi for fans.

    Raises
    ------
    UsageError
        If the arc is empty, longer than a turn, or holds no view.
    """

    def __init__(
        self,
        *,
        angles: Annotated[int, Gt(0)] | Sequence[float],
        start: float,
        stop: float,
        span: Annotated[float, Gt(0)] = math.pi,
    ) -> None:
        if not start <= stop <= start + 2 * math.pi:
            raise UsageError(f"the arc must run from start up to stop within one turn (radians), got {start} to {stop}")
        theta = torch.tensor(equispaced(angles, span) if isinstance(angles, int) else angles, dtype=torch.float64)
        # A little before the start counts as the start, whatever rounding has done.
        along = (theta - start + 1e-9) % (2 * math.pi)
        kept = torch.nonzero(along <= stop - start + 2e-9).flatten().tolist()
        if not kept:
            raise UsageError(f"no view lies between {start:g} and {stop:g} radians")
        super().__init__(len(theta), kept)
        self.angles = angles if isinstance(angles, int) else tuple(float(angle) for angle in angles)
        self.start = start
        self.stop = stop
        self.span = span


def as_ray_transform(operator: Operator) -> ProjectionOperator:
    """Return the projector that an operator amounts to: noise is passed over, views that are dropped are left out.

    Raises
    ------
    UsageError
        If there is anything else in front of, or behind, the projector.
    """
    operator = operator.noiseless
    if isinstance(operator, Composition):
        *outer, found = operator.operators
        for part in reversed(outer):
            merged = part.after(found) if isinstance(part, ViewSampling) else None
            found = operator if merged is None else merged
        operator = found
    if not isinstance(operator, ProjectionOperator):
        raise UsageError(
            f"line integrals are needed (radon, fan_beam, ...), at most with views left out or noise in front, not "
            f"{type(operator).__name__}"
        )
    return operator
