"""Line integrals along the rays of any geometry."""

from __future__ import annotations

import importlib.util
import itertools
import math
from abc import abstractmethod
from functools import cache
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakValueDictionary

import torch
from torch import Tensor

from recon.errors import UsageError
from recon.operators import LinearOperator
from recon_plugins.radon.geometry import Geometry
from recon_plugins.radon.rays import ray_table
from recon_plugins.radon.sparse import SparseProjector

if TYPE_CHECKING:
    from recon_plugins.radon.lanes import LanesProjector

__all__ = ["Backend", "RayTransform"]

Backend = Literal["auto", "sparse", "numba"]

_handles = itertools.count()
_by_handle: WeakValueDictionary[int, RayTransform] = WeakValueDictionary()


class RayTransform(LinearOperator, adjoint_as_backward=True):
    """Line integrals in mm by Joseph's linear interpolation, along the rays of `geometry`.

    Shapes: x (batch, channel, H, W) -> y (batch, channel, A, D), real or complex, in float32 or float64 (half precision
    is computed, and returned, in float32). The adjoint uses the very same weights.

    Float32 on the CPU is computed by compiled kernels if numba is installed; everything else by sparse matrices. Tables
    are made at first use; they go neither into the state nor into pickles.

    Subclasses keep the attributes `size`, `pixel`, `rays_per_bin` and `backend`, then call `_set_geometry`.
    """

    size: tuple[int, int]
    pixel: float
    rays_per_bin: int | None
    backend: Backend

    @abstractmethod
    def __init__(self) -> None:
        super().__init__()

    def _set_geometry(self, geometry: Geometry) -> None:
        if self.backend == "numba" and not _has_numba():
            raise UsageError("backend 'numba' needs numba: pip install 'recon-toolkit[numba]', or take backend 'auto'")
        self.geometry = geometry
        """Rays in mm."""
        self.theta = torch.tensor(geometry.angles, dtype=torch.float64)
        """Angles of the views in radians, float64, of shape (A,)."""
        self.positions = geometry.positions()
        """Centres of the bins on the detector in mm, float64, of shape (D,)."""
        self.spacing = geometry.bin_size
        """Width of a bin in mm."""
        self.sinogram_size = (len(self.theta), geometry.bins)
        """Number of views and of bins (A, D)."""
        self.input_shape = (None, *self.size)
        self.output_shape = (None, *self.sinogram_size)
        self._projectors: dict[Any, SparseProjector | LanesProjector] = {}
        self._register()

    def forward(self, x: Tensor) -> Tensor:
        """Project. Shapes: x (batch, channel, H, W) -> y (batch, channel, A, D)."""
        return self._map(x, "forward", self.size, self.sinogram_size)

    def adjoint(self, y: Tensor) -> Tensor:
        """Back-project without a filter. Shapes: y (batch, channel, A, D) -> x (batch, channel, H, W)."""
        return self._map(y, "adjoint", self.sinogram_size, self.size)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the tables out of pickles and copies."""
        return {**self.__dict__, "_projectors": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._register()

    def _register(self) -> None:
        self._handle = next(_handles)
        _by_handle[self._handle] = self

    def _map(
        self, x: Tensor, side: Literal["forward", "adjoint"], before: tuple[int, int], after: tuple[int, int]
    ) -> Tensor:
        if x.ndim != 4 or tuple(x.shape[-2:]) != before:
            kind = "image (batch, channel, H, W)" if side == "forward" else "sinogram (batch, channel, A, D)"
            raise UsageError(f"{kind} must end in {before}, got shape {tuple(x.shape)}")
        if x.is_complex():
            real, imag = self._map(torch.cat([x.real, x.imag]), side, before, after).chunk(2)
            return torch.complex(real, imag)
        dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
        with torch.autocast(x.device.type, enabled=False):
            flat = x.reshape(-1, math.prod(before)).to(dtype)
            if torch.compiler.is_compiling():
                result = _opaque(flat, self._handle, side, math.prod(after))
            else:
                result = getattr(self._projector(dtype, x.device), side)(flat)
        return result.reshape(*x.shape[:2], *after).contiguous()

    def _projector(self, dtype: torch.dtype, device: torch.device) -> SparseProjector | LanesProjector:
        fits = self.backend != "sparse" and dtype == torch.float32 and device.type == "cpu"
        compiled = _compiled_projector() if fits else None
        if fits and compiled is None and self.backend == "numba":
            raise UsageError("numba finds no folder to keep compiled code in: set NUMBA_CACHE_DIR to a writable one")
        key = "numba" if compiled else (dtype, device)
        if key not in self._projectors:
            wide = self.geometry.spacing / self.pixel
            per_bin = self.rays_per_bin or (math.ceil(2 * wide) if wide > 1.5 else 1)
            rays = ray_table(self.geometry, self.size, self.pixel, per_bin)
            if compiled is not None:
                self._projectors[key] = compiled(rays, self.geometry, self.size)
            else:
                self._projectors[key] = SparseProjector(rays, self.size, dtype, device)
        return self._projectors[key]


@torch.library.custom_op("recon_radon::trace", mutates_args=())
def _opaque(x: Tensor, handle: int, side: str, length: int) -> Tensor:  # noqa: ARG001 - length is for tracing
    """Project or back-project (N, ...) -> (N, length) as one step that torch.compile does not look into."""
    return getattr(_by_handle[handle]._projector(x.dtype, x.device), side)(x).contiguous()


@_opaque.register_fake
def _(x: Tensor, handle: int, side: str, length: int) -> Tensor:  # noqa: ARG001
    return x.new_empty(len(x), length)


def _has_numba() -> bool:
    return importlib.util.find_spec("numba") is not None


@cache
def _compiled_projector() -> type[LanesProjector] | None:
    """Import the compiled kernels; None without numba, or where numba finds no folder for its cache (RuntimeError)."""
    try:
        from recon_plugins.radon.lanes import LanesProjector
    except (ImportError, RuntimeError):
        return None
    return LanesProjector
