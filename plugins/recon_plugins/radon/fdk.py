"""Cone-beam reconstruction by Feldkamp, Davis and Kress."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated
from weakref import WeakKeyDictionary

import torch
from annotated_types import Gt, Le
from torch import Tensor

from recon.errors import UsageError
from recon.operators import Operator
from recon_plugins.radon.backends import Backend
from recon_plugins.radon.cone_geometry import ConeBeam, middle_plane
from recon_plugins.radon.filters import Filter, Padding, filter_rows
from recon_plugins.radon.redundancy import ShortScan, sample_weights, short_side
from recon_plugins.radon.sampling import as_ray_transform
from recon_plugins.radon.truncation import warn_if_truncated
from recon_plugins.radon.volume_transform import VolumeTransform
from recon_plugins.radon.voxel_driven import VoxelDriven

__all__ = ["FDK"]


@dataclass(frozen=True, kw_only=True)
class FDK:
    """Feldkamp, Davis and Kress's filtered back-projection x = sum_a B_a h * (w_a y_a) of circular cone-beam scans.

    Each row of a view is treated as the fan beam that it would be in the source's plane, times the cosine of its
    elevation: w has that cosine, the cosine of the fan angle and the angle that the ray stands for; h is the ramp
    sampled in real space, times a window; B_a interpolates the filtered view bilinearly at every voxel's centre, times
    the squared ratio of the source's distances from the axis and from the voxel. As good as `FBP` in the source's
    plane, and elsewhere as far as the cone is narrow: values fall off towards the ends of the volume. Flat and curved
    detectors, short scans (Parker's weights) and a detector shifted to one side are served as in `FBP`. Projections of
    a volume in 1/mm give that volume in 1/mm. The result is differentiable in y.

    Shapes: y (batch, channel, A, R, C) -> x (batch, channel, D, H, W).

    Parameters
    ----------
    filter
        Window on the ramp, in rising order of smoothness: ram-lak (none), shepp-logan, cosine, hamming, hann.
    cutoff
        Frequency at which the window ends, as a share of the detector's Nyquist frequency.
    short_scan
        Weights of a scan over less than a turn. auto: Parker's where views are missing; parker: always; none: all rays
        alike.
    padding
        What is assumed beyond the detector's rows: zero, or a smooth fall from the edge's value, for objects that reach
        out of the field of view.

    Warns
    -----
    UserWarning
        If the object reaches beyond the detector's left or right end, as for `FBP`.

    References
    ----------
    Feldkamp, Davis and Kress, J. Opt. Soc. Am. A 1:612, 1984, doi:10.1364/JOSAA.1.000612
    """

    filter: Filter = "ram-lak"
    cutoff: Annotated[float, Gt(0), Le(1)] = 1.0
    short_scan: ShortScan = "auto"
    padding: Padding = "zero"

    def __call__(self, y: Tensor, operator: Operator) -> Tensor:
        """Reconstruct; `operator` projects along a cone beam, noise in front of it is passed over."""
        scan = _scan(operator)
        if y.ndim != 5 or tuple(y.shape[-3:]) != scan.sinogram_size:
            raise UsageError(f"projections must end in {scan.sinogram_size}, got shape {tuple(y.shape)}")
        if y.is_complex():
            return torch.complex(*self(torch.cat([y.real, y.imag]), scan).chunk(2))
        if y.dtype != torch.float64:
            y = y.float()
        plan = _plan(scan, self.short_scan)
        y = y * plan.weights.to(y)
        if self.padding == "zero":
            warn_if_truncated(y.mean(3))
        y = torch.nn.functional.pad(y, plan.beyond)
        filtered = filter_rows(y, self.filter, self.cutoff, fan_step=plan.fan_step, padding=self.padding)
        return plan.back_projector.adjoint(filtered)


@dataclass(frozen=True)
class _Plan:
    """What all projections of a scan have in common."""

    weights: Tensor
    """What each sample is multiplied by before the filter, for a filter of bin size 1: (A, R, C), float64."""
    beyond: tuple[int, int]
    """Columns added to the left and right."""
    back_projector: VoxelDriven
    fan_step: float
    """Angle between the columns of a curved detector in radians, else 0."""


_plans: WeakKeyDictionary[VolumeTransform, dict[ShortScan, _Plan]] = WeakKeyDictionary()


@torch.compiler.disable  # type: ignore[untyped-decorator]  # a look-up that is not for the graph
def _plan(scan: VolumeTransform, short_scan: ShortScan) -> _Plan:
    """Return the plan of a scan, made once for its life."""
    plans = _plans.setdefault(scan, {})
    if short_scan not in plans:
        geometry = scan.geometry
        assert isinstance(geometry, ConeBeam)  # noqa: S101 - of _scan
        plane = middle_plane(geometry)
        rows, columns = geometry.positions()
        fan = plane.fan_angles(columns)
        weights = sample_weights(plane, short_scan) / plane.spacing * torch.cos(fan)
        # Distance of the detector's columns from the source, in the plane, and that of their bins.
        if geometry.detector == "flat":
            weights = weights * torch.cos(torch.tensor(plane.tilt, dtype=torch.float64))
            depth = geometry.length + columns * torch.sin(torch.tensor(plane.tilt, dtype=torch.float64))
            near = depth / fan.cos()
        else:
            near = torch.full_like(columns, geometry.length)
        elevation = near / torch.hypot(near.expand(len(rows), -1), rows[:, None].expand(-1, len(columns)))
        fan_step = geometry.bin_size[1] / geometry.length if geometry.detector == "curved" else 0.0
        backend: Backend = "sparse" if scan.backend == "sparse" else "auto"
        beyond = short_side(plane, short_scan)
        v, u = geometry.offset
        wider = dataclasses.replace(
            geometry,
            bins=(geometry.bins[0], geometry.bins[1] + sum(beyond)),
            offset=(v, u + (beyond[1] - beyond[0]) * geometry.bin_size[1] / 2),
        )
        plans[short_scan] = _Plan(
            weights[:, None] * elevation,
            beyond,
            VoxelDriven(geometry=wider, grid=scan.grid, backend=backend),
            fan_step,
        )
    return plans[short_scan]


def _scan(operator: Operator) -> VolumeTransform:
    try:
        found = as_ray_transform(operator)
    except UsageError as error:
        raise UsageError(f"fdk: {error}: take pinv or tv for others") from error
    if not isinstance(found, VolumeTransform) or not isinstance(found.geometry, ConeBeam):
        raise UsageError(f"fdk reconstructs cone beams, not what {type(found).__name__} measures: take fbp for planes")
    if found.geometry.helical:
        raise UsageError(
            "fdk serves a source that turns in one plane, not a helix: rebin the scan to fan beams (single-slice "
            "rebinning) for fbp, or take sirt or pwls"
        )
    if any(found.geometry.tilt[1:]):
        raise UsageError("fdk serves detectors that are neither rolled nor pitched: take sirt or pwls, which serve any")
    return found
