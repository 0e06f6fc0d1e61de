from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pytest
import torch

import recon
from recon.errors import ParameterError, UsageError
from recon_plugins.radon import Radon


def randn(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def joseph_in_plain_python(size, theta, positions, pixel) -> np.ndarray:
    """Joseph's model straight from its definition, ray by ray in mm, sharing nothing with the code under test."""
    height, width = size
    x = [(j - (width - 1) / 2) * pixel for j in range(width)]
    y = [((height - 1) / 2 - i) * pixel for i in range(height)]
    matrix = np.zeros((len(theta), len(positions), height, width))
    for a, angle in enumerate(theta):
        normal = (math.cos(angle), math.sin(angle))
        for b, t in enumerate(positions):
            if abs(normal[0]) >= abs(normal[1]):
                for i in range(height):
                    hit = (t - y[i] * normal[1]) / normal[0]
                    for j in range(width):
                        matrix[a, b, i, j] = max(0, 1 - abs(hit - x[j]) / pixel) * pixel / abs(normal[0])
            else:
                for j in range(width):
                    hit = (t - x[j] * normal[0]) / normal[1]
                    for i in range(height):
                        matrix[a, b, i, j] = max(0, 1 - abs(hit - y[i]) / pixel) * pixel / abs(normal[1])
    return matrix.reshape(len(theta) * len(positions), height * width)


def ellipse_image(size, pixel, a, b, centre, tilt=0.0, oversample=8) -> torch.Tensor:
    """The mean over each pixel of an ellipse with half axes a, b (mm) about centre (x, y, mm; y up)."""
    height, width = size
    fine = pixel / oversample
    x = (torch.arange(width * oversample, dtype=torch.float64) - (width * oversample - 1) / 2) * fine - centre[0]
    y = ((height * oversample - 1) / 2 - torch.arange(height * oversample, dtype=torch.float64))[
        :, None
    ] * fine - centre[1]
    u, v = x * math.cos(tilt) + y * math.sin(tilt), y * math.cos(tilt) - x * math.sin(tilt)
    inside = ((u / a) ** 2 + (v / b) ** 2 <= 1).double()
    return torch.nn.functional.avg_pool2d(inside[None, None], oversample)


def ellipse_sinogram(radon: Radon, a, b, centre, tilt=0.0, samples=16) -> torch.Tensor:
    """Its line integrals, averaged over each bin: Kak and Slaney, Principles of CT Imaging, equation 3.5."""
    theta = radon.theta[:, None, None]
    inner = ((torch.arange(samples, dtype=torch.float64) + 0.5) / samples - 0.5) * radon.spacing
    t = radon.positions[:, None] + inner - centre[0] * theta.cos() - centre[1] * theta.sin()
    width = a**2 * (theta - tilt).cos() ** 2 + b**2 * (theta - tilt).sin() ** 2
    return (2 * a * b * (width - t**2).clamp(min=0).sqrt() / width).mean(-1)[None, None]


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(torch.linalg.vector_norm(a - b) / torch.linalg.vector_norm(b))


@pytest.mark.parametrize(
    "params",
    [
        {"size": (6, 6), "angles": 7},
        {"size": (5, 8), "angles": 5, "pixel": 0.3},
        {"size": (8, 5), "angles": [0.0, math.pi / 2, math.pi, -2.0, 6.0], "bins": 4, "bin_size": 1.2},
        {"size": (1, 7), "angles": 3, "bins": 1},
    ],
)
def test_equals_an_independent_dense_matrix(params: dict) -> None:
    radon = Radon(**params)
    expected = joseph_in_plain_python(params["size"], radon.theta.tolist(), radon.positions.tolist(), radon.pixel)
    np.testing.assert_allclose(radon.matrix().numpy(), expected, atol=1e-12)
    adjoint = radon.H.matrix()
    np.testing.assert_allclose(adjoint.numpy(), expected.T, atol=1e-12)


def test_rays_per_bin_average_over_the_bin() -> None:
    params = {"size": (7, 6), "angles": 5, "bins": 4, "bin_size": 2.0}
    radon = Radon(**params, rays_per_bin=3)
    centres = radon.positions[:, None] + torch.tensor([-2 / 3, 0, 2 / 3], dtype=torch.float64)
    dense = joseph_in_plain_python((7, 6), radon.theta.tolist(), centres.flatten().tolist(), 1.0)
    expected = dense.reshape(5, 4, 3, 42).mean(2).reshape(20, 42)
    np.testing.assert_allclose(radon.matrix().numpy(), expected, atol=1e-12)
    # By default a bin of 2 pixels gets 4 rays.
    assert relative(Radon(**params).matrix(), Radon(**params, rays_per_bin=4).matrix()) == 0


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float32, 1e-6), (torch.float64, 1e-12), (torch.complex64, 1e-6), (torch.complex128, 1e-12)],
)
@pytest.mark.parametrize("size", [(33, 20), (24, 24), (15, 31)])
def test_adjoint_is_matched(dtype: torch.dtype, tolerance: float, size: tuple[int, int]) -> None:
    radon = Radon(size=size, angles=13, pixel=0.7, bin_size=0.9)
    x, y = randn(2, 3, *size, dtype=dtype), randn(2, 3, 13, len(radon.positions), dtype=dtype, seed=1)
    ax, aty = radon(x), radon.adjoint(y)
    assert ax.dtype == aty.dtype == dtype
    high = torch.complex128 if dtype.is_complex else torch.float64
    gap = torch.vdot(y.to(high).flatten(), ax.to(high).flatten()) - torch.vdot(
        aty.to(high).flatten(), x.to(high).flatten()
    )
    assert abs(gap) <= tolerance * torch.linalg.vector_norm(ax) * torch.linalg.vector_norm(y)


