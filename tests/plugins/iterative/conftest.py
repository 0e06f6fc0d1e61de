"""Small problems, and dense matrices of them, for the tests of iterative methods."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
import torch

import recon
from recon.operators import LinearOperator


class Dense(LinearOperator):
    """A matrix on images of any dimension: the fastest operator on small ones."""

    def __init__(self, matrix: torch.Tensor, size: tuple[int, ...], data: tuple[int, ...] = (-1,)) -> None:
        super().__init__()
        self.entries, self.size, self.data = matrix, size, data

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x.flatten(1) @ self.entries.T).reshape(len(x), *self.data)

    def adjoint(self, y: torch.Tensor) -> torch.Tensor:
        return (y.flatten(1) @ self.entries.conj()).reshape(len(y), *self.size)


class Small(NamedTuple):
    """A scan of one image, and the same in matrices."""

    operator: LinearOperator
    dense: Dense
    x: torch.Tensor
    y: torch.Tensor
    matrix: np.ndarray
    data: np.ndarray


@pytest.fixture(scope="session")
def small() -> Callable[..., Small]:
    """Make a noisy parallel-beam scan of a random image in double precision."""

    def make(size: tuple[int, int] = (9, 7), angles: int = 12, noise: float = 0.02) -> Small:
        generator = torch.Generator().manual_seed(0)
        operator = recon.build("operator", "radon", size=size, angles=angles, pixel=0.3)
        x = torch.rand(1, 1, *size, dtype=torch.float64, generator=generator)
        x = torch.where(x > 0.4, x, 0)
        y = operator(x)
        y = y + noise * torch.randn(y.shape, dtype=y.dtype, generator=generator)
        matrix = operator.matrix()
        dense = Dense(matrix, (1, *size), (1, *operator.sinogram_size))
        return Small(operator, dense, x, y, matrix.numpy(), y.flatten().numpy())

    return make


@pytest.fixture(scope="session")
def dense() -> type[Dense]:
    return Dense
