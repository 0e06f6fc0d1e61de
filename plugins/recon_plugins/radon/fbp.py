"""Filtered back-projection."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Annotated
from weakref import WeakKeyDictionary

import torch
from annotated_types import Gt, Le
from torch import Tensor

from recon.errors import UsageError
from recon.operators import Operator
from recon_plugins.radon.backends import Backend
from recon_plugins.radon.filters import Filter, Padding, filter_rows
from recon_plugins.radon.geometry import FanBeam, Geometry
from recon_plugins.radon.pixel_driven import PixelDriven
from recon_plugins.radon.ray_transform import RayTransform
from recon_plugins.radon.redundancy import ShortScan, sample_weights, short_side
from recon_plugins.radon.sampling import as_ray_transform
from recon_plugins.radon.truncation import warn_if_truncated
from recon_plugins.radon.view_table import Interpolation

__all__ = ["FBP"]


@dataclass(frozen=True, kw_only=True)
class FBP:
    """Filtered back-projection x = sum_a B_a h * (w_a y_a) of parallel- and fan-beam sinograms.

    h is the band-limited ramp sampled in real space (which keeps the mean right), times a window; B_a interpolates the
    filtered view at every pixel's centre, which is more accurate here than the exact adjoint of the projector. In a
    fan, w has the cosine of the fan angle and B the squared ratio of the source's distances from the centre and from
    the pixel. A sinogram of an image in 1/mm gives that image in 1/mm. The result is differentiable in y.

    Each ray counts for the angle that it stands for: views may be listed, and cover half a turn, a full one, a short
    scan, or less. With a detector shifted to one side, a full turn gives the image of everything that the longer side
    sees. Views that `sparse_views` or `limited_angle` drop are left out.

    Shapes: y (batch, channel, A, D) -> x (batch, channel, H, W).

    Parameters
    ----------
    filter
        Window on the ramp, in rising order of smoothness: ram-lak (none), shepp-logan, cosine, hamming, hann.
    cutoff
        Frequency at which the window ends, as a share of the detector's Nyquist frequency.
    interpolation
        Between the bins of a filtered view: linear, or cubic (sharper, for noise-free data and few bins).
    short_scan
        Weights of a fan-beam scan over less than a turn. auto: Parker's where views are missing; parker: always; none:
        all rays alike.
    padding
        What is assumed beyond the detector: zero, or a smooth fall from the edge's value, for objects that reach out of
        the field of view.

    Warns
    -----
    UserWarning
        If the object reaches beyond the detector, with the share of the views that show it, unless padding is edge.
        Not looked for where gradients with respect to y are wanted, nor on a GPU with gradients enabled, where it would
        make every step of a training wait.

    References
    ----------
    Kak and Slaney, Principles of Computerized Tomographic Imaging, 2001, doi:10.1137/1.9780898719277 (chapter 3);
    Natterer, The Mathematics of Computerized Tomography, 2001, doi:10.1137/1.9780898719284
    """

    filter: Filter = "ram-lak"
    cutoff: Annotated[float, Gt(0), Le(1)] = 1.0
    interpolation: Interpolation = "linear"
    short_scan: ShortScan = "auto"
    padding: Padding = "zero"

    def __call__(self, y: Tensor, operator: Operator) -> Tensor:
        """Reconstruct; `operator` projects along the rays of a plane, noise in front of it is passed over."""
        radon = _projector(operator)
        if y.ndim != 4 or tuple(y.shape[-2:]) != radon.sinogram_size:
            raise UsageError(f"sinogram must end in {radon.sinogram_size}, got shape {tuple(y.shape)}")
        if y.is_complex():
            return torch.complex(*self(torch.cat([y.real, y.imag]), radon).chunk(2))
        if y.dtype != torch.float64:
            y = y.float()
        plan = _plan(radon, self.short_scan, self.interpolation)
        y = y * plan.weights_like(y)
        if self.padding == "zero":
            warn_if_truncated(y)
        y = torch.nn.functional.pad(y, plan.beyond)
        filtered = filter_rows(y, self.filter, self.cutoff, fan_step=plan.fan_step, padding=self.padding)
        return plan.back_projector.adjoint(filtered)


@dataclass(frozen=True)
class _Plan:
    """What all sinograms of a scan have in common."""

    weights: Tensor
    """What each sample is multiplied by before the filter, for a filter of bin size 1: (A, D), float64."""
    beyond: tuple[int, int]
    """Bins added to the left and right."""
    back_projector: PixelDriven
    fan_step: float
    """Angle between the bins of a curved detector in radians, else 0."""
    _weights: dict[tuple[torch.dtype, torch.device], Tensor] = field(default_factory=dict)

    def weights_like(self, y: Tensor) -> Tensor:
        """Return the weights in the precision and on the device of y, moved there once."""
        key = (y.dtype, y.device)
        if key not in self._weights:
            self._weights[key] = self.weights.to(y)
        return self._weights[key]


_plans: WeakKeyDictionary[RayTransform, dict[tuple[ShortScan, Interpolation], _Plan]] = WeakKeyDictionary()


@torch.compiler.disable  # type: ignore[untyped-decorator]  # a look-up that is not for the graph
def _plan(radon: RayTransform, short_scan: ShortScan, interpolation: Interpolation) -> _Plan:
    """Return the plan of a projector, made once for its life."""
    plans, key = _plans.setdefault(radon, {}), (short_scan, interpolation)
    if key not in plans:
        geometry: Geometry = radon.geometry
        weights, fan_step = sample_weights(geometry, short_scan) / geometry.spacing, 0.0
        if isinstance(geometry, FanBeam):
            weights = weights * math.cos(geometry.tilt) * geometry.fan_angles(geometry.positions()).cos()
            fan_step = geometry.bin_size / geometry.length if geometry.detector == "curved" else 0.0
        backend: Backend = "sparse" if radon.backend == "sparse" else "auto"
        beyond = short_side(geometry, short_scan)
        geometry = dataclasses.replace(
            geometry,
            bins=geometry.bins + sum(beyond),
            offset=geometry.offset + (beyond[1] - beyond[0]) * geometry.bin_size / 2,
        )
        back_projector = PixelDriven(geometry=geometry, grid=radon.grid, interpolation=interpolation, backend=backend)
        plans[key] = _Plan(weights, beyond, back_projector, fan_step)
    return plans[key]


def _projector(operator: Operator) -> RayTransform:
    try:
        found = as_ray_transform(operator)
    except UsageError as error:
        raise UsageError(f"fbp: {error}: take pinv or tv for others") from error
    if not isinstance(found, RayTransform):
        raise UsageError(f"fbp reconstructs planes, not what {type(found).__name__} measures: take fdk for cone beams")
    return found
