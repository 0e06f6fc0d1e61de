"""Multi-coil phantoms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
import torch
from annotated_types import Ge, Gt
from torch import Tensor

from recon.kspace import fft_centred
from recon_datasets.phantoms.random_ellipses import RandomEllipses
from recon_datasets.phantoms.shepp_logan import SheppLogan

__all__ = ["MulticoilPhantom", "coil_maps"]


class MulticoilPhantom:
    """Phantoms with a smooth phase, seen by a ring of coils; item `index` is drawn from (seed, index) alone.

    Items: ``image`` (1, H, W) complex64, ``maps`` (coil, H, W) complex64 with sum_c |s_c|^2 = 1, ``measurement``
    (coil, H, W) complex64, the noiseless and fully sampled k-space F (s_c x), centred and orthonormal.

    Parameters
    ----------
    size
        (H, W).
    coils
        Number of coils.
    count
        Number of items. Each has coils in other places; with the Shepp-Logan phantom they differ by this and the phase.
    phantom
        "random_ellipses" or "shepp_logan".
    seed
        Another seed gives another data set.
    """

    def __init__(
        self,
        *,
        size: tuple[Annotated[int, Gt(0)], Annotated[int, Gt(0)]] = (128, 128),
        coils: Annotated[int, Gt(0)] = 8,
        count: Annotated[int, Gt(0)] = 100,
        phantom: Literal["random_ellipses", "shepp_logan"] = "random_ellipses",
        seed: Annotated[int, Ge(0)] = 0,
    ) -> None:
        self.size = (size[0], size[1])
        self.coils = coils
        self.count = count
        self.phantom = phantom
        self.seed = seed

    def __len__(self) -> int:
        """Return the number of items."""
        return self.count

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Draw one item."""
        if not -self.count <= index < self.count:
            raise IndexError(f"index {index} of {self.count} items")
        index %= self.count
        if self.phantom == "shepp_logan":
            magnitude = SheppLogan(size=self.size)[0]["image"]
        else:
            magnitude = RandomEllipses(size=self.size, count=self.count, seed=self.seed)[index]["image"]
        random = np.random.default_rng((self.seed, index, 1))
        image = torch.polar(magnitude, _phase(self.size, random))
        maps = coil_maps(self.size, self.coils, rotation=random.uniform(0, 2 * np.pi))
        return {"image": image, "maps": maps, "measurement": fft_centred(maps * image)}


def coil_maps(size: Sequence[int], coils: int, *, distance: float = 1.5, rotation: float = 0.0) -> Tensor:
    """Return smooth sensitivities of coils on a circle, complex64 (coil, H, W), with sum_c |s_c|^2 = 1.

    The transverse field of a long straight wire at w falls as 1 / (z - w) in the complex plane; each coil has the phase
    of its own position. One coil alone is 1 in magnitude everywhere.

    Parameters
    ----------
    size
        (H, W); both axes run over [-1, 1].
    coils
        Number of coils, evenly around.
    distance
        Radius of the circle; above sqrt(2), all coils are outside of the image.
    rotation
        Angle of the first coil in radians.
    """
    height, width = size
    y, x = ((torch.arange(n).double() - (n - 1) / 2) * 2 / n for n in (height, width))
    z = torch.complex(*torch.broadcast_tensors(x, -y[:, None]))
    angle = rotation + 2 * torch.pi * torch.arange(coils).double() / coils
    unit = torch.polar(torch.ones_like(angle), angle)[:, None, None]
    maps = unit / (z - distance * unit)
    return (maps / torch.linalg.vector_norm(maps, dim=0)).to(torch.complex64)


def _phase(size: Sequence[int], random: np.random.Generator) -> Tensor:
    """Draw a quadratic phase of about +-1 radian, as the receive chain and the main field leave it."""
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, n) for n in size), indexing="ij")
    a = random.uniform(-0.5, 0.5, 6).tolist()
    return (a[0] + a[1] * x + a[2] * y + a[3] * x * y + a[4] * x**2 + a[5] * y**2)[None]
