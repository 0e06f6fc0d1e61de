"""The parallel-beam Radon transform."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any

import torch
from annotated_types import Gt
from torch import Tensor

from recon.errors import UsageError
from recon.operators import LinearOperator
from recon_plugins.radon.rays import joseph_table, table_entries
from recon_plugins.radon.tables import sparse_pair

__all__ = ["Radon"]

LIMIT = 2 * 2**30
"""Largest pair of tables in bytes."""


class Radon(LinearOperator, adjoint_as_backward=True):
    """Parallel-beam Radon transform: line integrals by Joseph's linear interpolation, in mm.

    y[a, i] is the integral of the image along the line x cos(theta_a) + y sin(theta_a) = t_i, with
    t_i = (i - (D - 1) / 2) bin_size, x to the right and y up (row 0 on top), from the centre of the image. An image in
    1/mm gives dimensionless line integrals. View 0 looks along the columns: its bins are the columns' sums from left to
    right; view pi/2 sums the rows, from the bottom up.

    Shapes: x (batch, channel, H, W) -> y (batch, channel, A, D), real or complex, in float32 or float64 (half precision
    is computed, and returned, in float32). The adjoint uses the very same weights.

    The rays are kept as a sparse table per precision and device, made at first use; it goes neither into the state nor
    into pickles.

    Parameters
    ----------
    size
        Image size (H, W).
    angles
        Number of views, equispaced over [0, pi); or the views' angles in radians.
    pixel
        Edge of a pixel in mm.
    bins
        Number D of detector bins; by default enough to see the whole image.
    bin_size
        Width of a bin in mm; by default that of a pixel.
    rays_per_bin
        Rays averaged over a bin's width; by default 1, or 2 bin_size / pixel (rounded up) if a bin is wider than 1.5
        pixels.

    Raises
    ------
    UsageError
        If angles look like degrees; at first use, if the tables would take more than 2 GiB.

    References
    ----------
    Joseph, IEEE Trans. Med. Imaging 1:192, 1982, doi:10.1109/TMI.1982.4307572
    """

    def __init__(
        self,
        *,
        size: tuple[Annotated[int, Gt(0)], Annotated[int, Gt(0)]],
        angles: Annotated[int, Gt(0)] | Sequence[float],
        pixel: Annotated[float, Gt(0)] = 1.0,
        bins: Annotated[int, Gt(0)] | None = None,
        bin_size: Annotated[float, Gt(0)] | None = None,
        rays_per_bin: Annotated[int, Gt(0)] | None = None,
    ) -> None:
        super().__init__()
        height, width = size
        self.size = (int(height), int(width))
        self.angles = angles if isinstance(angles, int) else tuple(float(angle) for angle in angles)
        self.pixel = pixel
        self.bins = bins
        self.bin_size = bin_size
        self.rays_per_bin = rays_per_bin
        self.theta = _theta(self.angles)
        """Angles of the views in radians, float64, of shape (A,)."""
        self.spacing = pixel if bin_size is None else bin_size
        """Width of a bin in mm."""
        if bins is None:
            # Rounded first: 5 * 0.2 / 0.2 must not become six bins.
            bins = math.ceil(round(math.hypot(*self.size) * pixel / self.spacing, 9))
        self.positions = (torch.arange(bins, dtype=torch.float64) - (bins - 1) / 2) * self.spacing
        """Centres t_i of the bins in mm, float64, of shape (D,)."""
        self.input_shape = (None, *self.size)
        self.sinogram_size = (len(self.theta), bins)
        """Number of views and of bins (A, D)."""
        self.output_shape = (None, *self.sinogram_size)
        self._tables: dict[tuple[torch.dtype, torch.device], tuple[Tensor, Tensor]] = {}

    def forward(self, x: Tensor) -> Tensor:
        """Project. Shapes: x (batch, channel, H, W) -> y (batch, channel, A, D)."""
        return self._map(x, 0, self.size, self.sinogram_size)

    def adjoint(self, y: Tensor) -> Tensor:
        """Back-project without a filter. Shapes: y (batch, channel, A, D) -> x (batch, channel, H, W)."""
        return self._map(y, 1, self.sinogram_size, self.size)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the tables out of pickles and copies."""
        return {**self.__dict__, "_tables": {}}

    def _map(self, x: Tensor, which: int, before: tuple[int, int], after: tuple[int, int]) -> Tensor:
        if x.ndim != 4 or tuple(x.shape[-2:]) != before:
            kind = "sinogram (batch, channel, A, D)" if which else "image (batch, channel, H, W)"
            raise UsageError(f"{kind} must end in {before}, got shape {tuple(x.shape)}")
        if x.is_complex():
            real, imag = self._map(torch.cat([x.real, x.imag]), which, before, after).chunk(2)
            return torch.complex(real, imag)
        dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
        table = self._table(dtype, x.device)[which]
        with torch.autocast(x.device.type, enabled=False):
            result = table @ x.reshape(-1, before[0] * before[1]).to(dtype).T
        return result.T.reshape(*x.shape[:2], *after).contiguous()

    def _table(self, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
        key = (dtype, device)
        if key not in self._tables:
            rays = self.rays_per_bin or (
                math.ceil(2 * self.spacing / self.pixel) if self.spacing > 1.5 * self.pixel else 1
            )
            inner = ((torch.arange(rays, dtype=torch.float64) + 0.5) / rays - 0.5) * self.spacing
            positions = self.positions[:, None] + inner
            needed = 2 * table_entries(self.size, self.theta, positions, self.pixel) * (4 + dtype.itemsize)
            if needed > LIMIT:
                raise UsageError(
                    f"Radon tables for an image of {self.size} and a sinogram of {self.sinogram_size} would take about "
                    f"{needed / 2**30:.1f} GiB (limit {LIMIT / 2**30:g} GiB): use fewer views, larger pixels or float32"
                )
            table = joseph_table(self.size, self.theta, positions, self.pixel, dtype)
            self._tables[key] = sparse_pair(*table, columns=math.prod(self.size), device=device)
        return self._tables[key]


def _theta(angles: int | tuple[float, ...]) -> Tensor:
    if isinstance(angles, int):
        return torch.arange(angles, dtype=torch.float64) * (math.pi / angles)
    if not angles or not all(math.isfinite(angle) for angle in angles):
        raise UsageError("angles must be a number of views or a list of finite angles in radians")
    largest = max(abs(angle) for angle in angles)
    if largest > 2 * math.pi * (1 + 1e-6):
        raise UsageError(
            f"angles up to {largest:g} look like degrees: Radon takes radians (use math.radians; give what "
            "is more than one turn modulo 2 pi)"
        )
    return torch.tensor(angles, dtype=torch.float64)
