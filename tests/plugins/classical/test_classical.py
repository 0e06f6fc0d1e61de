from __future__ import annotations

import pickle
from itertools import pairwise

import numpy as np
import pytest
import torch

import recon
from recon.differences import differences, differences_adjoint, total_variation
from recon.errors import ParameterError, UsageError
from recon.operators import Identity, LinearOperator, Operator
from recon_plugins.classical import AdjointMethod, PinvMethod, TVMethod


def randn(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


class Dense(LinearOperator):
    """A matrix on flattened images."""

    def __init__(self, matrix: torch.Tensor, size: tuple[int, ...]) -> None:
        super().__init__()
        self.entries, self.size = matrix, size

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1) @ self.entries.T

    def adjoint(self, y: torch.Tensor) -> torch.Tensor:
        return (y @ self.entries.conj()).reshape(-1, *self.size)


class Noisy(Operator):
    stochastic = True

    def __init__(self, operator: Operator) -> None:
        super().__init__()
        self.operator = operator

    def forward(self, x: torch.Tensor, *, generator: torch.Generator | None = None) -> torch.Tensor:
        y = self.operator(x)
        return y + torch.randn(y.shape, generator=generator)

    @property
    def noiseless(self) -> Operator:
        return self.operator


def phantom(n: int = 24) -> torch.Tensor:
    from skimage.data import shepp_logan_phantom
    from skimage.transform import resize

    return torch.from_numpy(resize(shepp_logan_phantom(), (n, n), anti_aliasing=True))[None, None]


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(torch.linalg.vector_norm(a - b) / torch.linalg.vector_norm(b))


def primal_dual(matrix, y, size, weight, nonnegative, iterations=8000) -> np.ndarray:
    """Chambolle and Pock's algorithm in NumPy, for these tests: another algorithm, dense matrices throughout."""
    height, width = size
    down, right = [], []
    for i in range(height):
        for j in range(width):
            for target, (k, l) in ((down, (i + 1, j)), (right, (i, j + 1))):
                row = np.zeros((height, width))
                if k < height and l < width:
                    row[k, l], row[i, j] = 1, -1
                target.append(row.ravel())
    gradient = np.array(down + right)
    norm = np.linalg.norm(np.vstack([matrix, gradient]), 2)
    tau = sigma = 0.99 / norm
    x = bar = np.zeros(matrix.shape[1], dtype=np.result_type(matrix, y))
    p, q = np.zeros(len(gradient), dtype=x.dtype), np.zeros_like(y)
    for _ in range(iterations):
        q = (q + sigma * (matrix @ bar - y)) / (1 + sigma)
        p = p + sigma * gradient @ bar
        modulus = np.sqrt((np.abs(p.reshape(2, -1)) ** 2).sum(0))
        p = (p.reshape(2, -1) / np.maximum(1, modulus / weight)).ravel()
        new = x - tau * (matrix.conj().T @ q + gradient.T @ p)
        if nonnegative:
            new = np.maximum(new.real, 0)
        x, bar = new, 2 * new - x
    return x


# Total variation itself


def test_total_variation_by_hand() -> None:
    x = torch.tensor([[[[0.0, 3.0], [4.0, 0.0]]]])
    assert total_variation(x).tolist() == [5 + 3 + 4]
    assert total_variation(x * 1j).tolist() == [12]
    assert total_variation(torch.ones(2, 3, 4, 5, 6)).tolist() == [0, 0]
    volume = torch.zeros(1, 1, 3, 3, 3)
    volume[0, 0, 1, 1, 1] = 2
    assert float(total_variation(volume)) == pytest.approx(2 * 3**0.5 + 2 * 3)


def test_denoising_equals_scikit_image() -> None:
    from skimage.restoration import denoise_tv_chambolle

    y = phantom(24) + 0.1 * randn(1, 1, 24, 24)
    expected = denoise_tv_chambolle(y[0, 0].numpy(), weight=0.12, eps=1e-12, max_num_iter=4000)
    x = TVMethod(weight=0.12, iterations=30, inner_iterations=40)(y, Identity())
    torch.testing.assert_close(x[0, 0], torch.from_numpy(expected), rtol=0, atol=5e-4)


