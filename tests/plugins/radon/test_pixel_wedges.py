"""Wedges hold every pixel that a bin is interpolated at, whatever the geometry, and not many more."""

from __future__ import annotations

import math

import pytest
import torch

from recon_plugins.radon.geometry import FanBeam, Geometry, ParallelBeam, equispaced
from recon_plugins.radon.grid import Grid
from recon_plugins.radon.pixel_wedges import Wedges
from recon_plugins.radon.view_table import ViewTable, view_table

ANGLES = (*equispaced(8, 2 * math.pi), 0.3, 1.1, 2.5, 4.4)
GRID, NEAR = Grid((13, 20), (1.2, 0.7), (1.0, -2.0)), Grid((9, 10), (1.0, 1.1), (0.2, 0.1))
SCANS: dict[str, tuple[Geometry, Grid]] = {
    "parallel": (ParallelBeam(ANGLES, 25, 1.0, 0.3), GRID),
    "parallel, fine bins": (ParallelBeam(ANGLES, 60, 0.2), GRID),
    "parallel, coarse bins": (ParallelBeam(ANGLES, 4, 7.0), GRID),
    "flat": (FanBeam(ANGLES, 40, 1.5, 30.0, 20.0, 0.3, "flat", 0.2), GRID),
    "curved": (FanBeam(ANGLES, 40, 1.5, 30.0, 20.0, 0.3, "curved"), GRID),
    "source nearby": (FanBeam(ANGLES, 60, 0.8, 8.0, 3.0, 0.3), NEAR),
    "source nearby, curved": (FanBeam(ANGLES, 40, 0.8, 8.0, 3.0, 0.3, "curved"), NEAR),
    "very wide bins": (FanBeam(ANGLES, 4, 14.0, 8.0, 3.0, 0.3), NEAR),
    "very wide bins, curved": (FanBeam(ANGLES, 4, 8.0, 8.0, 3.0, 0.3, "curved"), NEAR),
}


def places(table: ViewTable, size: tuple[int, ...]) -> torch.Tensor:
    """Where each pixel falls on the detector: (A, H, W)."""
    q0, qi, qj, p0, pi, pj = table.coefficients[:, :, None, None]
    i, j = torch.arange(size[0])[:, None], torch.arange(size[1])
    q, p = q0 + qi * i + qj * j, p0 + pi * i + pj * j
    return torch.atan2(q, p) * table.scale + table.shift if table.beam == "curved" else q / p


def held(wedges: Wedges, size: tuple[int, ...], view: int, bin_: int) -> torch.Tensor:
    """Pixels of a wedge as a kernel walks through them: (H, W)."""
    inside = torch.zeros(size, dtype=torch.bool)
    turned, begin, end, most = wedges.lines[view, bin_].tolist()
    at, step = wedges.crossings[view, bin_].tolist()
    low, low_step = wedges.shape[view, bin_, 1:3].tolist()
    for line in range(begin, end):
        first = max(math.ceil((at + step * line) / 2**32 + low + low_step * line), 0)
        (inside.T if turned else inside)[line, first : first + most] = True
    return inside


@pytest.mark.parametrize("taps", [2, 4])
@pytest.mark.parametrize("scan", SCANS)
def test_every_pixel_is_held(scan: str, taps: int) -> None:
    geometry, grid = SCANS[scan]
    table = view_table(geometry, grid)
    wedges, seen = Wedges.of(table, grid.size, taps, torch.device("cpu")), places(table, grid.size)
    needed, taken = 0, 0
    for view in range(len(ANGLES)):
        for bin_ in range(geometry.bins):
            pixels = (seen[view] - bin_).abs() < taps / 2
            inside = held(wedges, grid.size, view, bin_)
            assert bool(inside[pixels].all()), (view, bin_)
            needed, taken = needed + int(pixels.sum()), taken + int(inside.sum())
    # A pixel more on a line, and where wedges widen along the line as many as on its widest.
    assert taken < (2.2 if "fine" in scan or "near" in scan else 1.8) * needed, (needed, taken)
    assert 1 <= wedges.usual() <= 8


def test_tables_do_not_depend_on_how_many_rays_are_looked_at_together(monkeypatch: pytest.MonkeyPatch) -> None:
    geometry, grid = SCANS["flat"]
    table = view_table(geometry, grid)
    whole = Wedges.of(table, grid.size, 2, torch.device("cpu"))
    monkeypatch.setattr("recon_plugins.radon.pixel_wedges.RAYS", 100)
    parts = Wedges.of(table, grid.size, 2, torch.device("cpu"))
    assert all(torch.equal(getattr(whole, name), getattr(parts, name)) for name in ("crossings", "shape", "lines"))
