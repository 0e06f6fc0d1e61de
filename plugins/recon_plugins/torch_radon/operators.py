"""torch-radon's projectors as an operator."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from torch import Tensor

from recon.errors import UsageError
from recon.operators import LinearOperator
from recon.schema import Part
from recon_plugins.torch_radon.library import Scanner, in_line, scanner

__all__ = ["TorchRadonProjection"]


class TorchRadonProjection(LinearOperator, adjoint_as_backward=True):
    """Line integrals in mm by torch-radon on CUDA, for the scan of another projector.

    torch-radon samples textures along the rays, whose fractions have 8 bits; its back-projection interpolates each view
    at the pixels' centres. Both are close to Joseph's model (some 1e-3) and to each other's transpose, but not exactly:
    for iterations that need a matched pair take recon's own projectors. It computes in single precision.

    Shapes: x (batch, channel, H, W) -> y (batch, channel, A, D), real or complex; tensors of the CPU travel.

    Parameters
    ----------
    projector
        A two-dimensional projector, such as `radon` or `fan_beam`: its grid and geometry are taken.

    Raises
    ------
    UsageError
        At first use, if torch-radon cannot describe the scan (pixels that are not square, a shifted, tilted or curved
        detector, an image aside from the centre, more than 4096 angles), or if there is no CUDA.

    References
    ----------
    Ronchetti, TorchRadon, 2020, doi:10.48550/arXiv.2009.14788
    """

    input_unit = "1/mm"

    def __init__(self, *, projector: Annotated[LinearOperator, Part("operator")]) -> None:
        super().__init__()
        self.projector = projector
        geometry, grid = getattr(projector, "geometry", None), getattr(projector, "grid", None)
        if geometry is None or grid is None:
            raise UsageError(f"torch_radon needs a projector such as radon, not {type(projector).__name__}")
        self.geometry, self.grid = geometry, grid
        self.input_shape, self.output_shape = projector.input_shape, projector.output_shape
        self.size = tuple(grid.size)
        self.sinogram_size = (len(geometry.angles), geometry.bins)
        self._scanners: dict[torch.device, Scanner] = {}

    def forward(self, x: Tensor) -> Tensor:
        """Project. Shapes: x (batch, channel, H, W) -> y (batch, channel, A, D)."""
        return self._map(x, self.size, self.sinogram_size, forward=True)

    def adjoint(self, y: Tensor) -> Tensor:
        """Back-project, nearly the adjoint. Shapes: y (batch, channel, A, D) -> x (batch, channel, H, W)."""
        return self._map(y, self.sinogram_size, self.size, forward=False)

    def __getstate__(self) -> dict[str, Any]:
        """Leave torch-radon's objects out of pickles and copies."""
        return {**self.__dict__, "_scanners": {}}

    def _map(self, x: Tensor, before: tuple[int, ...], after: tuple[int, ...], *, forward: bool) -> Tensor:
        if x.ndim != 4 or tuple(x.shape[2:]) != before:
            kind = "image" if forward else "sinogram"
            raise UsageError(f"{kind} (batch, channel, ...) must end in {before}, got shape {tuple(x.shape)}")
        if x.is_complex():
            both = self._map(torch.cat([x.real, x.imag]), before, after, forward=forward)
            return torch.complex(*both.chunk(2))
        device = _device(x.device)
        found = self._scanner(device)
        # Lengths are counted in pixels there; it insists on contiguous tensors.
        flat = x.detach().flatten(0, 1).to(device, torch.float32).contiguous()
        wanted = x.dtype if x.dtype.itemsize > 2 else torch.float32
        if len(flat) == 0:
            return x.new_empty(*x.shape[:2], *after, dtype=wanted)
        with in_line(device), torch.autocast(device.type, enabled=False):
            result = (found.forward(flat) if forward else found.backward(flat)) * self.grid.pixel[0]
        return result.reshape(*x.shape[:2], *after).to(x.device, wanted)

    def _scanner(self, device: torch.device) -> Scanner:
        if device not in self._scanners:
            self._scanners[device] = scanner(self.geometry, self.grid)
        return self._scanners[device]


def _device(wanted: torch.device) -> torch.device:
    """Where to compute for a tensor on a device."""
    if wanted.type == "cuda":
        return wanted
    if not torch.cuda.is_available():
        raise UsageError("torch_radon computes on CUDA alone, which is not here: take recon's own projector")
    return torch.device("cuda", torch.cuda.current_device())
