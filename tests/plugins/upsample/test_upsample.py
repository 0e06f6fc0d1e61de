from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import recon
from recon.errors import UsageError
from recon_plugins.upsample import Upsample


def randn(*shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=dtype)


def keys(t: float) -> float:
    """Keys' cubic convolution kernel with a = -1/2, equation (4) of the paper."""
    t = abs(t)
    if t <= 1:
        return 1.5 * t**3 - 2.5 * t**2 + 1
    return -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2 if t < 2 else 0.0


def imresize_matrix(n: int, factor: int) -> np.ndarray:
    """MATLAB's imresize by a whole factor along one axis, from its definition; the border mirrors the image."""
    matrix = np.zeros((n * factor, n))
    for k in range(n * factor):
        centre = (k + 0.5) / factor - 0.5
        for p in range(math.floor(centre) - 1, math.floor(centre) + 3):
            folded = p % (2 * n)
            matrix[k, folded if folded < n else 2 * n - 1 - folded] += keys(centre - p)
    return matrix


@pytest.mark.parametrize("factor", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [(9, 7), (2, 1)])
def test_bicubic_is_imresize_from_its_definition(size: tuple[int, int], factor: int) -> None:
    x = randn(2, 1, *size)
    rows, columns = (torch.from_numpy(imresize_matrix(n, factor)) for n in size)
    operator = Upsample(size=size, factor=factor)
    torch.testing.assert_close(operator(x), rows @ x @ columns.T, rtol=0, atol=2e-14)
    torch.testing.assert_close(operator.H.matrix(), torch.kron(rows, columns).T, rtol=0, atol=2e-14)


@pytest.mark.parametrize(("size", "mode"), [((5,), "linear"), ((5, 4), "bilinear"), ((2, 3, 4), "trilinear")])
@pytest.mark.parametrize("factor", [2, 3])
def test_linear_and_nearest_are_torchs(size: tuple[int, ...], mode: str, factor: int) -> None:
    x = randn(2, 3, *size)
    linear = F.interpolate(x, scale_factor=factor, mode=mode, align_corners=False)
    torch.testing.assert_close(Upsample(size=size, factor=factor, method="bilinear")(x), linear)
    nearest = Upsample(size=size, factor=factor, method="nearest")
    expected = x
    for axis in range(2, x.ndim):
        expected = expected.repeat_interleave(factor, axis)
    assert torch.equal(nearest(x), expected)
    torch.testing.assert_close(nearest.H.matrix(), nearest.matrix().T)
    torch.testing.assert_close(nearest.adjoint(nearest(x)), x * factor ** len(size))


@pytest.mark.parametrize("method", ["nearest", "bilinear", "bicubic"])
def test_down_after_up_and_complex_images(method: str) -> None:
    operator = Upsample(size=(5, 4), factor=3, method=method)
    x = randn(2, 1, 5, 4, dtype=torch.complex128)
    torch.testing.assert_close(operator(x), torch.complex(operator(x.real), operator(x.imag)))
    # Constants stay, and so do interpolated samples: with an odd factor they lie on the centres.
    torch.testing.assert_close(operator(torch.ones(1, 1, 5, 4)), torch.ones(1, 1, 15, 12))
    torch.testing.assert_close(operator(x)[..., 1::3, 1::3], x)


def test_averages_and_repeats_are_adjoint_up_to_the_block_size() -> None:
    up = recon.build("operator", "upsample", size=[3, 2], factor=2, method="nearest")
    down = recon.build("operator", "downsample", size=[6, 4], factor=2)
    torch.testing.assert_close(down.matrix(), up.matrix().T / 4)
    torch.testing.assert_close((down @ up).matrix(), torch.eye(6, dtype=torch.float64))


def test_images_of_another_size_are_refused() -> None:
    with pytest.raises(UsageError, match=r"Upsample takes a tensor \(batch, any, 6, 4\), got \(1, 1, 4, 6\)"):
        Upsample(size=(6, 4), factor=2)(torch.zeros(1, 1, 4, 6))
