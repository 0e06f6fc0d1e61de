from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.ndimage
import torch
from torch import Tensor

import recon
from recon.errors import ParameterError, UsageError
from recon_plugins.convolution import Convolution, GaussianBlur


def randn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def source(index: int, n: int, boundary: str) -> int | None:
    """Where the sample at `index`, maybe outside of 0 ... n - 1, comes from."""
    if 0 <= index < n:
        return index
    if boundary == "zero":
        return None
    if boundary == "circular":
        return index % n
    return -index if index < 0 else 2 * (n - 1) - index


def matrix_from_the_definition(
    kernel: np.ndarray, size: tuple[int, int], stride: int, pads: tuple, boundary: str
) -> Tensor:
    """The convolution's matrix, entry by entry."""
    out_channels, in_channels, *lengths = kernel.shape
    results = [(n + sum(p) - k) // stride + 1 for n, p, k in zip(size, pads, lengths, strict=True)]
    matrix = np.zeros((out_channels, *results, in_channels, *size), kernel.dtype)
    for i, j in np.ndindex(*results):
        for u, v in np.ndindex(*lengths):
            row = source(stride * i + u - pads[0][0], size[0], boundary)
            column = source(stride * j + v - pads[1][0], size[1], boundary)
            if row is not None and column is not None:
                matrix[:, i, j, :, row, column] += kernel[:, :, u, v]
    return torch.from_numpy(matrix.reshape(out_channels * results[0] * results[1], -1))


CASES = list(
    itertools.product([(3, 3), (2, 5), (1, 4)], [1, 2, 3], ["same", "valid", 1, 2], ["zero", "circular", "reflect"])
)


@pytest.mark.parametrize(("lengths", "stride", "padding", "boundary"), CASES)
def test_adjoint_is_the_transposed_matrix(
    lengths: tuple[int, int], stride: int, padding: str | int, boundary: str
) -> None:
    size, kernel = (5, 6), randn(2, 3, *lengths)
    operator = Convolution(size=size, kernel=kernel, stride=stride, padding=padding, boundary=boundary)
    pads = tuple({"same": ((k - 1) // 2, k // 2), "valid": (0, 0)}.get(padding, (padding, padding)) for k in lengths)
    expected = matrix_from_the_definition(kernel.numpy(), size, stride, pads, boundary)
    torch.testing.assert_close(operator.matrix(), expected)
    torch.testing.assert_close(operator.H.matrix(), expected.T)
    assert operator.output_shape == tuple(operator(randn(1, *operator.input_shape)).shape[1:])


def test_complex_kernels_have_the_conjugate_transpose() -> None:
    kernel = randn(2, 1, 3, 2, dtype=torch.complex128)
    operator = Convolution(size=(4, 5), kernel=kernel, stride=2, boundary="circular")
    expected = matrix_from_the_definition(kernel.numpy(), (4, 5), 2, ((1, 1), (0, 1)), "circular")
    torch.testing.assert_close(operator.matrix(), expected)
    torch.testing.assert_close(operator.H.matrix(), expected.mH.resolve_conj())
    assert torch.autograd.gradcheck(operator, randn(1, 1, 4, 5, dtype=torch.complex128).requires_grad_())


def test_adjoint_of_the_unpadded_map_is_torchs_transposed_convolution() -> None:
    kernel, y = randn(2, 3, 3, 3), randn(2, 2, 3, 3)
    operator = Convolution(size=(7, 7), kernel=kernel, stride=2, padding="valid")
    torch.testing.assert_close(operator.adjoint(y), torch.nn.functional.conv_transpose2d(y, kernel, stride=2))


def test_one_kernel_serves_every_channel() -> None:
    kernel, x = randn(3, 3), randn(2, 4, 6, 5)
    operator = Convolution(size=(6, 5), kernel=kernel)
    expected = torch.from_numpy(scipy.ndimage.correlate(x.numpy(), kernel.numpy()[None, None], mode="constant"))
    torch.testing.assert_close(operator(x), expected)
    assert operator.input_shape == (None, 6, 5)
    assert Convolution(size=(6, 5), kernel=kernel.tolist()).matrix().equal(operator.matrix())


@pytest.mark.parametrize(("boundary", "mode"), [("reflect", "mirror"), ("circular", "wrap"), ("zero", "constant")])
@pytest.mark.parametrize("sigma", [1.2, (0.7, 1.5)])
def test_gaussian_blur_is_scipys(boundary: str, mode: str, sigma: float | tuple) -> None:
    x = randn(2, 1, 16, 13)
    sigmas = sigma if isinstance(sigma, tuple) else (sigma, sigma)
    expected = scipy.ndimage.gaussian_filter(x.numpy(), (0, 0, *sigmas), mode=mode, truncate=4.0)
    operator = GaussianBlur(size=(16, 13), sigma=sigma, boundary=boundary)
    torch.testing.assert_close(operator(x), torch.from_numpy(expected))
    strided = operator.with_(stride=3)
    torch.testing.assert_close(strided(x), torch.from_numpy(expected)[..., ::3, ::3])


def test_blur_keeps_the_mean_and_precision() -> None:
    operator = GaussianBlur(size=(9, 9, 9), sigma=0.8)
    x = torch.ones(1, 1, 9, 9, 9)
    assert operator(x).dtype == torch.float32
    torch.testing.assert_close(operator(x), x)
    kernel = [[1.0, 0.1], [1 / 3, 0.7]]
    doubled = Convolution(size=(4, 4), kernel=kernel)(torch.eye(4, dtype=torch.float64)[None, None])
    assert 1 / 3 in doubled.flatten().tolist(), "the kernel's double precision is kept"


@pytest.mark.parametrize(("boundary", "n"), [("reflect", 4), ("circular", 3)])
def test_blurs_that_reach_too_far_are_refused(boundary: str, n: int) -> None:
    message = rf"sigma: 1.0 blurs over 4 pixels, too far for '{boundary}' on an axis of {n}: take 'zero'"
    with pytest.raises(ParameterError, match=message):
        recon.build("operator", "gaussian_blur", size=[20, n], sigma=1.0, boundary=boundary)
    assert GaussianBlur(size=(20, n + 1), sigma=1.0, boundary=boundary).sigma == 1.0
    with pytest.raises(ParameterError, match="needs one value or 2"):
        GaussianBlur(size=(20, 20), sigma=(1.0, 1.0, 1.0))


@pytest.mark.parametrize(
    ("params", "problem"),
    [
        ({"kernel": [1.0, 2.0]}, "kernel: has 1 axes; an image of 2 takes 2 or 4"),
        ({"kernel": [[1.0] * 9]}, None),
        # An axis is padded by what the kernel needs there: five samples here, although the other axis has but four.
        ({"kernel": [[1.0] * 11], "boundary": "reflect"}, None),
        ({"kernel": [[1.0] * 7], "padding": "valid"}, "larger than the padded image"),
        ({"kernel": [[1.0]], "padding": 5, "boundary": "reflect"}, "reflect padding of an axis of 4 reaches 3"),
        ({"kernel": [[1.0]], "padding": 5, "boundary": "circular"}, "circular padding of an axis of 4 reaches 4"),
        ({"kernel": [[1.0]], "stride": 0}, "stride"),
        ({"kernel": [[1.0, 2.0], [3.0]]}, "expected sequence of length"),
    ],
)
def test_parameters_that_do_not_fit_are_refused(params: dict, problem: str | None) -> None:
    if problem is None:
        assert recon.build("operator", "convolution", size=[4, 6], **params).output_shape == (None, 4, 6)
        return
    with pytest.raises(ParameterError, match=problem):
        recon.build("operator", "convolution", size=[4, 6], **params)


def test_images_of_another_size_are_refused() -> None:
    operator = Convolution(size=(4, 6), kernel=[[1.0]], stride=2)
    with pytest.raises(UsageError, match=r"takes a tensor \(batch, any, 4, 6\)"):
        operator(torch.zeros(1, 1, 4, 5))
    with pytest.raises(UsageError, match=r"takes a tensor \(batch, any, 2, 3\)"):
        operator.adjoint(torch.zeros(1, 1, 4, 6))
