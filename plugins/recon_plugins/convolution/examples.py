"""Small cases for the conformance kit."""

import torch

from recon.testing import Example


def convolution() -> list[Example]:
    """Strides, paddings and boundaries, one and several channels, real and complex kernels."""
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(2, 3, 3, 2, generator=generator, dtype=torch.float64)
    rotating = torch.randn(3, 2, generator=generator, dtype=torch.complex128)
    kernel = [[0.5, 1.0, -2.0], [0.0, 3.0, 1.0]]
    return [
        Example(params={"size": [5, 4], "kernel": kernel}, shape=(2, 3, 5, 4), name="same"),
        Example(
            params={"size": [7, 6], "kernel": matrix, "stride": 2, "padding": 1}, shape=(2, 3, 7, 6), name="strided"
        ),
        Example(
            params={"size": [5, 4], "kernel": kernel, "boundary": "circular"},
            shape=(2, 1, 5, 4),
            complex=True,
            name="circular",
        ),
        Example(
            params={"size": [4, 7], "kernel": kernel, "stride": 2, "boundary": "reflect"},
            shape=(2, 2, 4, 7),
            name="reflect",
        ),
        Example(
            params={"size": [5, 4], "kernel": rotating, "padding": "valid"},
            shape=(2, 2, 5, 4),
            complex=True,
            name="complex kernel",
        ),
        Example(params={"size": [9], "kernel": [1.0, -1.0], "stride": 2}, shape=(2, 2, 9), name="1-D"),
        Example(params={"size": [3, 4, 5], "kernel": [[[1.0, 2.0]], [[0.0, -1.0]]]}, shape=(2, 1, 3, 4, 5), name="3-D"),
    ]


def gaussian_blur() -> list[Example]:
    """One sigma and one per axis."""
    return [
        Example(params={"size": [7, 6], "sigma": 0.8}, shape=(2, 2, 7, 6), name="mirrored"),
        Example(
            params={"size": [7, 6], "sigma": [1.0, 0.5], "stride": 2, "boundary": "zero"},
            shape=(2, 1, 7, 6),
            complex=True,
            name="strided",
        ),
    ]
