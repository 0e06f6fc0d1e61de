"""Projection on CUDA by Triton kernels, without tables of weights."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from recon_plugins.radon import triton_kernels as kernels
from recon_plugins.radon.geometry import FanBeam, Geometry, ParallelBeam
from recon_plugins.radon.grid import Grid
from recon_plugins.radon.rays import RayTable

__all__ = ["TritonProjector", "lane_groups", "on_device"]

WIDEST = 32
"""Most images side by side: 128 bytes of single precision, one line of the cache."""
MARGIN = 0.05
"""Bins by which the search for a pixel's rays may be off."""
EMPTY = 2
"""Empty cells before and after a line."""
OUTSIDE = -(1 << 20)
"""Position, in cells, of rays that do not run along the direction at hand."""


@dataclass(frozen=True)
class Blocks:
    """Sizes of the pieces that one program works on; results do not depend on them."""

    views: int
    bins: int
    unroll: int
    tall: int
    wide: int
    unroll_views: int
    warps: int


def blocks_for(lanes: int) -> Blocks:
    """Return the sizes for so many images side by side: about as many numbers a thread in each case."""
    if lanes == 1:
        return Blocks(8, 32, 4, 8, 32, 2, 8)
    if lanes <= 4:
        return Blocks(8, 32, 2, 8, 32, 1, 8)
    return Blocks(8, 32 if lanes <= 16 else 16, 1, 8, 32 if lanes <= 16 else 16, 1, 8 if lanes <= 16 else 4)