def test_conventions_with_an_asymmetric_phantom() -> None:
    x = torch.zeros(1, 1, 4, 6, dtype=torch.float64)
    x[0, 0, 0, 5] = 1  # top right
    x[0, 0, 3, 1] = 2  # bottom, second from the left
    radon = Radon(size=(4, 6), angles=[0.0, math.pi / 2, math.pi, 3 * math.pi / 2], pixel=0.5, bins=6)
    right, up, left, down = radon(x)[0, 0]
    columns, rows = x[0, 0].sum(0) * 0.5, x[0, 0].sum(1) * 0.5
    torch.testing.assert_close(right, columns)
    torch.testing.assert_close(left, columns.flip(0))
    torch.testing.assert_close(up[1:5], rows.flip(0))
    torch.testing.assert_close(down[1:5], rows)


def test_angles_turn_counterclockwise() -> None:
    """A point at angle phi about the centre appears at t = r in the view of that angle."""
    x = torch.zeros(1, 1, 21, 21, dtype=torch.float64)
    x[0, 0, 10 - 6, 10 + 6] = 1
    radon = Radon(size=(21, 21), angles=[math.pi / 4], bin_size=0.01)
    y = radon(x)[0, 0, 0]
    assert float((y * radon.positions).sum() / y.sum()) == pytest.approx(6 * 2**0.5, abs=1e-4)


@pytest.mark.parametrize(
    ("size", "pixel", "bin_size"),
    [((96, 96), 0.5, None), ((80, 120), 0.5, 0.6), ((64, 64), 2.0, 1.5), ((97, 71), 1.0, 3.0)],
)
def test_analytic_ellipse_in_mm(size: tuple[int, int], pixel: float, bin_size: float | None) -> None:
    radon = Radon(size=size, angles=31, pixel=pixel, bin_size=bin_size)
    scale = pixel * min(size)
    shape = {"a": 0.3 * scale, "b": 0.2 * scale, "centre": (0.1 * scale, -0.07 * scale), "tilt": 0.5}
    y = radon(ellipse_image(size, pixel, **shape))
    expected = ellipse_sinogram(radon, **shape)
    assert relative(y, expected) < 0.012
    # Every view sees the whole area: the sum over its bins, times their width, is in mm^2.
    area = math.pi * shape["a"] * shape["b"]
    torch.testing.assert_close(y.sum(-1) * radon.spacing, torch.full((1, 1, 31), area).double(), rtol=0.02, atol=0)


def test_agrees_with_scikit_image() -> None:
    """skimage turns about pixel n // 2 and counts its angles likewise; on odd sizes that is our centre."""
    from skimage.transform import radon as skimage_radon

    size = 65
    x = torch.nn.functional.avg_pool2d(ellipse_image((size, size), 1.0, 20, 9, (4, -6), 0.7), 5, 1, 2)
    degrees = np.arange(0, 180, 7.5)
    expected = skimage_radon(x[0, 0].numpy(), degrees, circle=True)
    y = Radon(size=(size, size), angles=np.radians(degrees).tolist(), bins=size)(x)
    assert relative(y[0, 0], torch.from_numpy(expected.T.copy())) < 0.01


