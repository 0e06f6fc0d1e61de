"""The modified Shepp-Logan phantom."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Gt
from torch import Tensor

from recon_datasets.phantoms.ellipses import Ellipses

__all__ = ["SheppLogan", "modified_shepp_logan"]

# value, a, b, x, y, angle in degrees
_TABLE = (
    (1.0, 0.69, 0.92, 0.0, 0.0, 0.0),
    (-0.8, 0.6624, 0.874, 0.0, -0.0184, 0.0),
    (-0.2, 0.11, 0.31, 0.22, 0.0, -18.0),
    (-0.2, 0.16, 0.41, -0.22, 0.0, 18.0),
    (0.1, 0.21, 0.25, 0.0, 0.35, 0.0),
    (0.1, 0.046, 0.046, 0.0, 0.1, 0.0),
    (0.1, 0.046, 0.046, 0.0, -0.1, 0.0),
    (0.1, 0.046, 0.023, -0.08, -0.605, 0.0),
    (0.1, 0.023, 0.023, 0.0, -0.606, 0.0),
    (0.1, 0.023, 0.046, 0.06, -0.605, 0.0),
)


def modified_shepp_logan() -> Ellipses:
    """Return the ten ellipses with Toft's higher contrast: values from 0 to 1."""
    parameters = torch.tensor(_TABLE, dtype=torch.float64)
    parameters[:, 5].deg2rad_()
    return Ellipses(parameters)


class SheppLogan:
    """The modified Shepp-Logan phantom as a dataset of one item.

    Items: ``image`` (1, H, W) float32, in [0, 1] times `scale`.

    Parameters
    ----------
    size
        (H, W); the phantom fills the shorter side, pixels are square.
    oversampling
        Points per pixel and axis that are averaged; 1 samples the pixels' centres.
    scale
        Factor on the values, such as 0.02 for attenuation in 1/mm.

    References
    ----------
    Shepp and Logan, IEEE Trans. Nucl. Sci. 21:21, 1974, doi:10.1109/TNS.1974.6499235; the contrast is that of Toft, The
    Radon Transform, PhD thesis, Technical University of Denmark, 1996.
    """

    def __init__(
        self,
        *,
        size: tuple[Annotated[int, Gt(0)], Annotated[int, Gt(0)]] = (256, 256),
        oversampling: Annotated[int, Gt(0)] = 4,
        scale: float = 1.0,
    ) -> None:
        self.size = tuple(size)
        self.oversampling = oversampling
        self.scale = scale

    def __len__(self) -> int:
        """Return 1."""
        return 1

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Render the phantom."""
        if index not in (0, -1):
            raise IndexError(f"index {index} of a dataset of one item")
        # Sums of values such as 1 - 0.8 - 0.2 leave -5e-17 where air is meant.
        picture = modified_shepp_logan().image(self.size, oversampling=self.oversampling).clamp(min=0)
        return {"image": (self.scale * picture).float()[None]}
