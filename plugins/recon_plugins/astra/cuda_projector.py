"""ASTRA's CUDA kernels on tensors, which stay on the GPU if they are there."""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from recon.errors import RunError, UsageError
from recon_plugins.astra.availability import OLDEST_WITH_CUDA, recent
from recon_plugins.astra.cuda_scan import CudaScan, cuda_scan

__all__ = ["CudaProjector"]

TALLEST = 512
"""Most images of a stack: textures have limits."""
KEPT = 4
"""Stacks of so many different heights are remembered: describing one to ASTRA takes some 10 ms."""
_turn = threading.Lock()  # ASTRA's kernels read the geometry from constants of the whole process


class CudaProjector:
    """Line integrals and their back-projection by ASTRA's CUDA kernels for volumes, of images too.

    A batch of images along parallel rays is one stack of slices, hence one call; volumes, and images of a fan, are
    taken one by one. ASTRA's back-projection leaves out that rays meet the detector aslant; here projections are
    divided by that cosine first, after which it is the adjoint but for its interpolation.

    Raises
    ------
    UsageError
        If there is no CUDA, or ASTRA is older than 2.4.1.
    RunError
        At a call, if ASTRA fails, such as for lack of memory.
    """

    def __init__(self, geometry: Any, grid: Any) -> None:
        import astra

        if not recent(astra.__version__):
            raise UsageError(
                f"astra's model 'cuda' needs astra-toolbox>={OLDEST_WITH_CUDA}, got {astra.__version__}: update it"
            )
        if not astra.use_cuda():  # it would divide by zero, and end the process
            raise UsageError(
                "astra's model 'cuda' needs CUDA, which astra does not find here: take another model, or recon's own "
                "projector"
            )
        self.geometry, self.grid = geometry, grid
        self.in_space = len(grid.size) == 3
        self.tallest = 1 if hasattr(geometry, "source_distance") else TALLEST
        self._runs: dict[int, _Run] = {}

    def forward(self, x: Tensor) -> Tensor:
        """Project. Shapes: x (N, *image), float32 -> (N, *sinogram)."""
        return self._each(x, forward=True)

    def adjoint(self, y: Tensor) -> Tensor:
        """Back-project. Shapes: y (N, *sinogram), float32 -> (N, *image)."""
        return self._each(y, forward=False)

    def _each(self, data: Tensor, *, forward: bool) -> Tensor:
        if self.in_space:
            parts = [self._one(volume[0], self._run(1), forward=forward)[None] for volume in data.split(1)]
        else:
            parts = [self._one(stack, self._run(len(stack)), forward=forward) for stack in data.split(self.tallest)]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _one(self, data: Tensor, run: _Run, *, forward: bool) -> Tensor:
        # ASTRA's rows of an image grow with y, and its projections begin with the rows of the detector.
        if forward:
            y = run.forward(data.flip(-2))
            return y.transpose(-3, -2).contiguous() if self.in_space else y
        y = run.weighed(data)
        return run.adjoint((y.transpose(-3, -2) if self.in_space else y).contiguous()).flip(-2)

    def _run(self, slices: int) -> _Run:
        if slices not in self._runs:
            while len(self._runs) >= KEPT:
                self._runs.pop(next(iter(self._runs)))
            self._runs[slices] = _Run(cuda_scan(self.geometry, self.grid, slices))
        return self._runs[slices]


class _Run:
    """A projector in ASTRA's table, until it is forgotten here."""

    def __init__(self, scan: CudaScan) -> None:
        import astra

        config = astra.astra_dict("cuda3d") | {
            "ProjectionGeometry": scan.projections,
            "VolumeGeometry": scan.volume,
            "ProjectionKernel": scan.weighting,
        }
        self.handle = astra.projector3d.create(config)
        weakref.finalize(self, astra.projector3d.delete, self.handle).atexit = False
        volume, projections = astra.geom_size(scan.volume), astra.geom_size(scan.projections)
        self.volume, self.projections = tuple(volume), tuple(projections)
        cosines = torch.tensor(scan.cosines, dtype=torch.float32)
        self.cosines = None if bool((cosines == 1).all()) else cosines

    def weighed(self, y: Tensor) -> Tensor:
        """Divide projections (..., R, C) by the cosines; of a fan, (1, A, C) by those of its one row."""
        if self.cosines is None:
            return y
        self.cosines = cosines = self.cosines.to(y.device)
        return y / cosines

    def forward(self, volume: Tensor) -> Tensor:
        """Project. Shapes: (slices, rows, columns) -> (rows, views, columns)."""
        projections = volume.new_empty(self.projections)
        self._call("FP", volume.contiguous(), projections)
        return projections

    def adjoint(self, projections: Tensor) -> Tensor:
        """Back-project. Shapes: (rows, views, columns) -> (slices, rows, columns)."""
        volume = projections.new_empty(self.volume)
        self._call("BP", volume, projections)
        return volume

    def _call(self, side: str, volume: Tensor, projections: Tensor) -> None:
        from astra import experimental
        from astra.log import AstraError

        call = experimental.direct_FP3D if side == "FP" else experimental.direct_BP3D
        with _turn, _in_line(volume.device):
            AstraError(append_log=True)  # takes an older message off
            call(self.handle, volume, projections)
            # It makes an error of a failure, but does not raise it.
            reason = str(AstraError(append_log=True)).strip(": ")
        if reason:
            raise RunError(
                f"astra failed on the GPU: {reason}; if memory is short, it needs another {_megabytes(volume)} for a "
                f"volume or {_megabytes(projections)} for projections beside torch's"
            )


def _megabytes(tensor: Tensor) -> str:
    return f"{tensor.numel() * tensor.itemsize / 2**20:.0f} MiB"


@contextlib.contextmanager
def _in_line(device: torch.device) -> Iterator[None]:
    """Order ASTRA's kernels, which run on streams of its own, after those of the current stream, and wait for them."""
    if device.type != "cuda":
        yield
        return
    with torch.cuda.device(device):
        torch.cuda.current_stream().synchronize()
        yield
        torch.cuda.default_stream().synchronize()
