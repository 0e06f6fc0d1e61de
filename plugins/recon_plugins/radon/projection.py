"""What all projectors of computed tomography share, whatever computes them."""

from __future__ import annotations

import itertools
import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Literal, Protocol, Self, cast
from weakref import WeakValueDictionary

import torch
from torch import Tensor

from recon.errors import UsageError
from recon.operators import LinearOperator
from recon_plugins.radon.grid import Grid

__all__ = ["ProjectionOperator", "Projector"]

Side = Literal["forward", "adjoint"]

_handles = itertools.count()
_by_handle: WeakValueDictionary[int, ProjectionOperator] = WeakValueDictionary()


class Projector(Protocol):
    """What a backend makes for one operator: the map and its exact adjoint, on real tensors of one precision."""

    def forward(self, x: Tensor) -> Tensor:
        """Project. Shapes: x (N, voxels) -> (N, samples)."""
        ...

    def adjoint(self, y: Tensor) -> Tensor:
        """Back-project. Shapes: y (N, samples) -> (N, voxels)."""
        ...


class ProjectionOperator(LinearOperator, adjoint_as_backward=True):
    """Line integrals along the rays of `geometry` through images on `grid`, in mm.

    Shapes: x (batch, channel, *grid.size) -> y (batch, channel, *sinogram_size), real or complex, in float32 or float64
    (half precision is computed, and returned, in float32).

    Projectors are made at first use, for each precision and device; they go neither into the state nor into pickles.
    Subclasses keep their arguments as attributes, call `_set_up`, and say which projector serves (`_projector`).
    """

    input_unit = "1/mm"

    geometry: Any
    """Where the rays run: a frozen value in mm and radians."""
    grid: Grid
    """Where the pixels lie, in mm."""
    theta: Tensor
    """Angles of the views in radians, float64, of shape (A,)."""
    sinogram_size: tuple[int, ...]
    """Number of views and of bins (A, D), or of views, rows and columns (A, R, C)."""

    def _set_up(self, geometry: Any, grid: Grid, detector: tuple[int, ...]) -> None:
        self.geometry, self.grid = geometry, grid
        self.theta = torch.tensor(geometry.angles, dtype=torch.float64)
        self.sinogram_size = (len(self.theta), *detector)
        self.input_shape = (None, *grid.size)
        self.output_shape = (None, *self.sinogram_size)
        self._projectors: dict[Any, Projector] = {}
        self._register()

    def forward(self, x: Tensor) -> Tensor:
        """Project. Shapes: x (batch, channel, *grid.size) -> y (batch, channel, *sinogram_size)."""
        return self._map(x, "forward", self.grid.size, self.sinogram_size)

    def adjoint(self, y: Tensor) -> Tensor:
        """Back-project without a filter. Shapes: y (batch, channel, *sinogram_size) -> x (batch, channel, *size)."""
        return self._map(y, "adjoint", self.sinogram_size, self.grid.size)

    @abstractmethod
    def views(self, index: Sequence[int]) -> Self:
        """Return the operator of the views of these indices alone, in their order."""

    @abstractmethod
    def _projector(self, dtype: torch.dtype, device: torch.device) -> Projector:
        """Return the projector for float32 or float64 on a device, made at first use."""

    def __getstate__(self) -> dict[str, Any]:
        """Leave the tables out of pickles and copies."""
        return {**self.__dict__, "_projectors": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._register()

    def _register(self) -> None:
        self._handle = next(_handles)
        _by_handle[self._handle] = self

    def _map(self, x: Tensor, side: Side, before: tuple[int, ...], after: tuple[int, ...]) -> Tensor:
        if x.ndim != len(before) + 2 or tuple(x.shape[2:]) != before:
            kind = "image" if side == "forward" else "sinogram"
            raise UsageError(f"{kind} (batch, channel, ...) must end in {before}, got shape {tuple(x.shape)}")
        if x.is_complex():
            real, imag = self._map(torch.cat([x.real, x.imag]), side, before, after).chunk(2)
            return torch.complex(real, imag)
        flat = x.reshape(-1, math.prod(before))
        if torch.compiler.is_compiling():
            result = _opaque(flat, self._handle, side, math.prod(after))
        else:
            result = self._run(flat, side)
        return result.reshape(*x.shape[:2], *after)

    def _run(self, flat: Tensor, side: Side) -> Tensor:
        """Apply the projector of the device and precision; it takes half precision as it is, or single in its place."""
        dtype = _computed(flat.dtype)
        projector = self._projector(dtype, flat.device)
        if flat.dtype not in getattr(projector, "also", ()):
            flat = flat.to(dtype)
        with torch.autocast(flat.device.type, enabled=False):
            return (projector.forward(flat) if side == "forward" else projector.adjoint(flat)).contiguous()


def _computed(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype == torch.float64 else torch.float32


@torch.library.custom_op("recon_radon::trace", mutates_args=())
def _opaque(x: Tensor, handle: int, side: str, length: int) -> Tensor:  # noqa: ARG001 - length is for tracing
    """Project or back-project (N, ...) -> (N, length) as one step that torch.compile does not look into."""
    return _by_handle[handle]._run(x, cast("Side", side))


@_opaque.register_fake
def _(x: Tensor, handle: int, side: str, length: int) -> Tensor:  # noqa: ARG001
    return x.new_empty(len(x), length, dtype=_computed(x.dtype))
