from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import recon
from recon.errors import ParameterError, UsageError
from recon_plugins.downsample import Downsample


def randn(*shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=dtype)


def keys(t: float) -> float:
    """Keys' cubic convolution kernel with a = -1/2, equation (4) of the paper."""
    t = abs(t)
    if t <= 1:
        return 1.5 * t**3 - 2.5 * t**2 + 1
    return -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2 if t < 2 else 0.0


def imresize_matrix(n: int, scale: float) -> np.ndarray:
    """MATLAB's imresize along one axis, from its definition.

    Counted from 1, output k sits at u = k / scale + (1 - 1 / scale) / 2; the kernel is stretched by 1 / scale when the
    image shrinks, the weights sum to 1, and the border mirrors the image.
    """
    stretch = max(1.0, 1 / scale)
    matrix = np.zeros((math.ceil(n * scale - 1e-9), n))
    for k in range(matrix.shape[0]):
        centre = (k + 1) / scale + 0.5 * (1 - 1 / scale)
        positions = range(math.floor(centre - 2 * stretch), math.ceil(centre + 2 * stretch) + 1)
        weights = {p: keys((centre - p) / stretch) for p in positions}
        for p, weight in weights.items():
            folded = (p - 1) % (2 * n)
            matrix[k, folded if folded < n else 2 * n - 1 - folded] += weight / sum(weights.values())
    return matrix


@pytest.mark.parametrize("factor", [1, 2, 3, 4, 5, 8])
@pytest.mark.parametrize("size", [(24, 17), (7, 3), (40, 1)])
def test_bicubic_is_imresize_from_its_definition(size: tuple[int, int], factor: int) -> None:
    x = randn(2, 1, *size)
    rows, columns = (torch.from_numpy(imresize_matrix(n, 1 / factor)) for n in size)
    operator = Downsample(size=size, factor=factor, method="bicubic")
    torch.testing.assert_close(operator(x), rows @ x @ columns.T, rtol=0, atol=4e-14)
    assert operator.output_shape[1:] == (math.ceil(size[0] / factor), math.ceil(size[1] / factor))
    torch.testing.assert_close(operator.H.matrix(), torch.kron(rows, columns).T, rtol=0, atol=1e-14)


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_bicubic_is_torchs_antialiased_resize_inside_the_border(factor: int) -> None:
    x = randn(1, 2, 12 * factor, 8 * factor)
    torchs = F.interpolate(x, size=(12, 8), mode="bicubic", antialias=True, align_corners=False)
    ours = Downsample(size=x.shape[-2:], factor=factor, method="bicubic")(x)
    torch.testing.assert_close(ours[..., 2:-2, 2:-2], torchs[..., 2:-2, 2:-2], rtol=0, atol=1e-14)
    assert not torch.allclose(ours[..., 0, :], torchs[..., 0, :]), "torch renormalises at the border, MATLAB mirrors"


def test_a_ramp_stays_a_ramp_inside() -> None:
    ramp = torch.arange(48, dtype=torch.float64).expand(1, 1, 48, 48)
    y = Downsample(size=(48, 48), factor=3, method="bicubic")(ramp)
    centres = torch.arange(16, dtype=torch.float64) * 3 + 1
    torch.testing.assert_close(y[0, 0, 5, 2:-2], centres[2:-2])


@pytest.mark.parametrize("size", [(6,), (6, 9), (3, 6, 9)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_average_is_the_mean_over_blocks(size: tuple[int, ...], dtype: torch.dtype) -> None:
    x = randn(2, 3, *size, dtype=dtype)
    operator = Downsample(size=size, factor=3)
    y = operator(x)
    for index in np.ndindex(*(n // 3 for n in size)):
        block = x[(..., *(slice(3 * i, 3 * i + 3) for i in index))]
        torch.testing.assert_close(y[(..., *index)], block.flatten(2).mean(-1))
    spread = operator.adjoint(y)
    for index in np.ndindex(*size):
        torch.testing.assert_close(spread[(..., *index)], y[(..., *(i // 3 for i in index))] / 3 ** len(size))
    # Rows of the matrix are orthogonal, each of squared norm r^-d.
    torch.testing.assert_close(operator(spread), y / 3 ** len(size))
    assert operator.norm(iterations=5) == pytest.approx(3 ** (-len(size) / 2))


@pytest.mark.parametrize("method", ["average", "bicubic"])
def test_constants_stay_and_single_precision_is_single(method: str) -> None:
    operator = Downsample(size=(12, 8), factor=4, method=method)
    y = operator(torch.full((2, 1, 12, 8), 7.0))
    assert y.dtype == torch.float32
    torch.testing.assert_close(y, torch.full((2, 1, 3, 2), 7.0))


def test_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ParameterError, match=r"factor: 2 does not divide the size \(5, 4\): crop the image, or take"):
        recon.build("operator", "downsample", size=[5, 4], factor=2)
    with pytest.raises(UsageError, match=r"Downsample takes a tensor \(batch, any, 6, 4\), got \(1, 1, 4, 6\)"):
        Downsample(size=(6, 4), factor=2)(torch.zeros(1, 1, 4, 6))
    with pytest.raises(UsageError, match=r"\(batch, any, 3, 2\)"):
        Downsample(size=(6, 4), factor=2).adjoint(torch.zeros(1, 1, 6, 4))
    with pytest.raises(ParameterError, match="method"):
        recon.build("operator", "downsample", size=[6, 4], factor=2, method="lanczos")
