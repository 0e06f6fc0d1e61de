"""Random ellipses."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge, Gt
from torch import Tensor

from recon_datasets.phantoms.ellipses import Ellipses

__all__ = ["RandomEllipses", "draw_ellipses"]


class RandomEllipses:
    """A body of random ellipses; item `index` is drawn from (seed, index) alone.

    Items: ``image`` (1, H, W) float32, in [0, 1] times `scale`.

    Parameters
    ----------
    size
        (H, W).
    count
        Number of items.
    ellipses
        Smallest and largest number of ellipses inside the body.
    seed
        Another seed gives another data set; use different ones for training and test.
    oversampling
        Points per pixel and axis that are averaged.
    scale
        Factor on the values, such as 0.02 for attenuation in 1/mm.
    """

    def __init__(
        self,
        *,
        size: tuple[Annotated[int, Gt(0)], Annotated[int, Gt(0)]] = (128, 128),
        count: Annotated[int, Gt(0)] = 1000,
        ellipses: tuple[Annotated[int, Ge(0)], Annotated[int, Ge(0)]] = (5, 20),
        seed: Annotated[int, Ge(0)] = 0,
        oversampling: Annotated[int, Gt(0)] = 2,
        scale: float = 1.0,
    ) -> None:
        if ellipses[0] > ellipses[1]:
            raise ValueError(f"ellipses: the smallest number {ellipses[0]} is above the largest {ellipses[1]}")
        self.size = (size[0], size[1])
        self.count = count
        self.ellipses = (ellipses[0], ellipses[1])
        self.seed = seed
        self.oversampling = oversampling
        self.scale = scale

    def __len__(self) -> int:
        """Return the number of items."""
        return self.count

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Draw and render one item."""
        if not -self.count <= index < self.count:
            raise IndexError(f"index {index} of {self.count} items")
        random = np.random.default_rng((self.seed, index % self.count))
        picture = draw_ellipses(random, self.ellipses).image(self.size, oversampling=self.oversampling)
        return {"image": (self.scale * picture.clamp(0, 1)).float()[None]}


def draw_ellipses(random: np.random.Generator, count: tuple[int, int]) -> Ellipses:
    """Draw a body of value 0.3 to 0.6 and ellipses of value +-0.05 to +-0.3 whose centres lie inside it."""
    axes, centre = random.uniform(0.6, 0.95, 2), random.uniform(-0.04, 0.04, 2)
    body = [random.uniform(0.3, 0.6), *axes, *centre, random.uniform(0, np.pi)]
    rows = [body]
    for _ in range(random.integers(count[0], count[1], endpoint=True)):
        radius, direction = 0.85 * np.sqrt(random.uniform()), random.uniform(0, 2 * np.pi)
        u, v = body[1] * radius * np.cos(direction), body[2] * radius * np.sin(direction)
        cos, sin = np.cos(body[5]), np.sin(body[5])
        place = body[3] + u * cos - v * sin, body[4] + u * sin + v * cos
        value = random.choice((-1, 1)) * random.uniform(0.05, 0.3)
        # Log-uniform sizes: as many small structures as large ones.
        axes = np.exp(random.uniform(np.log(0.02), np.log(0.3), 2))
        rows.append([value, *axes, *place, random.uniform(0, np.pi)])
    return Ellipses(torch.tensor(np.array(rows)))