def test_two_pixels_in_closed_form() -> None:
    y = torch.tensor([[[[1.0, 4.0]]]], dtype=torch.float64)
    torch.testing.assert_close(TVMethod(weight=0.5)(y, Identity()), torch.tensor([[[[1.5, 3.5]]]]).double())
    torch.testing.assert_close(TVMethod(weight=9.0)(y, Identity()), torch.tensor([[[[2.5, 2.5]]]]).double())
    x = TVMethod(weight=0.5, constraint="nonnegative")(y - 3, Identity())
    torch.testing.assert_close(x, torch.tensor([[[[0, 0.5]]]]).double())


@pytest.mark.parametrize(
    ("dtype", "constraint", "weight"),
    [
        (torch.float64, "none", 0.03),
        (torch.complex128, "none", 0.5),
        (torch.float64, "nonnegative", 0.5),
        (torch.complex128, "nonnegative", 0.03),
    ],
)
def test_solution_equals_an_independent_solver(dtype: torch.dtype, constraint: str, weight: float) -> None:
    size = (5, 4)
    matrix = randn(14, 20, dtype=dtype, seed=1)
    y = randn(1, 14, dtype=dtype, seed=2)
    expected = primal_dual(matrix.numpy(), y[0].numpy(), size, weight, constraint == "nonnegative")
    operator = Dense(matrix, (1, *size))
    method = TVMethod(weight=weight, iterations=700, constraint=constraint)
    x = method(y, operator)
    reference = torch.from_numpy(expected).reshape(1, 1, *size)
    assert x.dtype == (torch.float64 if constraint == "nonnegative" else dtype)
    gap = method.objective(x.to(dtype), y, operator) / method.objective(reference.to(dtype), y, operator) - 1
    assert abs(float(gap)) < 5e-6
    assert relative(x, reference) < 2e-3


OPERATORS = {
    "radon": ({"use": "radon", "size": [24, 24], "angles": 15, "pixel": 0.5}, 0.003),
    "fourier": ({"use": "fourier", "mask": {"acceleration": 3, "center_fraction": 0.15}}, 0.002),
    "coils": ({"use": "multicoil_fourier", "maps": {"coils": 4}, "mask": {"acceleration": 3}}, 0.002),
}


@pytest.mark.parametrize(
    ("name", "dtype"), [("radon", torch.float32), ("fourier", torch.float64), ("coils", torch.float32)]
)
def test_objective_falls_and_converges(name: str, dtype: torch.dtype) -> None:
    config, weight = OPERATORS[name]
    operator = recon.build("operator", config)
    y = operator(phantom().to(dtype))
    values = []
    for iterations in (1, 2, 3, 5, 8, 13, 20, 40, 150, 200):
        method = TVMethod(weight=weight, iterations=iterations)
        values.append(float(method.objective(method(y, operator), y, operator)))
    slack = 1e-12 if dtype == torch.float64 else 1e-5
    assert all(b <= a * (1 + slack) for a, b in pairwise(values))
    assert values[-2] <= values[-1] * 1.01
    assert values[-1] < 0.95 * values[0]


@pytest.mark.parametrize("name", OPERATORS)
def test_tv_beats_least_squares_on_a_phantom(name: str) -> None:
    config, weight = OPERATORS[name]
    operator = recon.build("operator", config)
    x = phantom()
    y = operator(x)
    tv = TVMethod(weight=weight, iterations=150, constraint="nonnegative")(y, operator)
    assert relative(tv, x) < 0.6 * relative(PinvMethod()(y, operator), x)


def test_single_precision_gets_as_far_as_double() -> None:
    """Steps are judged by the change of the objective; judged by its two values, single precision stops early."""
    operator = recon.build("operator", OPERATORS["radon"][0])
    y = operator(20 * phantom()) + 0.1 * randn(1, 1, 15, len(operator.positions))
    method = TVMethod(weight=0.05, iterations=150)
    values = [
        float(method.objective(method(y.to(d), operator).double(), y, operator)) for d in (torch.float32, y.dtype)
    ]
    assert values[0] == pytest.approx(values[1], rel=1e-5)


