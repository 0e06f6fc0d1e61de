"""Projection of single images on the CPU: eight neighbouring rays at once, which read neighbouring cells.

On a line of the image, the cells that eight neighbouring rays fall between lie within seventeen, as long as the rays
are at most about two cells apart. They are loaded as they lie in memory and brought into the rays' order by the
processor's permutations, instead of being looked up one by one. Needs AVX2.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from threading import Lock
from typing import Any

import torch
from llvmlite import ir
from torch import Tensor

from recon_plugins.radon.machine import FLOAT, I32, I64, Code, has_feature, numbers, vector
from recon_plugins.radon.pool import run_all
from recon_plugins.radon.rays import RayTable

__all__ = ["Bundles"]

RAYS = 8
MARGIN = 18
"""Cells of zeros on either side: a ray of a bundle may lie so far out while another is inside."""
SPREAD = 14.0
"""Cells between the outermost rays of a bundle, at most."""
VIEWS, LINES = 8, 64
"""Views that one task projects, lines worked on at a time."""
UNIT = 2.0**32

_compiling = Lock()


class Bundles:
    """Forward projection in float32, one image after the other."""

    def __init__(self, rays: RayTable, size: tuple[int, ...]) -> None:
        self.size = size
        self.shape = rays.alpha.shape
        view = torch.arange(self.shape[0])[:, None].expand(-1, self.shape[1] * self.shape[2]).flatten()
        along_rows = rays.along_rows.flatten()
        members, valid = _members(view, along_rows)
        self.sets = []
        """For images as they are and transposed: the bundles' tables, and which of them belong to a task."""
        self.fits = has_feature("avx2")
        """Whether rays lie close enough together, and the processor can."""
        self.place = torch.empty(len(view), dtype=torch.long)
        start = 0
        for transposed in (False, True):
            chosen = along_rows[members[:, 0]] != transposed
            if chosen.any():
                lines, cells = reversed(size) if transposed else size
                which, real = members[chosen], valid[chosen]
                table, order = self._table(rays, which, real, lines, cells)
                slots = start + torch.arange(order.numel()).reshape(order.shape)
                real = real.gather(1, order)
                self.place[which.gather(1, order)[real]] = slots[real]
                _, counts = (view[which[:, 0]] // VIEWS).unique_consecutive(return_counts=True)
                ends = counts.cumsum(0).tolist()
                self.sets.append((transposed, table, start, list(zip([0, *ends[:-1]], ends, strict=True))))
                start += order.numel()
        self.slots = start

    def forward(self, x: Tensor, y: Tensor) -> None:
        """Write the sinograms of x (n, H, W) into y (n, A D)."""
        for image, row in zip(x, y, strict=True):
            self._one(image, row)

    def _one(self, x: Tensor, y: Tensor) -> None:
        sums = x.new_zeros(self.slots)
        kernel = _kernel()
        for transposed, table, start, tasks in self.sets:
            lines, cells = reversed(self.size) if transposed else self.size
            image = x.new_zeros(lines, cells + 2 * MARGIN)
            image[:, MARGIN:-MARGIN] = x.T if transposed else x
            arguments = (image.data_ptr(), image.shape[1], sums[start:].data_ptr(), *(t.data_ptr() for t in table))
            run_all([partial(kernel, *arguments, *task, lines, LINES) for task in tasks])
        torch.sum(sums[self.place].view(-1, self.shape[2]), -1, out=y)

    def _table(
        self, rays: RayTable, which: Tensor, real: Tensor, lines: int, cells: int
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        """Return the bundles' tables, and the order of their rays in which positions grow."""
        alpha, gamma, weight = (table.flatten()[which] for table in (rays.alpha, rays.gamma, rays.weight))
        order = torch.argsort(alpha + gamma * ((lines - 1) / 2), dim=1, stable=True)
        alpha, gamma, weight = (table.gather(1, order) for table in (alpha, gamma, torch.where(real, weight, 0.0)))
        # Lines on which any of them is inside; one more on either side does no harm.
        slope = torch.where(gamma.abs() < 1e-9, 1e-9, gamma)
        ends = torch.stack([(-1 - alpha) / slope, (cells - alpha) / slope])
        low, high = ends.amin(0), ends.amax(0)
        met = (low < lines) & (high >= 0)
        first = torch.where(met, low.floor(), lines).amin(1).clamp(0, lines)
        stop = torch.where(met, high.ceil() + 1, 0).amax(1).clamp(0, lines)
        for line in (first, stop - 1):
            crossing = alpha + gamma * line[:, None]
            apart = (crossing - crossing[:, :1])[stop > first]
            self.fits &= bool((apart >= 0).all() and (apart <= SPREAD).all())
        far = float(lines + cells + 2 * MARGIN)
        base = ((alpha[:, 0] + MARGIN).clamp(-far, far) * UNIT).round().long()
        step = (gamma[:, 0] * UNIT).round().long()
        # The others' positions relative to the first ray's.
        relative = ((alpha - alpha[:, :1]).clamp(-far, far) * UNIT).round().long()
        slopes = ((gamma - gamma[:, :1]) * UNIT).round().long()
        return (base, step, relative.contiguous(), slopes.contiguous(), weight.float(), first.int(), stop.int()), order


def _members(view: Tensor, along_rows: Tensor) -> tuple[Tensor, Tensor]:
    """Eight neighbouring rays of one view, all along rows or all along columns; the last repeated where too few."""
    change = torch.ones_like(along_rows)
    change[1:] = (view[1:] != view[:-1]) | (along_rows[1:] != along_rows[:-1])
    starts = change.nonzero().flatten()
    lengths = torch.cat([starts[1:], torch.tensor([len(view)])]) - starts
    bundles = -(-lengths // RAYS)
    run = torch.repeat_interleave(torch.arange(len(starts)), bundles)
    within = torch.arange(len(run)) - torch.repeat_interleave(bundles.cumsum(0) - bundles, bundles)
    offset = within[:, None] * RAYS + torch.arange(RAYS)
    valid = offset < lengths[run][:, None]
    return starts[run][:, None] + torch.minimum(offset, lengths[run][:, None] - 1), valid


def _kernel() -> Callable[..., None]:
    with _compiling:
        return _compiled()


@cache
def _compiled() -> Callable[..., None]:
    """Add, for bundles [begin, end), the sums along their rays to y (bundles, 8); `depth` lines at a time."""
    long, longs, ints = I64.as_pointer(), vector(I64, RAYS).as_pointer(), I32.as_pointer()
    values = vector(FLOAT, RAYS).as_pointer()
    code = Code(
        "project_bundles",
        {"image": FLOAT.as_pointer(), "cells": I64, "y": values, "base": long, "step": long, "relative": longs}
        | {"slopes": longs, "weight": values, "first": ints, "stop": ints}
        | dict.fromkeys(("begin", "end", "lines", "depth"), I64),
    )
    emit = code.emit
    permute = ir.Function(
        code.module,
        ir.FunctionType(vector(FLOAT, RAYS), [vector(FLOAT, RAYS), vector(I32, RAYS)]),
        "llvm.x86.avx2.permps",
    )
    zero = ir.Constant(vector(FLOAT, RAYS), None)

    def narrow(wide: Any) -> Any:
        # Four bits for the cell within the window, 28 for the fraction.
        return emit.trunc(emit.ashr(wide, numbers(I64, [4] * RAYS)), vector(I32, RAYS))

    def all_rays(value: int) -> Any:
        return numbers(I32, [value] * RAYS)

    with code.loop(I64(0), code.lines, code.depth) as top, code.loop(code.begin, code.end) as bundle:
        low = code.greater(code.load(code.first, bundle), top)
        high = code.smaller(code.load(code.stop, bundle), emit.add(top, code.depth))
        with emit.if_then(emit.icmp_signed("<", low, high)):
            step = code.load(code.step, bundle)
            slopes = emit.load(emit.gep(code.slopes, [bundle]), align=8)
            start = emit.add(
                emit.load(emit.gep(code.relative, [bundle]), align=8), emit.mul(slopes, code.spread(low, RAYS))
            )
            apart, slopes = code.variable(narrow(start)), narrow(slopes)
            at = code.variable(emit.add(code.load(code.base, bundle), emit.mul(step, low)))
            line = code.variable(emit.gep(code.image, [emit.mul(low, code.cells)]))
            total, steps = code.variable(zero), code.variable(zero)
            with code.loop(low, high):
                position = emit.load(at)
                window = emit.gep(emit.load(line), [emit.ashr(position, I64(32))])
                emit.store(emit.add(position, step), at)
                emit.store(emit.gep(emit.load(line), [code.cells]), line)
                inside = code.spread(emit.lshr(emit.trunc(position, I32), I32(4)), RAYS)
                fixed = emit.add(inside, emit.load(apart))
                emit.store(emit.add(emit.load(apart), slopes), apart)
                cell = emit.lshr(fixed, all_rays(28))
                beyond = emit.icmp_signed("<", fixed, all_rays(0))  # cells 8 to 15 of the window
                found = []
                for offset in (0, 1):
                    near, far = (
                        emit.call(permute, [emit.load(emit.bitcast(place, values), align=4), cell])
                        for place in (emit.gep(window, [I64(offset)]), emit.gep(window, [I64(offset + 8)]))
                    )
                    found.append(emit.select(beyond, far, near))
                mantissa = emit.lshr(emit.shl(fixed, all_rays(4)), all_rays(9))
                number = emit.bitcast(emit.or_(mantissa, all_rays(0x3F800000)), vector(FLOAT, RAYS))
                share = emit.fsub(number, numbers(FLOAT, [1.0] * RAYS))
                code.add_to_variable(steps, share, emit.fsub(found[1], found[0]))
                emit.store(emit.fadd(emit.load(total), found[0]), total)
            whole = emit.fadd(emit.load(total), emit.load(steps))
            code.add_to(emit.gep(code.y, [bundle]), whole, emit.load(emit.gep(code.weight, [bundle]), align=4))
    return code.compile()
