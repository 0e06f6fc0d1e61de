"""How much of an object a detector misses."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from recon_plugins.radon.cone_geometry import ConeBeam, Parallel3D, middle_plane
from recon_plugins.radon.geometry import FanBeam, Geometry, ParallelBeam
from recon_plugins.radon.projection import ProjectionOperator

__all__ = ["Unseen", "unseen", "warn_if_unseen"]


@dataclass(frozen=True)
class Unseen:
    """Shares, from 0 to 1, of an image's absolute mass that lie outside the detector's field."""

    by_some: float
    """Outside in at least one view: what truncation artefacts come from."""
    by_all: float
    """Outside in every view: no measurement tells anything about it."""


def unseen(operator: ProjectionOperator, x: Tensor) -> Unseen:
    """Return how much of images the detector of a parallel, fan or cone beam does not see.

    A pixel is seen in a view if the ray through its centre ends on the detector. Of a volume, only what passes the
    detector on its left or right is missed: above and below a cone beam's slices there always is something.

    Shapes: x (batch, channel, H, W) or (batch, channel, D, H, W).

    Parameters
    ----------
    operator
        The scan.
    x
        Images on its grid; shares are those of all of them together.
    """
    mass = x.detach().abs().double().cpu().sum(tuple(range(x.ndim - 2)))
    total = float(mass.sum())
    if total == 0:
        return Unseen(0.0, 0.0)
    columns, rows = operator.grid.coordinates()[:2]
    inside = mass.nonzero(as_tuple=True)
    points = torch.stack([columns[inside[1]], rows[inside[0]]], -1)
    missed_once = torch.zeros(len(points), dtype=torch.bool)
    missed_always = torch.ones_like(missed_once)
    geometry = _in_plane(operator.geometry)
    half = geometry.bins * geometry.bin_size / 2 * (1 + 1e-9)
    for theta in geometry.angles:
        missed = ~((_positions(geometry, theta, points) - geometry.offset).abs() <= half)
        missed_once |= missed
        missed_always &= missed
    weights = mass[inside] / total
    return Unseen(float(weights[missed_once].sum()), float(weights[missed_always].sum()))


def warn_if_unseen(operator: ProjectionOperator, x: Tensor, tolerance: float = 1e-3) -> None:
    """Warn, in one line with the share, if the detector misses more than that share of images in some view."""
    share = unseen(operator, x)
    if share.by_some > tolerance:
        warnings.warn(
            f"the detector is too small for the object: {share.by_some:.1%} of its mass lies outside the field of some "
            f"views, {share.by_all:.1%} outside that of all; use more bins or wider ones, or expect bright rims",
            UserWarning,
            stacklevel=2,
        )


def _in_plane(geometry: Any) -> Geometry:
    """Return the scan as rays that run level see it."""
    if isinstance(geometry, ConeBeam):
        return middle_plane(geometry)
    if isinstance(geometry, Parallel3D):
        return ParallelBeam(geometry.angles, geometry.bins[1], geometry.bin_size[1], geometry.offset[1])
    found: Geometry = geometry
    return found


def _positions(geometry: Geometry, theta: float, points: Tensor) -> Tensor:
    """Return where on the detector, in mm, the rays through points end; nan for those behind the source."""
    across = points @ points.new_tensor([math.cos(theta), math.sin(theta)])
    if not isinstance(geometry, FanBeam):
        return across
    along = points @ points.new_tensor([-math.sin(theta), math.cos(theta)]) + geometry.source_distance
    fan = torch.where(along > 0, torch.atan2(across, along), torch.nan)
    if geometry.detector == "curved":
        return geometry.length * fan
    slope = fan.tan()
    reach = math.cos(geometry.tilt) - math.sin(geometry.tilt) * slope
    return torch.where(reach > 0, geometry.length * slope / reach, torch.nan)