def test_weight_scales_with_the_image() -> None:
    operator = recon.build("operator", OPERATORS["radon"][0])
    y = operator(phantom())
    x = TVMethod(weight=0.01, iterations=20)(y, operator)
    torch.testing.assert_close(TVMethod(weight=0.05, iterations=20)(5 * y, operator) / 5, x)


def test_items_of_a_batch_are_independent() -> None:
    for config, weight in OPERATORS.values():
        operator = recon.build("operator", config)
        y = operator(torch.cat([phantom(), 0.3 * phantom().mT, torch.zeros(1, 1, 24, 24)]))
        for method in (TVMethod(weight=weight, iterations=25), PinvMethod(iterations=10, tolerance=0)):
            x = method(y, operator)
            torch.testing.assert_close(x[1:2], method(y[1:2], operator))
            assert (x[2] == 0).all()


def test_per_item_maps_and_masks() -> None:
    maps = randn(2, 3, 8, 9, dtype=torch.complex128)
    operator = recon.build("operator", "multicoil_fourier", maps=maps, mask=torch.rand(2, 1, 8, 9) < 0.7)
    x = randn(2, 1, 8, 9, dtype=torch.complex128)
    y = operator(x)
    assert relative(PinvMethod(iterations=200, tolerance=1e-9)(y, operator), x) < 1e-6
    assert TVMethod(weight=0.1, iterations=5)(y, operator).shape == x.shape


# The others


def test_adjoint_is_the_adjoint() -> None:
    operator = recon.build("operator", "fourier", mask=[1, 0, 1, 1])
    y = randn(2, 1, 5, 4, dtype=torch.complex128)
    assert torch.equal(AdjointMethod()(y, Noisy(operator)), operator.adjoint(y))


def test_magnitude_of_kspace_of_a_real_image() -> None:
    x = phantom()
    operator = recon.build("operator", "fourier")
    y = operator(x)
    for method in (AdjointMethod(output="magnitude"), AdjointMethod(output="real"), PinvMethod(output="magnitude")):
        result = method(y, operator)
        assert not result.is_complex()
        torch.testing.assert_close(result, x, rtol=0, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_pinv_equals_dense_least_squares(dtype: torch.dtype) -> None:
    for rows in (12, 30):
        matrix = randn(rows, 20, dtype=dtype)
        y = randn(3, rows, dtype=dtype, seed=1)
        operator = Dense(matrix, (1, 4, 5))
        x = PinvMethod(iterations=200, tolerance=1e-12)(y, operator).flatten(1)
        torch.testing.assert_close(x, y @ torch.linalg.pinv(matrix).T)
        damped = PinvMethod(iterations=200, tolerance=1e-12, damping=0.7)(y, operator).flatten(1)
        gram = matrix.mH @ matrix + 0.7 * torch.eye(20)
        torch.testing.assert_close(damped, torch.linalg.solve(gram, matrix.mH @ y.T).T)


def test_methods_are_values() -> None:
    for name, params in (("adjoint", {}), ("pinv", {"damping": 0.1}), ("tv", {"weight": 0.1})):
        method = recon.build("method", name, **params)
        assert pickle.loads(pickle.dumps(method)) == method
        assert name in repr(method).lower()
    with pytest.raises(ParameterError, match="weight: missing"):
        recon.build("method", "tv")
    with pytest.raises(ParameterError, match="output"):
        recon.build("method", "adjoint", output="phase")


def test_nonlinear_operators_are_refused() -> None:
    class Square(Operator):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x**2

    with pytest.raises(UsageError, match="linear"):
        TVMethod(weight=1.0)(torch.ones(1, 1, 2, 2), Square())


def test_differences_have_their_adjoint() -> None:
    x = randn(2, 3, 4, 5, 6, dtype=torch.complex128)
    d = differences(x)
    # The dual variables are zero where the differences are.
    p = randn(*d.shape, dtype=torch.complex128, seed=1)
    for axis in range(3):
        p[axis].select(axis + 2, -1).zero_()
    left = torch.vdot(p.flatten(), d.flatten())
    right = torch.vdot(differences_adjoint(p).flatten(), x.flatten())
    torch.testing.assert_close(left, right)
