"""A small problem that every engine test can train on in milliseconds."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from recon.engine import SamplingPlan, Trainer
from recon.operators import Identity, Operator


class Images:
    """Smooth-ish random images; `sizes` cycles through spatial sizes."""

    def __init__(self, count: int = 10, sizes: tuple[tuple[int, ...], ...] = ((12, 12),), channels: int = 1) -> None:
        self.count, self.sizes, self.channels = count, sizes, channels

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        if index >= self.count:
            raise IndexError(index)
        generator = torch.Generator().manual_seed(index)
        size = self.sizes[index % len(self.sizes)]
        return {"image": torch.rand(self.channels, *size, generator=generator)}


class Noise(Operator):
    """White noise, as small as an operator can be."""

    stochastic = True

    def __init__(self, *, sigma: float = 0.1) -> None:
        super().__init__()
        self.sigma = sigma

    def forward(self, x: Tensor, *, generator: torch.Generator) -> Tensor:
        return x + self.sigma * torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)

    @property
    def noiseless(self) -> Operator:
        return Identity()


class Psnr(nn.Module):
    """Peak signal-to-noise ratio of items in [0, 1]."""

    higher_is_better = True
    convention = "data range 1"

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        return -10 * (prediction - target).square().flatten(1).mean(1).log10()


def small_model(dropout: float = 0.2) -> nn.Sequential:
    """Two convolutions with a batch norm and dropout: running statistics and global randomness."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(dropout), nn.Conv2d(4, 1, 3, padding=1)
    )


PLAN: dict[str, Any] = {
    "steps": 12,
    "batch_size": 4,
    "log_every": 5,
    "validate_every": 4,
    "checkpoint_every": 4,
    "ema": 0.9,
    "clip": 1.0,
    "schedule": {"name": "cosine", "warmup": 2},
    "device": "cpu",
}


def make_trainer(run: Any = None, plan: dict[str, Any] | None = None, **changes: Any) -> Trainer:
    """Return a trainer on the small problem."""
    arguments: dict[str, Any] = {
        "model": small_model(),
        "train_data": Images(),
        "loss": nn.MSELoss(),
        "operator": Noise(),
        "validation_data": Images(3),
        "metrics": {"psnr": Psnr()},
        "sampling": SamplingPlan(crop=(8, 8), augment="dihedral"),
        "seed": 3,
        "run": run,
    }
    return Trainer(**(arguments | {"plan": PLAN | (plan or {})} | changes))


@pytest.fixture
def trainer() -> Any:
    """Return the factory of trainers."""
    return make_trainer


@pytest.fixture
def images() -> type[Images]:
    """Return the toy data set's class."""
    return Images


@pytest.fixture
def noise() -> type[Noise]:
    """Return the toy operator's class."""
    return Noise


@pytest.fixture
def psnr() -> type[Psnr]:
    """Return the toy metric's class."""
    return Psnr


@pytest.fixture
def model() -> Any:
    """Return the factory of small models."""
    return small_model