class TritonProjector:
    """Projection and its exact adjoint in single or double precision, for parallel and fan beams.

    Up to 32 images of a batch lie side by side; a program follows neighbouring views through the same strip of the
    image, or gathers the rays of all views at a tile of pixels. No value has two writers, so results are deterministic.
    Images and sinograms of half precision are read as they are; sums are single precision.
    """

    also = (torch.float16, torch.bfloat16)
    """What is taken as it is, besides the projector's own precision."""

    def __init__(self, rays: RayTable, geometry: Geometry, grid: Grid, dtype: torch.dtype, device: torch.device) -> None:
        self.size, self.dtype, self.device = grid.size, dtype, device
        self.views, self.bins, self.per_bin = rays.alpha.shape
        self._double = dtype == torch.float64
        order = torch.argsort(torch.tensor(geometry.angles, dtype=torch.float64) % (2 * math.pi), stable=True)
        alpha, gamma, weight, along_rows = (
            table[order] for table in (rays.alpha, rays.gamma, rays.weight, rays.along_rows)
        )
        self._order = order.int().to(device)
        directions = torch.stack([along_rows, ~along_rows])
        self._alpha = self._positions(torch.where(directions, alpha + EMPTY, OUTSIDE).clamp(OUTSIDE, -OUTSIDE))
        self._gamma = self._positions(torch.where(directions, gamma, 0))
        self._present = directions.any(3).any(2).T.int().contiguous().to(device)
        self._weight = weight.contiguous().to(dtype=dtype, device=device)
        self._ranges = [_line_ranges(alpha, gamma, directions[i], self._lines(i)) for i in range(2)]
        self._tables: dict[tuple[int, int], Tensor] = {}
        self._even: _EvenRays | None = None
        self._search: _Search | None = None
        if isinstance(geometry, ParallelBeam) and not self._double:
            self._even = _EvenRays.of(alpha, gamma, weight, along_rows, grid.size, device)
        else:
            self._search = _Search.of(geometry, grid, order, self.per_bin, device)

    def forward(self, x: Tensor) -> Tensor:
        """Project. Shapes: x (N, H W) -> (N, A D)."""
        x = x.detach().contiguous()
        y = x.new_empty(len(x), self.views * self.bins, dtype=self.dtype)
        height, width = self.size
        with on_device(self.device):
            for part, lanes, groups in lane_groups(len(x), self._largest()):
                source, target, b = x[part], y[part], blocks_for(lanes)
                rows = x.new_empty(groups * height * (width + 2 * EMPTY) * lanes)
                columns = x.new_empty(groups * width * (height + 2 * EMPTY) * lanes)
                cells = _cells(lanes)
                kernels.pack_image[(height + 4, -(-(width + 4) // cells), groups)](
                    source, rows, columns, len(source), height, width, LANES=lanes, CELLS=cells
                )
                table = self._blocks(b.views, b.bins)
                kernels.project[(len(table), groups)](
                    rows, columns, self._alpha, self._gamma, self._weight, table, self._order, target, len(source),
                    height, width, self.views, self.bins, self.per_bin,
                    DOUBLE=self._double, LANES=lanes, VIEWS=b.views, BINS=b.bins, UNROLL=b.unroll, num_warps=b.warps,
                )  # fmt: skip
        return y

    def adjoint(self, y: Tensor) -> Tensor:
        """Back-project. Shapes: y (N, A D) -> (N, H W)."""
        y = y.detach().contiguous()
        height, width = self.size
        x = y.new_empty(len(y), height * width, dtype=self.dtype)
        rays, pad = self.bins * self.per_bin, 0 if self._even is None else 2 * self._even.reach
        with on_device(self.device):
            for part, lanes, groups in lane_groups(len(y), self._largest()):
                source, target, b = y[part], x[part], blocks_for(lanes)
                packed = y.new_empty(groups * self.views * (rays + 2 * pad) * lanes)
                cells = _cells(lanes)
                kernels.pack_sinogram[(self.views, -(-(rays + 2 * pad) // cells), groups)](
                    source, packed, self._order, len(source), self.views, self.bins, self.per_bin, pad,
                    LANES=lanes, BINS=cells,
                )  # fmt: skip
                tiles = (-(-height // b.tall), -(-width // b.wide), groups)
                common = (target, len(source), height, width, self.views, rays)
                sizes: dict[str, Any] = {"LANES": lanes, "TALL": b.tall, "WIDE": b.wide, "num_warps": b.warps}
                if self._even is not None:
                    e = self._even
                    kernels.back_project_parallel[tiles](
                        packed, e.origin, e.slopes, e.shares, *common, pad,
                        BITS=e.bits, REACH=e.reach, UNROLL=b.unroll_views, **sizes,
                    )  # fmt: skip
                else:
                    s = self._search
                    assert s is not None  # noqa: S101 - one of the two is made
                    kernels.back_project[tiles](
                        packed, self._alpha, self._gamma, self._weight, s.coefficients, self._present, *common,
                        s.angle_scale, s.angle_shift, MARGIN, DOUBLE=self._double, CURVED=s.curved, **sizes,
                    )  # fmt: skip
        return x

    def _positions(self, value: Tensor) -> Tensor:
        """Numbers of cells as the kernels count them."""
        if not self._double:
            value = (value * 2.0**32).round().long()
        return value.contiguous().to(self.device)

    def _lines(self, direction: int) -> tuple[int, int]:
        """Lines and cells of a line."""
        height, width = self.size
        return (width, height) if direction else (height, width)

    def _largest(self) -> int:
        """Most lanes such that offsets within a group fit 32 bits."""
        height, width = self.size
        image = max(height * (width + 4), width * (height + 4))
        sinogram = self.views * (self.bins * self.per_bin + 64)
        lanes = WIDEST
        while lanes > 1 and max(image, sinogram) * lanes >= 2**31:
            lanes //= 2
        return lanes

    def _blocks(self, views: int, bins: int) -> Tensor:
        """First view and bin of every block, and the lines that its rays meet."""
        if (views, bins) not in self._tables:
            down, across = -(-self.views // views), -(-self.bins // bins)
            padding = (0, 0, 0, across * bins - self.bins, 0, down * views - self.views)
            columns = [
                (torch.arange(down) * views)[:, None].expand(down, across),
                (torch.arange(across) * bins).expand(down, across),
            ]
            for direction, (begin, end) in enumerate(self._ranges):
                lines = self._lines(direction)[0]
                for bound, empty in ((begin, lines), (lines - end, lines)):
                    padded = torch.nn.functional.pad(bound, padding, value=empty)
                    least = padded.unflatten(1, (across, bins)).unflatten(0, (down, views)).amin((1, 3, 4))
                    columns.append(least if bound is begin else (lines - least))
            self._tables[views, bins] = torch.stack(columns, -1).flatten(0, 1).int().to(self.device)
        return self._tables[views, bins]


@dataclass(frozen=True)
class _EvenRays:
    """Where pixels are projected to among the evenly spaced rays of each view, see `kernels.back_project_parallel`."""

    origin: Tensor
    slopes: Tensor
    shares: Tensor
    bits: int
    reach: int

    @classmethod
    def of(
        cls, alpha: Tensor, gamma: Tensor, weight: Tensor, along_rows: Tensor, size: tuple[int, ...], device: torch.device
    ) -> _EvenRays:
        alpha, gamma = alpha.flatten(1), gamma[:, 0, 0]
        count = alpha.shape[1]
        # A single ray: any distance to its absent neighbours does.
        apart = (alpha[:, -1] - alpha[:, 0]) / (count - 1) if count > 1 else torch.ones_like(gamma)
        # Ray i meets line l at alpha_0 + apart i + gamma l; its cell c lies at i = (c - alpha_0 - gamma l) / apart.
        rows = along_rows[:, 0, 0]
        line, cell = -gamma / apart, 1 / apart
        slopes = torch.stack([torch.where(rows, line, cell), torch.where(rows, cell, line)], -1)
        bits = 30 - max(0, math.ceil(math.log2(float(slopes.abs().max()))))
        unit = 2.0**bits
        full = weight[:, 0, 0]
        return cls(
            (-alpha[:, 0] / apart * unit).round().long().to(device),
            (slopes * unit).round().clamp(-(2**31) + 1, 2**31 - 1).int().to(device),
            torch.stack([full, full * apart.abs()], -1).float().contiguous().to(device),
            bits,
            max(1, math.ceil(1 / float(apart.abs().min()) - 1e-9)),
        )


@dataclass(frozen=True)
class _Search:
    """Where pixels are projected to, as a quotient of affine functions, see `kernels.back_project`."""

    coefficients: Tensor
    angle_scale: float
    angle_shift: float
    curved: bool

    @classmethod
    def of(cls, geometry: Geometry, grid: Grid, order: Tensor, per_bin: int, device: torch.device) -> _Search:
        theta = torch.tensor(geometry.angles, dtype=torch.float64)[order]
        apart = geometry.bin_size / per_bin
        first = float(geometry.positions()[0]) - geometry.bin_size / 2 + apart / 2
        height, width = grid.pixel
        x, y = grid.centre
        # Along the detector and along the central ray: value at the image's centre, step to the right, step down.
        cos, sin = theta.cos(), theta.sin()
        across = torch.stack([x * cos + y * sin, width * cos, -height * sin])
        depth = torch.stack([-x * sin + y * cos, -width * sin, -height * cos])
        ones = torch.zeros_like(depth)
        ones[0] = 1
        scale, shift, curved = 1.0, 0.0, False
        if isinstance(geometry, FanBeam):
            depth = depth + geometry.source_distance * ones
            if geometry.detector == "curved":
                scale, shift, curved = geometry.length / apart, -first / apart, True
                n, d = across, depth
            else:
                d = (math.cos(geometry.tilt) * depth - math.sin(geometry.tilt) * across) / geometry.length
                n = (across - first * d) / apart
        else:
            n, d = (across - first * ones) / apart, ones
        slopes = torch.stack([n[1] * d[0] - n[0] * d[1], n[1] * d[2] - n[2] * d[1], n[2] * d[0] - n[0] * d[2]])
        coefficients = torch.cat([n, d, slopes]).T.float().contiguous().to(device)
        return cls(coefficients, scale, shift, curved)


def lane_groups(count: int, widest: int = WIDEST) -> Iterator[tuple[slice, int, int]]:
    """Split a batch into full groups of lanes and a rest: which items, how many lanes, and groups of them."""
    full = count // widest
    if full:
        yield slice(0, full * widest), widest, full
    if count % widest:
        yield slice(full * widest, count), 1 << (count % widest - 1).bit_length(), 1


def on_device(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """Make a CUDA device the current one, whose current stream is then used; nothing on the CPU."""
    return torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext()


def _cells(lanes: int) -> int:
    return max(32, 1024 // lanes)


def _line_ranges(
    alpha: Tensor, gamma: Tensor, mask: Tensor, shape: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Lines [begin, end) on which each ray may be inside, with one to spare; none where the mask is false."""
    lines, cells = shape
    slope = torch.where(gamma.abs() < 1e-9, 1e-9, gamma)
    one, other = (-1 - alpha) / slope, (cells - alpha) / slope
    begin = (torch.minimum(one, other).floor() - 1).clamp(0, lines)
    end = (torch.maximum(one, other).ceil() + 2).clamp(0, lines)
    some = mask & (begin < end)
    return torch.where(some, begin, lines).int(), torch.where(some, end, 0).int()
