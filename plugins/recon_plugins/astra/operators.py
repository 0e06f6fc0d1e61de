"""ASTRA's projectors as operators."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from recon.errors import UsageError
from recon.operators import LinearOperator
from recon.schema import Part
from recon_plugins.astra.cuda_projector import CudaProjector
from recon_plugins.astra.cuda_scan import check_cuda_scan
from recon_plugins.astra.geometry import projection_geometry, volume_geometry
from recon_plugins.astra.processor import ProcessorRun

__all__ = ["AstraProjection"]

Model = Literal["linear", "line", "strip", "cuda"]


class AstraProjection(LinearOperator, adjoint_as_backward=True):
    """Line integrals in mm by the ASTRA Toolbox, for the scan of another projector of images or volumes.

    ASTRA computes in single precision. ``linear``, ``line`` and ``strip`` run on one thread of the processor, one image
    at a time; their adjoint is exact. ``cuda`` interpolates along one ray a bin in textures, whose fractions have 8
    bits, and its back-projection interpolates each view at the voxels' centres: near the adjoint (some 1e-2), but not
    exactly it. For iterations that need a matched pair take recon's own projectors. With ``cuda``, tensors of the GPU
    stay there, a batch of images along parallel rays is one call, and tensors of the processor, of which ASTRA brings
    part after part to the GPU, may be larger than its memory. The backward of either side is the other.

    Shapes: x (batch, channel, H, W) -> y (batch, channel, A, D); of volumes x (batch, channel, D, H, W) -> y (batch,
    channel, A, R, C). Real or complex.

    Parameters
    ----------
    projector
        A projector such as `radon`, `fan_beam` or `ray_transform`, or of volumes `cone_beam` and its like: its grid and
        geometry are taken.
    model
        ASTRA's kernel: ``linear`` (Joseph's interpolation, parallel beams only), ``line`` (lengths within pixels),
        ``strip`` (areas within strips; of fans, only with a centred detector), all of images with square pixels, or
        ``cuda`` (of any pixels or voxels; curved detectors of volumes only; astra-toolbox 2.4.1 or later).

    Raises
    ------
    UsageError
        If ASTRA has no such kernel for the scan; at first use, if ``cuda`` finds no CUDA or ASTRA is too old for it.
    RunError
        If ASTRA fails on the GPU, such as for lack of memory.

    References
    ----------
    van Aarle et al., Opt. Express 24:25129, 2016, doi:10.1364/OE.24.025129
    """

    input_unit = "1/mm"

    def __init__(self, *, projector: Annotated[LinearOperator, Part("operator")], model: Model = "linear") -> None:
        super().__init__()
        self.projector = projector
        self.model: Model = model
        geometry, grid = getattr(projector, "geometry", None), getattr(projector, "grid", None)
        if geometry is None or grid is None:
            raise UsageError(
                f"astra needs a projector with geometry and grid, such as radon, not {type(projector).__name__}"
            )
        self.geometry, self.grid = geometry, grid
        self.input_shape, self.output_shape = projector.input_shape, projector.output_shape
        self.size = tuple(grid.size)
        bins = geometry.bins if isinstance(geometry.bins, tuple) else (geometry.bins,)
        self.sinogram_size = (len(geometry.angles), *bins)
        self._cuda: CudaProjector | None = None
        if model == "cuda":
            check_cuda_scan(geometry, grid)
            return
        self._volume = volume_geometry(grid)
        fan = hasattr(geometry, "source_distance")
        if fan and model == "linear":
            raise UsageError("astra's linear model is of parallel beams: take model 'line' for a fan")
        centred = geometry.offset == 0 and getattr(geometry, "tilt", 0) == 0
        if fan and model == "strip" and not centred:
            raise UsageError("astra's strip model of fans takes centred detectors only: take model 'line'")
        self._scan = projection_geometry(geometry, vectors=not (fan and centred))
        self._kernel = f"{model}_fanflat" if fan else model

    def forward(self, x: Tensor) -> Tensor:
        """Project. Shapes: x (batch, channel, H, W) -> y (batch, channel, A, D); also of volumes."""
        return self._map(x, self.size, self.sinogram_size, forward=True)

    def adjoint(self, y: Tensor) -> Tensor:
        """Back-project, unfiltered. Shapes: y (batch, channel, A, D) -> x (batch, channel, H, W); also of volumes."""
        return self._map(y, self.sinogram_size, self.size, forward=False)

    def __getstate__(self) -> dict[str, Any]:
        """Leave ASTRA's objects out of pickles and copies."""
        return {**self.__dict__, "_cuda": None}

    def _map(self, x: Tensor, before: tuple[int, ...], after: tuple[int, ...], *, forward: bool) -> Tensor:
        if x.ndim != 2 + len(before) or tuple(x.shape[2:]) != before:
            kind = ("volume" if len(self.size) == 3 else "image") if forward else "sinogram"
            raise UsageError(f"{kind} (batch, channel, ...) must end in {before}, got shape {tuple(x.shape)}")
        if x.is_complex():
            both = self._map(torch.cat([x.real, x.imag]), before, after, forward=forward)
            return torch.complex(*both.chunk(2))
        flat = x.detach().flatten(0, 1).float()
        if len(flat) == 0:
            result = flat.new_empty(0, *after)
        elif self.model == "cuda":
            if self._cuda is None:
                self._cuda = CudaProjector(self.geometry, self.grid)
            result = self._cuda.forward(flat) if forward else self._cuda.adjoint(flat)
        else:
            result = torch.zeros(math.prod(x.shape[:2]), *after)
            with ProcessorRun(self._kernel, self._scan, self._volume) as run:
                for source, target in zip(flat.cpu(), result, strict=True):
                    image, sinogram = (source, target) if forward else (target, source)
                    run.run("FP" if forward else "BP", image.contiguous(), sinogram.contiguous())
        return result.unflatten(0, x.shape[:2]).to(x.device, x.dtype if x.dtype.itemsize > 2 else torch.float32)
