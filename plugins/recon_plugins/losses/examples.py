"""Small cases for the conformance kit."""

from collections.abc import Mapping

import torch
from torch import Tensor

from recon.testing import Example

__all__ = [
    "cross_entropy",
    "fastmri_l1",
    "l1",
    "measurement_consistency",
    "measurement_splitting",
    "mse",
    "residual",
    "ssim",
]


def mse() -> list[Example]:
    """Real and complex images."""
    return [Example(shape=(2, 3, 5, 8)), Example(shape=(3, 1, 7, 4), complex=True)]


l1 = mse
residual = mse


def ssim() -> list[Example]:
    """FastMRI's form and Wang's."""
    return [
        Example(shape=(2, 1, 9, 8)),
        Example(params={"variant": "gauss11", "data_range": 2.0}, shape=(2, 2, 13, 11)),
        Example(params={"data_range": "target_range"}, shape=(2, 1, 8, 9), complex=True),
    ]


def fastmri_l1() -> list[Example]:
    """One coil, and three; sizes of image and target alike."""
    operator = {"use": "fourier", "mask": [1, 0, 1, 1, 0, 1]}
    return [
        Example(operator=operator, shape=(2, 1, 5, 6)),
        Example(params={"clamp": 3.0}, operator=operator, shape=(3, 1, 7, 6)),
    ]


def cross_entropy() -> list[Example]:
    """Twenty-one classes, some pixels without a label."""
    return [
        Example(inputs=_labelled),
        Example(params={"weight": [1.0] * 20 + [0.5], "label_smoothing": 0.1}, inputs=_labelled),
    ]


def _labelled(generator: torch.Generator, dtype: torch.dtype) -> Mapping[str, Tensor]:
    labels = torch.randint(0, 21, (2, 1, 5, 7), generator=generator)
    labels[:, :, :2] = 255
    return {"prediction": torch.randn(2, 21, 5, 7, generator=generator, dtype=dtype), "target": labels}


def measurement_consistency() -> list[Example]:
    """Undersampled k-space, squares and absolute values."""
    operator = {"use": "fourier", "mask": [1, 0, 1, 1, 0, 1]}
    return [
        Example(operator=operator, shape=(2, 1, 5, 6), complex=True),
        Example(params={"norm": "l1"}, operator=operator, shape=(3, 2, 4, 6), complex=True),
    ]


def measurement_splitting() -> list[Example]:
    """Undersampled k-space, split by columns."""
    operator = {"use": "fourier", "mask": [1, 0, 1, 1, 0, 1, 1, 1, 1]}
    return [
        Example(operator=operator, shape=(2, 1, 8, 9), complex=True),
        Example(params={"keep_center": 2, "norm": "l1"}, operator=operator, shape=(3, 1, 4, 9), complex=True),
        Example(
            params={"grid": "points", "selection": "gaussian", "norm": "l1_l2", "keep_center": 2},
            operator={"use": "multicoil_fourier", "maps": {"coils": 3}, "mask": [1, 0, 1, 1, 0, 1, 1, 1, 1]},
            shape=(2, 1, 8, 9),
            complex=True,
            name="SSDU",
        ),
    ]
