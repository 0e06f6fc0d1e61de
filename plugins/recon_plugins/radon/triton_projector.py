"""Projection on CUDA by Triton kernels, without tables of weights."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from recon_plugins.radon import triton_kernels as kernels
from recon_plugins.radon.geometry import Geometry
from recon_plugins.radon.grid import Grid
from recon_plugins.radon.rays import RayTable
from recon_plugins.radon.symmetry import Turn, ViewOrbits, view_orbits
from recon_plugins.radon.triton_plan import EMPTY, Plan

__all__ = ["Blocks", "TritonProjector", "blocks_for", "on_device"]

WIDEST = 32
"""Most images side by side: 128 bytes of single precision, one line of the cache."""
FUSED = {"enable_fp_fusion": True}
"""Multiply and add are one instruction, also where a later Triton would not."""


@dataclass(frozen=True)
class Blocks:
    """Sizes of the pieces that one program works on; results do not depend on them."""

    views: int
    bins: int
    unroll: int
    """Lines at a time."""
    warps: int
    tall: int
    wide: int
    unroll_views: int
    """Views at a time."""
    tile_warps: int


def blocks_for(lanes: int) -> Blocks:
    """Return the sizes for so many images side by side.

    They are the best of a sweep on an H200 (`tests/benchmarks/ct_gpu.py`), or near it.
    """
    if lanes <= 4:
        return Blocks(8, 32, 8, 4, 16, 16, 2, 2)
    if lanes <= 16:
        return Blocks(4, 8, 8, 2, 8, 16, 1, 2)
    return Blocks(4, 32, 1, 8, 4, 32, 1, 4)


class TritonProjector:
    """Projection and its exact adjoint in single or double precision, for parallel and fan beams.

    Up to 32 images of a batch lie side by side; a program follows neighbouring views through the same strip of the
    image, or gathers the rays of all views at a tile of pixels. Where turns and mirrors of the image map the views onto
    each other, a few images are seen in each of them side by side, and only a share of the views is worked on. No value
    has two writers, so results are deterministic. Images and sinograms of half precision are read as they are; sums are
    single precision.
    """

    also = (torch.float16, torch.bfloat16)
    """What is taken as it is, besides the projector's own precision."""

    def __init__(
        self, rays: RayTable, geometry: Geometry, grid: Grid, dtype: torch.dtype, device: torch.device
    ) -> None:
        self.size, self.dtype, self.device = grid.size, dtype, device
        self.samples = len(geometry.angles) * geometry.bins
        views = torch.arange(len(geometry.angles))
        identity = ViewOrbits(
            (Turn(0, mirror=False),),
            views,
            views[:, None],
            torch.zeros(len(views), 1, dtype=torch.bool),
            views[:, None],
        )
        self._plain = Plan(rays, geometry, grid, identity, dtype, device)
        found = view_orbits(geometry, grid)
        some = len(found.turns) in (2, 4, 8)  # as they are: subgroups of the square's symmetries
        self._turned = Plan(rays, geometry, grid, found, dtype, device) if some else None

    def forward(self, x: Tensor) -> Tensor:
        """Project. Shapes: x (N, H W) -> (N, A D)."""
        x = x.detach().contiguous()
        y = x.new_empty(len(x), self.samples, dtype=self.dtype)
        height, width = self.size
        with on_device(self.device):
            for part, plan, lanes, groups in self._split(len(x)):
                source, target, b = x[part], y[part], blocks_for(lanes)
                rows = x.new_empty(groups * height * (width + 2 * EMPTY) * lanes)
                columns = x.new_empty(groups * width * (height + 2 * EMPTY) * lanes)
                shape = {"LANES": lanes, "TURNS": plan.turns} | FUSED
                cells = _cells(lanes)
                kernels.pack_image[height + 2 * EMPTY, _ceil(width + 2 * EMPTY, cells), groups](
                    source, plan.turned, rows, columns, len(source), height, width, CELLS=cells, **shape
                )
                blocks = plan.blocks(b.views, b.bins)
                kernels.project[len(blocks), 1, groups](
                    rows, columns, plan.alpha, plan.gamma, plan.weight, blocks, plan.starts, target, len(source),
                    self.samples, height, width, plan.views, plan.bins, plan.per_bin, DOUBLE=self._double,
                    VIEWS=b.views, BINS=b.bins, UNROLL=b.unroll, num_warps=b.warps, **shape,
                )  # fmt: skip
        return y

    def adjoint(self, y: Tensor) -> Tensor:
        """Back-project. Shapes: y (N, A D) -> (N, H W)."""
        y = y.detach().contiguous()
        height, width = self.size
        x = y.new_empty(len(y), height * width, dtype=self.dtype)
        with on_device(self.device):
            for part, plan, lanes, groups in self._split(len(y)):
                source, b = y[part], blocks_for(lanes)
                turns = plan.turns
                target = x[part] if turns == 1 else x.new_empty(len(source), turns, height * width)
                even, flat, search = plan.even, plan.flat, plan.search
                pad = 2 * even.reach if even else flat.pad if flat else 0
                stored = torch.float32 if flat else y.dtype
                packed = y.new_empty(groups * plan.views * (plan.rays + 2 * pad) * lanes, dtype=stored)
                shape = {"LANES": lanes, "TURNS": turns} | FUSED
                cells = _cells(lanes)
                kernels.pack_sinogram[plan.views, _ceil(plan.rays + 2 * pad, cells), groups](
                    source, plan.starts, flat.factor if flat else packed, packed, len(source), self.samples,
                    plan.views, plan.bins, plan.per_bin, pad, SCALED=flat is not None, BINS=cells, **shape,
                )  # fmt: skip
                # Fans in narrow tiles: differences to the ray in the middle lose digits with its distance.
                wide = min(b.wide, 16) if flat else b.wide
                tall = b.tall * b.wide // wide
                tiles = (_ceil(height, tall), _ceil(width, wide), groups)
                common = (plan.turned, target, len(source), height, width, plan.views, plan.rays)
                shape |= {"TALL": tall, "WIDE": wide, "num_warps": b.tile_warps}
                if even:
                    kernels.back_project_parallel[tiles](
                        packed, even.origin, even.slopes, even.shares, *common, pad,
                        BITS=even.bits, REACH=even.reach, UNROLL=b.unroll_views, **shape,
                    )  # fmt: skip
                elif flat:
                    kernels.back_project_fan[tiles](
                        packed, flat.places, flat.lengths, *common, pad, flat.limit, BITS=flat.BITS, **shape
                    )
                elif search:
                    kernels.back_project[tiles](
                        packed, plan.alpha, plan.gamma, plan.weight, search.coefficients, plan.present, *common,
                        search.angle_scale, search.angle_shift, search.margin, DOUBLE=self._double,
                        CURVED=search.curved, **shape,
                    )  # fmt: skip
                if turns > 1:
                    torch.sum(target, 1, out=x[part])
        return x

    @property
    def _double(self) -> bool:
        return self.dtype == torch.float64

    def _split(self, count: int) -> Iterator[tuple[slice, Plan, int, int]]:
        """Full groups of images first; for what is left, turns of each image if there are any.

        Gives the items, their plan, the number of lanes (a power of 2) and of groups of so many lanes.
        """
        widest = self._widest()
        full = count - count % widest
        if full:
            yield slice(0, full), self._plain, widest, full // widest
        if count > full:
            plan = self._turned or self._plain
            needed = (count - full) * plan.turns
            lanes = min(widest, 1 << (needed - 1).bit_length())
            if lanes < plan.turns:  # very large images
                plan, needed = self._plain, count - full
            yield slice(full, count), plan, lanes, _ceil(needed, lanes)

    def _widest(self) -> int:
        """Most lanes such that offsets within a group fit 32 bits."""
        height, width = self.size
        image = max(height * (width + 2 * EMPTY), width * (height + 2 * EMPTY))
        sinogram = self._plain.views * (self._plain.rays + 64)
        lanes = WIDEST
        while lanes > 1 and max(image, sinogram) * lanes >= 2**31:
            lanes //= 2
        return lanes


def on_device(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """Make a CUDA device the current one, whose current stream is then used; nothing on the CPU."""
    return torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext()


def _cells(lanes: int) -> int:
    return max(32, 1024 // lanes)


def _ceil(count: int, step: int) -> int:
    return -(-count // step)
