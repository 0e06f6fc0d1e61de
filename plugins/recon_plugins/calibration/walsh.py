"""Walsh's adaptive combination."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor

from recon_plugins.calibration.calibration import Calibration, Phase, referenced
from recon_plugins.calibration.images import bright, coil_images
from recon_plugins.calibration.smoothing import box, check_window

__all__ = ["Walsh"]

CHUNK = 2**20
"""Most complex numbers of the covariances of pixels that are held at once."""


@dataclass(frozen=True, kw_only=True)
class Walsh(Calibration):
    """Coil sensitivities as the strongest direction of the coils' values about each pixel (adaptive combination).

    The sensitivities of pixel r are the principal eigenvector of the covariance sum_r' x(r') x(r')^H over the box of
    `window` pixels about it, found by power iteration from x(r). x are the coils' low-resolution images.

    Shapes: y (batch, coil, *k) as `operator` gives it -> maps (batch, coil, *space). The maps carry no gradients.

    Parameters
    ----------
    window
        Edge of the box in pixels, odd.
    iterations
        Steps of the power iteration.
    crop
        Maps are zero where the root sum of squares of the coils is not above this share of its largest value.
    width
        Most samples of calibration data along each axis; None for all that the mask leaves whole.
    phase
        What the maps' phase is relative to: the ``first`` coil, or the ``principal`` component of the coils.

    References
    ----------
    Walsh, Gmitro and Marcellin, Magn. Reson. Med. 43:682, 2000,
    doi:10.1002/(SICI)1522-2594(200005)43:5<682::AID-MRM10>3.0.CO;2-G
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
        images = coil_images(centre, size)
        maps = torch.stack([self._item(x) for x in images])
        return referenced(maps[:, None], centre, self.phase)[:, 0] * bright(images, self.crop)

    def _item(self, x: Tensor) -> Tensor:
        coils, rows, *rest = x.shape
        x = torch.movedim(x, 0, -1)  # (*space, coil)
        reach = self.window // 2
        piece = max(1, CHUNK // (math.prod(rest) * coils**2))
        maps = []
        for first in range(0, rows, piece):
            low, high = max(0, first - reach), min(rows, first + piece + reach)
            part = x[low:high]
            covariance = part[..., :, None] * part[..., None, :].conj()
            for axis in range(len(rest) + 1):
                covariance = box(covariance, axis, self.window)
            kept = slice(first - low, first - low + min(piece, rows - first))
            matrix = covariance[kept].reshape(-1, coils, coils)
            v = x[first : first + piece].reshape(-1, coils, 1)
            for _ in range(self.iterations):
                v = matrix @ v
                length = torch.linalg.vector_norm(v, dim=1, keepdim=True)
                v = v / torch.where(length > 0, length, 1)
            maps.append(v.reshape(-1, *rest, coils))
        return torch.movedim(torch.cat(maps), -1, 0)
