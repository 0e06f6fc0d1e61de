"""ASTRA's projectors as operators."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from recon.errors import UsageError
from recon.operators import LinearOperator
from recon.schema import Part
from recon_plugins.astra.geometry import projection_geometry, volume_geometry

__all__ = ["AstraProjection"]

Model = Literal["linear", "line", "strip", "cuda"]


class AstraProjection(LinearOperator, adjoint_as_backward=True):
    """Line integrals in mm by the ASTRA Toolbox, for the scan of another projector.

    ASTRA computes in single precision, one image at a time and, but for ``cuda``, on one thread of the processor, where
    its adjoint is exact. The backward of either side is the other.

    Shapes: x (batch, channel, H, W) -> y (batch, channel, A, D), real or complex.

    Parameters
    ----------
    projector
        A two-dimensional projector, such as `radon`, `fan_beam` or `ray_transform`: its grid and geometry are taken.
    model
        ASTRA's kernel: ``linear`` (Joseph's interpolation, parallel beams only), ``line`` (lengths within pixels),
        ``strip`` (areas within strips; of fans, only with a centred detector), or ``cuda`` (interpolation on a GPU,
        whose adjoint is not exact).

    Raises
    ------
    UsageError
        If ASTRA has no such kernel for the scan: pixels that are not square, curved detectors, three dimensions.

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
        fan = hasattr(geometry, "source_distance")
        if fan and model == "linear":
            raise UsageError("astra's linear model is of parallel beams: take model 'line' for a fan")
        centred = geometry.offset == 0 and getattr(geometry, "tilt", 0) == 0
        if fan and model == "strip" and not centred:
            raise UsageError("astra's strip model of fans takes centred detectors only: take model 'line'")
        self.input_shape, self.output_shape = projector.input_shape, projector.output_shape
        self.size = tuple(grid.size)
        self.sinogram_size = (len(geometry.angles), geometry.bins)
        self._volume = volume_geometry(grid)
        self._scan = projection_geometry(geometry, vectors=not (fan and centred))
        self._kernel = f"{model}_fanflat" if fan and model != "cuda" else model

    def forward(self, x: Tensor) -> Tensor:
        """Project. Shapes: x (batch, channel, H, W) -> y (batch, channel, A, D)."""
        return self._map(x, self.size, self.sinogram_size, forward=True)

    def adjoint(self, y: Tensor) -> Tensor:
        """Back-project without a filter. Shapes: y (batch, channel, A, D) -> x (batch, channel, H, W)."""
        return self._map(y, self.sinogram_size, self.size, forward=False)

    def _map(self, x: Tensor, before: tuple[int, ...], after: tuple[int, ...], *, forward: bool) -> Tensor:
        if x.ndim != 4 or tuple(x.shape[2:]) != before:
            kind = "image" if forward else "sinogram"
            raise UsageError(f"{kind} (batch, channel, ...) must end in {before}, got shape {tuple(x.shape)}")
        if x.is_complex():
            both = self._map(torch.cat([x.real, x.imag]), before, after, forward=forward)
            return torch.complex(*both.chunk(2))
        result = torch.zeros(math.prod(x.shape[:2]), *after)
        with _Projector(self._kernel, self._scan, self._volume) as projector:
            for source, target in zip(x.detach().flatten(0, 1).float().cpu(), result, strict=True):
                image, sinogram = (source, target) if forward else (target, source)
                projector.run("FP" if forward else "BP", image.contiguous(), sinogram.contiguous())
        return result.unflatten(0, x.shape[:2]).to(x.device, x.dtype if x.dtype.itemsize > 2 else torch.float32)


class _Projector:
    """An ASTRA projector, which lives in a table of ASTRA's until it is deleted there."""

    def __init__(self, kernel: str, scan: dict[str, Any], volume: dict[str, Any]) -> None:
        import astra

        self.astra, self.scan, self.volume = astra, scan, volume
        self.suffix = "_CUDA" if kernel == "cuda" else ""
        self.handle = astra.create_projector(kernel, scan, volume)

    def __enter__(self) -> _Projector:
        return self

    def __exit__(self, *_: object) -> None:
        self.astra.projector.delete(self.handle)

    def run(self, side: Literal["FP", "BP"], image: Tensor, sinogram: Tensor) -> None:
        """Fill the sinogram from the image, or the image from the sinogram, both float32 and contiguous."""
        astra = self.astra
        volume = astra.data2d.link("-vol", self.volume, image.numpy())
        data = astra.data2d.link("-sino", self.scan, sinogram.numpy())
        written = {"VolumeDataId": volume} if side == "FP" else {"ReconstructionDataId": volume}
        config = astra.astra_dict(side + self.suffix) | {"ProjectorId": self.handle, "ProjectionDataId": data} | written
        algorithm = None
        try:
            algorithm = astra.algorithm.create(config)
            astra.algorithm.run(algorithm)
        finally:
            if algorithm is not None:
                astra.algorithm.delete(algorithm)
            astra.data2d.delete([volume, data])
