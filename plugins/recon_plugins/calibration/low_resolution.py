"""Maps as quotients of low-resolution images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt, Lt
from torch import Tensor

from recon_plugins.calibration.calibration import Calibration, Phase, referenced
from recon_plugins.calibration.images import bright, coil_images, unit

__all__ = ["LowResolutionMaps"]


@dataclass(frozen=True, kw_only=True)
class LowResolutionMaps(Calibration):
    """Coil sensitivities as low-resolution images of the coils over their root sum of squares.

    s_c = x_c / (sum_c |x_c|^2)^(1/2), with x_c the inverse transform of the fully sampled centre of k-space under a
    Hann window. The quickest maps; noise and the edges of the object are in them.

    Shapes: y (batch, coil, *k) as `operator` gives it -> maps (batch, coil, *space). The maps carry no gradients.

    Parameters
    ----------
    crop
        Maps are zero where the root sum of squares is not above this share of its largest value.
    width
        Most samples of calibration data along each axis; None for all that the mask leaves whole.
    phase
        What the maps' phase is relative to: the ``first`` coil, or the ``principal`` component of the coils.

    References
    ----------
    Pruessmann et al., Magn. Reson. Med. 42:952, 1999,
    doi:10.1002/(SICI)1522-2594(199911)42:5<952::AID-MRM16>3.0.CO;2-S
    """

    crop: Annotated[float, Ge(0), Lt(1)] = 0.05
    width: Annotated[int, Gt(0)] | None = 24
    phase: Phase = "principal"

    def estimate(self, centre: Tensor, size: tuple[int, ...]) -> Tensor:
        """Return the maps on a grid of `size` from k-space (batch, coil, *block)."""
        images = coil_images(centre, size)
        maps = referenced(unit(images)[:, None], centre, self.phase)[:, 0]
        return maps * bright(images, self.crop)
