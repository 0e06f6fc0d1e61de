"""Tables that the Triton kernels read: rays, blocks of them, and where pixels are projected to."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from recon_plugins.radon.geometry import FanBeam, Geometry, ParallelBeam
from recon_plugins.radon.grid import Grid
from recon_plugins.radon.rays import RayTable
from recon_plugins.radon.symmetry import ViewOrbits

__all__ = ["EvenRays", "Plan", "Search"]

EMPTY = 2
"""Empty cells before and after a line."""
OUTSIDE = -(1 << 20)
"""Position, in cells, of rays that do not run along the direction at hand."""


class Plan:
    """The views of `found` and the rays in them, as the kernels want them, on a device.

    A view of the scan is seen through one turn of the image only, so that every sample has one writer.
    """

    def __init__(
        self,
        rays: RayTable,
        geometry: Geometry,
        grid: Grid,
        found: ViewOrbits,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self.size, self.device = grid.size, device
        self.turns = len(found.turns)
        theta = torch.tensor(geometry.angles, dtype=torch.float64)
        # Neighbouring views read the same strips of the image.
        order = torch.argsort(theta[found.views] % (2 * math.pi), stable=True)
        views = found.views[order]
        alpha, gamma, weight, along_rows = (
            table[views] for table in (rays.alpha, rays.gamma, rays.weight, rays.along_rows)
        )
        self.views, self.bins, self.per_bin = alpha.shape
        self.rays = self.bins * self.per_bin
        self.turned = _turned(found, grid.size).to(device)
        self.starts = _starts(found.source[order], found.flipped[order], self.bins).to(device)
        directions = torch.stack([along_rows, ~along_rows])
        unit = 1.0 if dtype == torch.float64 else 2.0**32
        self.alpha = self._positions(torch.where(directions, alpha + EMPTY, OUTSIDE).clamp(OUTSIDE, -OUTSIDE), unit)
        self.gamma = self._positions(torch.where(directions, gamma, 0), unit)
        self.present = directions.flatten(2).any(2).T.int().contiguous().to(device)
        self.weight = weight.contiguous().to(dtype=dtype, device=device)
        self._ranges = [_line_ranges(alpha, gamma, directions[i], *self._lines(i)) for i in range(2)]
        self._blocks: dict[tuple[int, int], Tensor] = {}
        self.even: EvenRays | None = None
        self.flat: FlatFan | None = None
        self.search: Search | None = None
        if dtype == torch.float64:
            pass
        elif isinstance(geometry, ParallelBeam):
            self.even = EvenRays.of(alpha, gamma, weight, along_rows, device)
        elif geometry.detector == "flat":
            self.flat = FlatFan.of(geometry, grid, theta[views], weight.flatten(1), device)
        if self.even is None and self.flat is None:
            self.search = Search.of(geometry, grid, theta[views], self.per_bin, device)

    def blocks(self, views: int, bins: int) -> Tensor:
        """Return the first view and bin of every block of so many, and the lines that its rays meet."""
        if (views, bins) not in self._blocks:
            down, across = -(-self.views // views), -(-self.bins // bins)
            padding = (0, 0, 0, across * bins - self.bins, 0, down * views - self.views)

            def least(bound: Tensor, beyond: int) -> Tensor:
                padded = torch.nn.functional.pad(bound, padding, value=beyond)
                return padded.unflatten(1, (across, bins)).unflatten(0, (down, views)).amin((1, 3, 4))

            columns = [
                (torch.arange(down, dtype=torch.int32) * views)[:, None].expand(down, across),
                (torch.arange(across, dtype=torch.int32) * bins).expand(down, across),
            ]
            for direction, (begin, end) in enumerate(self._ranges):
                lines = self._lines(direction)[0]
                columns += [least(begin, lines), -least(-end, 0)]
            self._blocks[views, bins] = torch.stack(columns, -1).flatten(0, 1).to(self.device)
        return self._blocks[views, bins]

    def _lines(self, direction: int) -> tuple[int, int]:
        """Lines and cells of a line."""
        height, width = self.size
        return (width, height) if direction else (height, width)

    def _positions(self, cells: Tensor, unit: float) -> Tensor:
        """Numbers of cells as the kernels count them."""
        return (cells if unit == 1 else (cells * unit).round().long()).contiguous().to(self.device)


@dataclass(frozen=True)
class EvenRays:
    """Where pixels are projected to among the evenly spaced rays of each view, see `back_project_parallel`."""

    origin: Tensor
    slopes: Tensor
    shares: Tensor
    bits: int
    reach: int

    @classmethod
    def of(cls, alpha: Tensor, gamma: Tensor, weight: Tensor, along_rows: Tensor, device: torch.device) -> Self:
        """Read the spacing of the rays off their table."""
        alpha, gamma = alpha.flatten(1), gamma[:, 0, 0]
        count = alpha.shape[1]
        # A single ray: any distance to its absent neighbours does.
        apart = (alpha[:, -1] - alpha[:, 0]) / (count - 1) if count > 1 else torch.ones_like(gamma)
        # Ray i meets line l at alpha_0 + apart i + gamma l; its cell c lies at i = (c - alpha_0 - gamma l) / apart.
        line, cell = -gamma / apart, 1 / apart
        rows = along_rows[:, 0, 0]
        slopes = torch.stack([torch.where(rows, line, cell), torch.where(rows, cell, line)], -1)
        bits = 30 - max(0, math.ceil(math.log2(float(slopes.abs().max()))))
        full = weight[:, 0, 0]
        return cls(
            (-alpha[:, 0] / apart * 2.0**bits).round().long().to(device),
            (slopes * 2.0**bits).round().int().to(device),
            torch.stack([full, full * apart.abs()], -1).float().to(device),
            bits,
            max(1, math.ceil(1 / float(apart.abs().min()) - 1e-9)),
        )


@dataclass(frozen=True)
class FlatFan:
    """Where pixels are projected to on a flat detector, and how wide its rays are, see `back_project_fan`."""

    places: Tensor
    lengths: Tensor
    factor: Tensor
    """With which the sinogram has to be multiplied, float32."""
    limit: float
    """Farthest that a ray which meets a pixel can lie from it, in rays."""

    BITS = 40
    FAR = 8.0

    @property
    def pad(self) -> int:
        """Empty rays beside those of a view."""
        return math.floor(2 * self.limit + 0.1) + 2

    @classmethod
    def of(cls, geometry: FanBeam, grid: Grid, theta: Tensor, weight: Tensor, device: torch.device) -> Self | None:
        """Derive it, with the weights (A, rays) of `RayTable`; None where a pixel is close to the source."""
        count = weight.shape[1]
        apart, length = geometry.bin_size * geometry.bins / count, geometry.length
        n, d, first = _projected(geometry, grid, theta, apart)
        height, width = grid.size
        # The ray's direction, times the edge of a pixel that it is more inclined to, in units of distances of rays.
        cos, sin = theta.cos(), theta.sin()
        turned_cos, turned_sin = (theta + geometry.tilt).cos(), (theta + geometry.tilt).sin()
        b, e = grid.pixel[1] * turned_sin / length, grid.pixel[0] * turned_cos / length
        a = grid.pixel[1] * cos / apart + b * first / apart
        c = -grid.pixel[0] * sin / apart + e * first / apart
        ray = torch.arange(count, dtype=torch.float64)
        wide = torch.maximum((a[:, None] + b[:, None] * ray).abs(), (c[:, None] + e[:, None] * ray).abs())
        nearest = d[0] - d[1].abs() * (width + 2) / 2 - d[2].abs() * (height + 2) / 2
        limit = float((wide.amax(1) / nearest).max()) if nearest.min() > 0 else math.inf
        if limit > cls.FAR:
            return None
        places = torch.stack([_at_first(n, grid), n[1], n[2], _at_first(d, grid), d[1], d[2]], 1) * 2.0**cls.BITS
        return cls(
            places.round().long().contiguous().to(device),
            torch.stack([a, b, c, e], 1).float().contiguous().to(device),
            (weight / wide).float().contiguous().to(device),
            limit,
        )


@dataclass(frozen=True)
class Search:
    """Where pixels are projected to, as a quotient of affine functions, see `back_project`."""

    coefficients: Tensor
    angle_scale: float
    angle_shift: float
    curved: bool
    margin: float
    """Bins by which it may be off: single precision, and 1e-5 radians of an arc tangent."""

    @classmethod
    def of(cls, geometry: Geometry, grid: Grid, theta: Tensor, per_bin: int, device: torch.device) -> Self:
        """Derive it from the geometry, for views at these angles."""
        apart = geometry.bin_size / per_bin
        n, d, first = _projected(geometry, grid, theta, apart)
        scale, shift, curved = 1.0, 0.0, False
        if isinstance(geometry, FanBeam) and geometry.detector == "curved":
            scale, shift, curved = geometry.length / apart, -first / apart, True
        slopes = torch.stack([n[1] * d[0] - n[0] * d[1], n[1] * d[2] - n[2] * d[1], n[2] * d[0] - n[0] * d[2]])
        coefficients = torch.cat([n, d, slopes]).T.float().contiguous().to(device)
        return cls(coefficients, scale, shift, curved, 0.05 + (2e-5 * scale if curved else 0))


def _projected(geometry: Geometry, grid: Grid, theta: Tensor, apart: float) -> tuple[Tensor, Tensor, float]:
    """Where pixels are projected to, as a quotient n / d of affine functions, in rays from the first one.

    Shapes: n and d (3, A): value at the image's centre, steps to the right and down. On a curved detector n / d is the
    tangent of the fan angle instead. The third result is the first ray's position on the detector in mm.
    """
    first = float(geometry.positions()[0]) - geometry.bin_size / 2 + apart / 2
    height, width = grid.pixel
    x, y = grid.centre
    # Along the detector, and along the central ray.
    cos, sin = theta.cos(), theta.sin()
    across = torch.stack([x * cos + y * sin, width * cos, -height * sin])
    depth = torch.stack([-x * sin + y * cos, -width * sin, -height * cos])
    one = torch.tensor([[1.0], [0.0], [0.0]], dtype=torch.float64)
    if isinstance(geometry, ParallelBeam):
        return (across - first * one) / apart, one.expand_as(across), first
    depth = depth + geometry.source_distance * one
    if geometry.detector == "curved":
        return across, depth, first
    d = (math.cos(geometry.tilt) * depth - math.sin(geometry.tilt) * across) / geometry.length
    return (across - first * d) / apart, d, first


def _at_first(affine: Tensor, grid: Grid) -> Tensor:
    """Value at the first pixel of what is given at the image's centre, with its steps to the right and down."""
    height, width = grid.size
    return affine[0] - affine[1] * (width - 1) / 2 - affine[2] * (height - 1) / 2


