"""CT images of a lower dose, made from images of a higher one."""

from __future__ import annotations

import warnings
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor

from recon.building import build
from recon.errors import UsageError
from recon.interfaces import Method
from recon.operators import Identity, LinearOperator, Operator
from recon.operators.combined import AnyOperator, Combined
from recon.schema import Part
from recon_plugins.ct_physics.transmission import check_draw

__all__ = ["ReducedDose", "added_variance", "photons_for_noise"]

LEAST = 1.0
"""Photons below which the noise of a ray grows no further, as the floor of a real scan's logarithm has it."""


class ReducedDose(Combined):
    """The image as a scan at a fraction of its dose would have given it: x + R n, with n ~ Normal(0, v).

    The image already holds the noise of its own dose, so only the difference is added: `added_variance` at the line
    integrals A x of the image, reconstructed (R) as the image was. The noise then has the streaks and the texture of a
    scan, stronger behind bone and in the middle of the body. To autograd it is a constant.

    Shapes: image in 1/mm (batch, channel, H, W) -> the same.

    Parameters
    ----------
    projector
        Geometry A of the scan.
    dose
        Fraction of the dose at which the image was made.
    photons
        Photons that a ray started with at the image's own dose; `photons_for_noise` finds them from its noise.
    electronic
        Standard deviation of the electronic noise, in photons.
    method
        Reconstruction R, whose filter gives the noise its texture; by default fbp.

    References
    ----------
    Yu et al., J. Comput. Assist. Tomogr. 36:477, 2012, doi:10.1097/RCT.0b013e318258e891;
    Zabic et al., Med. Phys. 40:031102, 2013, doi:10.1118/1.4789628
    """

    stochastic = True
    input_unit = "1/mm"

    def __init__(
        self,
        *,
        projector: AnyOperator,
        dose: Annotated[float, Gt(0), Lt(1)],
        photons: Annotated[float, Gt(0)],
        electronic: Annotated[float, Ge(0)] = 0.0,
        method: Annotated[Method | None, Part("method")] = None,
    ) -> None:
        super().__init__()
        self.projector = projector
        self.dose = dose
        self.photons = photons
        self.electronic = electronic
        self.method = method
        self.input_shape = self.output_shape = projector.input_shape

    def forward(self, x: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Add the noise.

        Raises
        ------
        UsageError
            For complex data, without a generator, or with one of another device than that of `x`.
        """
        generator = check_draw(self, x, generator)
        with torch.no_grad():
            y = self.projector(x)
            variance = added_variance(y, self.dose, self.photons, electronic=self.electronic)
            noise = torch.randn(y.shape, generator=generator, dtype=y.dtype, device=y.device)
            noise = _reconstructed(variance.sqrt() * noise, self.projector, self.method)
        return x + noise

    @property
    def noiseless(self) -> Identity:
        """The identity."""
        return Identity()


def added_variance(y: Tensor, dose: float, photons: float, *, electronic: float = 0.0) -> Tensor:
    """Return what a fraction of the dose adds to the variance of line integrals.

    The variance of -log(N / photons) is (1 + e^2 / N) / N. With `dose` N for N it grows by
    (1 - dose) / (dose N) (1 + (1 + dose) / dose e^2 / N), with N = photons exp(-y), at least one photon.

    Parameters
    ----------
    y
        Line integrals.
    dose
        Fraction of the dose, in (0, 1].
    photons
        Photons that a ray starts with at full dose.
    electronic
        Standard deviation e of the electronic noise, in photons.
    """
    counts = (photons * torch.exp(-y)).clamp(min=LEAST)
    return (1 - dose) / (dose * counts) * (1 + (1 + dose) / dose * electronic**2 / counts)


def photons_for_noise(
    x: Tensor,
    projector: LinearOperator,
    region: Tensor,
    sigma: float,
    *,
    generator: torch.Generator,
    method: Method | None = None,
) -> float:
    """Return the photons per ray at which a scan of `x` has that noise: a real scan's dose, read off its image.

    Parameters
    ----------
    x
        Image in 1/mm, (1, 1, H, W).
    projector, method
        Geometry and reconstruction, as for `ReducedDose`.
    region
        Where the noise was measured: a boolean mask (H, W), uniform tissue.
    sigma
        Its standard deviation there, in 1/mm: HU times water / 1000.
    generator
        Source of the one draw that is made.

    Raises
    ------
    UsageError
        If the region is empty, or no mask of the image.
    """
    if region.dtype != torch.bool or region.shape != x.shape[-2:] or not region.any():
        raise UsageError(f"region must be a boolean mask of shape {tuple(x.shape[-2:])} with some pixels set")
    y = projector(x)
    noise = torch.randn(y.shape, generator=generator, dtype=y.dtype, device=y.device)
    one = _reconstructed(torch.exp(y / 2) * noise, projector, method)  # the noise of one photon a ray
    return float(one[..., region].var() / sigma**2)


def _reconstructed(noise: Tensor, projector: Operator, method: Method | None) -> Tensor:
    with warnings.catch_warnings():
        # What methods suspect of an object at the edge of the detector is not true of noise.
        warnings.simplefilter("ignore")
        return (build("method", "fbp") if method is None else method)(noise, projector)
