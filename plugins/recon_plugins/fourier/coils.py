"""Smooth coil sensitivities for simulations."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from recon.errors import ParameterError
from recon.schema import validate

__all__ = ["Birdcage"]


@dataclass(frozen=True, kw_only=True)
class Birdcage:
    """Sensitivities of coils on a ring about the image, in the plane of the last two axes. A value.

    Coil c sits at angle 2 pi c / coils. Its sensitivity falls with the distance r from it as 1 / r, its phase is the
    direction from it; all coils together are normalised: sum_c |s_c|^2 = 1 in every pixel.

    Parameters
    ----------
    coils
        Number of coils.
    radius
        Radius of the ring in half widths of the image; beyond 2^(1/2) no coil lies inside the image.
    """

    coils: Annotated[int, Ge(1)] = 8
    radius: Annotated[float, Gt(1.42)] = 1.5

    @classmethod
    def parse(cls, config: Birdcage | Mapping[str, Any], field: str = "maps") -> Birdcage:
        """Make one from a config such as ``{"coils": 8}``; ParameterError names what is wrong with it."""
        if isinstance(config, Birdcage):
            return config
        try:
            return cls(**validate(cls, config, ""))
        except ParameterError as error:
            raise ParameterError("", [((field, *path), message) for path, message in error.problems]) from None

    def maps(
        self, size: Sequence[int], device: torch.device | str = "cpu", dtype: torch.dtype = torch.complex64
    ) -> Tensor:
        """Return the maps (coil, *size); they are shared, so do not write to them."""
        return _maps(self, tuple(size), torch.device(device), dtype)


@lru_cache(maxsize=8)
@torch.inference_mode(False)  # what is kept may meet autograd later
def _maps(rule: Birdcage, size: tuple[int, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    height, width = size[-2:]
    y = (torch.arange(height, dtype=torch.float64) - (height - 1) / 2) / (height / 2)
    x = (torch.arange(width, dtype=torch.float64) - (width - 1) / 2) / (width / 2)
    angle = torch.arange(rule.coils, dtype=torch.float64)[:, None, None] * (2 * math.pi / rule.coils)
    offset = torch.complex(x - rule.radius * angle.cos(), y[:, None] - rule.radius * angle.sin())
    # 1 / conj(z) = exp(i arg z) / |z|: magnitude and phase at once.
    maps = 1 / offset.conj()
    maps = maps / torch.linalg.vector_norm(maps, dim=0)
    maps = maps.reshape(rule.coils, *[1] * (len(size) - 2), height, width)
    result: Tensor = maps.expand(rule.coils, *size).to(device, dtype, memory_format=torch.contiguous_format)
    return result