def _turned(found: ViewOrbits, size: tuple[int, ...]) -> Tensor:
    """Where in an image each turn's first pixel lies, and the steps down and to the right, (turns, 3)."""
    pixels = torch.arange(math.prod(size), dtype=torch.int32).reshape(size)
    rows = []
    for turn in found.turns:
        moved = turn(pixels)
        first = int(moved[0, 0])
        rows.append([first, int(moved[1 % size[0], 0]) - first, int(moved[0, 1 % size[1]]) - first])
    return torch.tensor(rows, dtype=torch.int32)


def _starts(source: Tensor, flipped: Tensor, bins: int) -> Tensor:
    """Where in the sinogram a view begins as each turn sees it, and the step from bin to bin: (views, turns, 2)."""
    start, step = source * bins + flipped * (bins - 1), 1 - 2 * flipped.long()
    seen: set[int] = set()
    for index, view in enumerate(source.flatten().tolist()):
        if view in seen:
            step.view(-1)[index] = 0
        seen.add(view)
    return torch.stack([start, step], -1).int().contiguous()


def _line_ranges(alpha: Tensor, gamma: Tensor, mask: Tensor, lines: int, cells: int) -> tuple[Tensor, Tensor]:
    """Lines [begin, end) on which each ray may be inside, with one to spare; none where the mask is false."""
    slope = torch.where(gamma.abs() < 1e-9, 1e-9, gamma)
    one, other = (-1 - alpha) / slope, (cells - alpha) / slope
    begin = (torch.minimum(one, other).floor() - 1).clamp(0, lines)
    end = (torch.maximum(one, other).ceil() + 2).clamp(0, lines)
    some = mask & (begin < end)
    return torch.where(some, begin, lines).int(), torch.where(some, end, 0).int()
