"""Inati's iterative coil sensitivities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt, Lt
from torch import Tensor

from recon_plugins.calibration.calibration import Calibration, Phase, principal_component, referenced
from recon_plugins.calibration.images import bright, coil_images, unit
from recon_plugins.calibration.smoothing import box, check_window

__all__ = ["Inati"]


@dataclass(frozen=True, kw_only=True)
class Inati(Calibration):
    """Coil sensitivities by Inati's iteration: the best smooth rank-one model s_c(r) p(r) of the coils' images x_c(r).

    In turns, p = sum_c conj(s_c) x_c is the combined image, and s_c = B(conj(p) x_c), normalised over coils, with B the
    sum over a box of `window` pixels. Each step is a power iteration on the covariance of the box, as Walsh's, without
    forming it. x are the coils' low-resolution images.

    Shapes: y (batch, coil, *k) as `operator` gives it -> maps (batch, coil, *space). The maps carry no gradients.

    Parameters
    ----------
    window
        Edge of the box in pixels, odd.
    iterations
        Steps.
    crop
        Maps are zero where the root sum of squares of the coils is not above this share of its largest value.
    width
        Most samples of calibration data along each axis; None for all that the mask leaves whole.
    phase
        What the maps' phase is relative to: the ``first`` coil, or the ``principal`` component of the coils.

    References
    ----------
    Inati, Hansen and Kellman, A fast optimal method for coil sensitivity estimation and adaptive coil combination for
    complex images, Proc. ISMRM 22:4407, 2014
    """

    window: Annotated[int, Ge(1)] = 5
    iterations: Annotated[int, Gt(0)] = 5
    crop: Annotated[float, Ge(0), Lt(1)] = 0.05
    width: Annotated[int, Gt(0)] | None = 24
    phase: Phase = "principal"

    def __post_init__(self) -> None:
        """Refuse a box without a middle."""
        check_window(self.window)

    def estimate(self, centre: Tensor, size: tuple[int, ...]) -> Tensor:
        """Return the maps on a grid of `size` from k-space (batch, coil, *block)."""
        x = coil_images(centre, size)
        # Relative to one combination of coils for the whole image, the phase is smooth, and steps keep it so.
        maps = principal_component(centre).reshape(*x.shape[:2], *[1] * len(size))
        for _ in range(self.iterations):
            combined = (maps.conj() * x).sum(1, keepdim=True)
            maps = combined.conj() * x
            for axis in range(2, x.ndim):
                maps = box(maps, axis, self.window)
            maps = unit(maps)
        return referenced(maps[:, None], centre, self.phase)[:, 0] * bright(x, self.crop)