def test_default_detector_sees_the_whole_image() -> None:
    for size, spacing in (((16, 16), None), ((7, 30), 0.4), ((9, 9), 2.0)):
        radon = Radon(size=size, angles=12, bin_size=spacing)
        wide = Radon(size=size, angles=12, bin_size=spacing, bins=len(radon.positions) + 10)
        x = ellipse_image(size, 1.0, size[1] / 2, size[0] / 2, (0, 0))
        torch.testing.assert_close(radon(x).sum(-1), wide(x).sum(-1))
    assert len(Radon(size=(3, 4), angles=1, pixel=0.2, bin_size=0.2).positions) == 5


def test_gradients_of_any_order() -> None:
    radon = Radon(size=(3, 4), angles=3)
    x, y = randn(1, 1, 3, 4).requires_grad_(), randn(1, 1, 3, 5).requires_grad_()
    assert torch.autograd.gradcheck(radon, x)
    assert torch.autograd.gradcheck(radon.adjoint, y)
    assert torch.autograd.gradgradcheck(lambda x: radon(x) ** 2, x)
    (gradient,) = torch.autograd.grad(radon(x), x, y)
    assert torch.equal(gradient, radon.adjoint(y))


def test_half_precision_is_computed_and_returned_in_single() -> None:
    radon = Radon(size=(5, 5), angles=3)
    x = randn(1, 1, 5, 5, dtype=torch.float32).bfloat16()
    assert radon(x).dtype == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(radon(x.float()), radon(x), rtol=1e-6, atol=1e-6)


def test_tables_are_kept_out_of_pickles_copies_and_state() -> None:
    radon = Radon(size=(64, 64), angles=30)
    x = randn(1, 1, 64, 64)
    y = radon(x)
    data = pickle.dumps(radon)
    assert len(data) < 10_000
    assert not radon.state_dict()
    for other in (pickle.loads(data), copy.deepcopy(radon), radon.with_()):
        assert torch.equal(other(x), y)
    assert radon.with_(size=(32, 32)).output_shape == (None, 30, 46)
    assert "angles=30" in repr(radon)


def test_complex_images_are_two_real_ones() -> None:
    radon = Radon(size=(6, 7), angles=4)
    x = randn(2, 1, 6, 7, dtype=torch.complex128)
    torch.testing.assert_close(radon(x), torch.complex(radon(x.real), radon(x.imag)))


def test_degrees_are_recognised() -> None:
    with pytest.raises(UsageError, match="look like degrees"):
        Radon(size=(8, 8), angles=list(range(180)))
    Radon(size=(8, 8), angles=[0.0, 2 * math.pi])
    with pytest.raises(UsageError, match="finite"):
        Radon(size=(8, 8), angles=[math.nan])
    with pytest.raises(UsageError, match="number of views"):
        Radon(size=(8, 8), angles=[])


def test_tables_too_large_are_refused_before_they_are_made() -> None:
    with pytest.raises(UsageError, match=r"GiB.*fewer views"):
        Radon(size=(512, 512), angles=720, backend="sparse")(torch.zeros(1, 1, 512, 512))


def test_estimate_of_the_table_is_close() -> None:
    from recon_plugins.radon.rays import joseph_matrix, matrix_entries, ray_table

    for size, pixel, spacing in (((64, 64), 1.0, 1.0), ((40, 90), 0.5, 0.6), ((50, 30), 1.0, 0.3)):
        radon = Radon(size=size, angles=17, pixel=pixel, bin_size=spacing)
        rays = ray_table(radon.geometry, radon.grid)
        entries = len(joseph_matrix(rays, size, torch.float32)[1])
        assert entries <= matrix_entries(rays, size) <= 1.15 * entries


def test_built_by_name_and_misuse_explained() -> None:
    radon = recon.build("operator", "radon", size=[4, 6], angles=[0, 1.5])
    assert radon.output_shape == (None, 2, 8)
    with pytest.raises(UsageError, match=r"must end in \(4, 6\)"):
        radon(torch.zeros(1, 1, 6, 4))
    with pytest.raises(UsageError, match=r"must end in \(2, 8\)"):
        radon.adjoint(torch.zeros(1, 2, 9))
    with pytest.raises(ParameterError, match="size"):
        recon.build("operator", "radon", size=[0, 6], angles=3)
