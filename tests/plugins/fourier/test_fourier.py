from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

import recon
from recon.errors import ParameterError, UsageError
from recon.kspace import fft_centred, ifft_centred
from recon.operators import LinearOperator
from recon_plugins.fourier import Birdcage, ColumnSampling, Fourier, MulticoilFourier

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "fastmri_sampling.json").read_text())


def randn(*shape: int, dtype: torch.dtype = torch.complex128, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def numpy_fft(x: torch.Tensor, axes: int = 2) -> np.ndarray:
    dim = tuple(range(-axes, 0))
    return np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(x.numpy(), dim), axes=dim, norm="ortho"), dim)


def dft_matrix(n: int) -> torch.Tensor:
    """The centred orthonormal DFT, written out from its formula."""
    k = torch.arange(n, dtype=torch.float64) - n // 2
    return torch.exp(-2j * torch.pi * k[:, None] * k / n) / n**0.5


def test_centred_transform_equals_fastmri() -> None:
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(48.0), indexing="ij")
    k = torch.exp(1j * (0.3 * x + 0.05 * y**1.5)).to(torch.complex64)
    for function, name in ((fft_centred, "fft2c"), (ifft_centred, "ifft2c")):
        result = function(k)
        for point, (real, imag) in GOLDEN["fft"][name].items():
            i, j = map(int, point.strip("()").split(","))
            assert abs(result[i, j] - complex(real, imag)) < 2e-6


@pytest.mark.parametrize("size", [(6, 5), (7, 8)])
def test_transform_equals_its_formula(size: tuple[int, int]) -> None:
    x = randn(2, 3, *size)
    expected = torch.einsum("ij,bcjk,lk->bcil", dft_matrix(size[0]), x, dft_matrix(size[1]))
    torch.testing.assert_close(Fourier()(x), expected, rtol=0, atol=1e-13)


def test_delta_at_the_centre_becomes_a_constant() -> None:
    x = torch.zeros(1, 1, 6, 9)
    x[..., 3, 4] = 1
    torch.testing.assert_close(Fourier()(x), torch.full((1, 1, 6, 9), 1 / 54**0.5, dtype=torch.complex64))


@pytest.mark.parametrize("dimensions", [2, 3])
def test_masked_transform_equals_numpy(dimensions: int) -> None:
    x = randn(2, 2, 4, 7, 6) if dimensions == 3 else randn(2, 2, 7, 6)
    mask = randn(*x.shape[-dimensions:], dtype=torch.float64) > 0
    expected = np.where(mask.numpy(), numpy_fft(x, dimensions), 0)
    y = Fourier(mask=mask, dimensions=dimensions)(x)
    np.testing.assert_allclose(y.numpy(), expected, atol=1e-13)


@pytest.mark.parametrize("shape", [(10,), (1, 10), (7, 1), (7, 10), (2, 1, 7, 10), (1, 1, 1, 10), (1, 1), None])
@pytest.mark.parametrize("coils", [0, 3])
def test_folded_normal_is_exact(shape: tuple[int, ...] | None, coils: int) -> None:
    mask = None if shape is None else randn(*shape, dtype=torch.float64, seed=3) > -0.2
    operator = MulticoilFourier(maps=randn(coils, 7, 10), mask=mask) if coils else Fourier(mask=mask)
    x = randn(2, 1, 7, 10, seed=1)
    torch.testing.assert_close(operator.normal(x), operator.adjoint(operator(x)), rtol=0, atol=1e-13)


def test_folded_normal_of_a_volume_is_exact() -> None:
    x = randn(2, 1, 4, 5, 6)
    for shape in [(6,), (5, 6), (4, 1, 6), (4, 5, 6)]:
        operator = Fourier(mask=randn(*shape, dtype=torch.float64) > 0, dimensions=3)
        torch.testing.assert_close(operator.normal(x), operator.adjoint(operator(x)), rtol=0, atol=1e-13)


def test_column_masks_transform_along_one_axis_only(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[list[int]] = []
    fftn = torch.fft.fftn

    def spy(x: torch.Tensor, dim: list[int], norm: str = "backward") -> torch.Tensor:
        calls.append(list(dim))
        return fftn(x, dim=dim, norm=norm)

    monkeypatch.setattr(torch.fft, "fftn", spy)
    monkeypatch.setattr(torch.fft, "fftshift", None)
    Fourier(mask={"acceleration": 2}).normal(randn(1, 1, 8, 12))
    Fourier(mask=torch.ones(8, 12)).normal(randn(1, 1, 8, 12))
    Fourier().normal(randn(1, 1, 8, 12))
    assert calls == [[-1], [-2, -1]]
    calls.clear()
    MulticoilFourier(maps={"coils": 3}, mask={"acceleration": 2}).normal(randn(1, 1, 8, 12))
    MulticoilFourier(maps={"coils": 3}).normal(randn(1, 1, 8, 12))
    assert calls == [[-1], [-1]]  # there and back


def test_unmeasured_frequencies_are_positive_zero() -> None:
    y = Fourier(mask=[1, 0, 0, 1])(randn(2, 1, 5, 4))
    unmeasured = torch.view_as_real(y)[..., 1:3, :]
    assert (unmeasured == 0).all()
    assert not unmeasured.signbit().any()
    assert Fourier(mask=[1, 0, 0, 1]).adjoint(y).isfinite().all()


def test_masks_per_item() -> None:
    x = randn(2, 1, 5, 4)
    masks = randn(2, 1, 5, 4, dtype=torch.float64) > 0
    y = Fourier(mask=masks)(x)
    for i in range(2):
        torch.testing.assert_close(y[i], Fourier(mask=masks[i, 0])(x)[i])


def test_multicoil_equals_numpy_with_maps_per_item() -> None:
    x, maps = randn(2, 1, 7, 6), randn(2, 3, 7, 6, seed=1)
    mask = randn(6, dtype=torch.float64) > 0
    operator = MulticoilFourier(maps=maps, mask=mask)
    expected = np.where(mask.numpy(), numpy_fft(maps * x), 0)
    np.testing.assert_allclose(operator(x).numpy(), expected, atol=1e-13)
    shared = MulticoilFourier(maps=maps[1], mask=mask)
    torch.testing.assert_close(operator(x)[1], shared(x)[1])
    torch.testing.assert_close(operator.adjoint(operator(x))[1], shared.adjoint(shared(x))[1])


@pytest.mark.parametrize(("real", "complex_"), [(torch.float32, torch.complex64), (torch.float64, torch.complex128)])
def test_precision_is_that_of_the_image(real: torch.dtype, complex_: torch.dtype) -> None:
    tolerance = 1e-6 if real == torch.float32 else 1e-12
    for maps in (randn(3, 5, 6), randn(3, 5, 6, dtype=torch.complex64), {"coils": 3}):
        operator = MulticoilFourier(maps=maps, mask={"acceleration": 2})
        for x in (randn(2, 1, 5, 6, dtype=real), randn(2, 1, 5, 6, dtype=complex_)):
            y = operator(x)
            v = randn(*y.shape, dtype=complex_, seed=2)
            assert y.dtype == operator.adjoint(v).dtype == operator.normal(x).dtype == complex_
            gap = torch.vdot(v.flatten(), y.flatten()) - torch.vdot(
                operator.adjoint(v).flatten(), x.to(complex_).flatten()
            )
            assert abs(gap) <= tolerance * torch.linalg.vector_norm(y) * torch.linalg.vector_norm(v)


def test_half_precision_computes_in_single() -> None:
    assert Fourier()(torch.ones(1, 1, 5, 6, dtype=torch.bfloat16)).dtype == torch.complex64


def test_maps_survive_a_change_of_dtype() -> None:
    maps = randn(3, 5, 6)
    operator = MulticoilFourier(maps=maps).to(torch.float32)
    torch.testing.assert_close(operator.maps, maps.to(torch.complex64))
    torch.testing.assert_close(operator.with_(mask=[1] * 6).maps, operator.maps)


def test_gradients_reach_image_and_maps() -> None:
    x, maps = randn(1, 1, 3, 4).requires_grad_(), randn(2, 3, 4).requires_grad_()
    mask = torch.tensor([1, 0, 1, 1])
    assert torch.autograd.gradcheck(lambda x, s: MulticoilFourier(maps=s, mask=mask)(x), (x, maps))
    assert torch.autograd.gradcheck(lambda x, s: MulticoilFourier(maps=s, mask=mask).normal(x), (x, maps))


def test_norm_is_exact() -> None:
    assert Fourier(mask=[0, 1, 0]).norm() == 1
    assert Fourier(mask=[0, 0, 0]).norm() == 0
    operator = MulticoilFourier(maps=randn(3, 4, 5), mask=randn(4, 5, dtype=torch.float64) > 0)
    expected = torch.linalg.matrix_norm(operator.matrix(), 2)
    assert operator.norm(iterations=300) == pytest.approx(float(expected), rel=1e-3)


def test_birdcage_maps_are_smooth_distinct_and_normalised() -> None:
    maps = Birdcage(coils=6).maps((132, 160), dtype=torch.complex128)
    torch.testing.assert_close((maps.abs() ** 2).sum(0), torch.ones(132, 160, dtype=torch.float64))
    assert (maps.diff(dim=-1).abs() < 0.05).all()
    assert torch.linalg.cond(maps.reshape(6, -1)) < 100
    # Coil 0 is on the right, coil 3 on the left.
    assert maps[0].abs().sum(0).argmax() == 159
    assert maps[3].abs().sum(0).argmax() == 0


def test_sampling_settings_become_masks() -> None:
    x = randn(1, 1, 8, 40)
    settings = {"kind": "gaussian", "acceleration": 4, "center_fraction": 0.1, "seed": 3}
    operator = recon.build("operator", "fourier", mask=settings)
    mask = operator.mask_for((8, 40))
    torch.testing.assert_close(operator(x), Fourier(mask=mask)(x))
    assert operator.acceleration((8, 40)) == pytest.approx(4)
    assert Fourier().acceleration((8, 40)) == 1
    assert Fourier(mask=[1, 0, 0]).acceleration((8, 3)) == 3


def test_resampling_draws_new_masks_and_nothing_else_does() -> None:
    settings = {"kind": "random", "acceleration": 4}
    fixed, family = Fourier(mask=settings), Fourier(mask=settings, resample=True)
    generator = torch.Generator().manual_seed(0)
    assert fixed.sample(generator) is fixed
    drawn = [family.sample(generator).mask_for((1, 64)) for _ in range(3)]
    assert not torch.equal(drawn[0], drawn[1])
    again = family.sample(torch.Generator().manual_seed(0)).mask_for((1, 64))
    assert torch.equal(drawn[0], again)
    multicoil = MulticoilFourier(maps={"coils": 2}, mask=settings, resample=True).sample(generator)
    assert multicoil.maps == Birdcage(coils=2)
    assert multicoil.mask.seed != 0
    with pytest.raises(UsageError, match="resample"):
        Fourier(mask=[1, 0], resample=True)


def test_operators_pickle_copy_and_show_themselves() -> None:
    x = randn(1, 1, 5, 6)
    for operator in (
        Fourier(mask={"acceleration": 2}, resample=True),
        Fourier(mask=[1, 0, 1, 0, 1, 1]),
        MulticoilFourier(maps=randn(2, 5, 6)),
        MulticoilFourier(maps={"coils": 2}),
    ):
        for other in (pickle.loads(pickle.dumps(operator)), copy.deepcopy(operator), operator.with_()):
            assert torch.equal(other(x), operator(x))
        assert "mask" in repr(operator)
        assert isinstance(operator, LinearOperator)


def test_shapes_can_be_asked() -> None:
    assert Fourier().input_shape == (None, None, None)
    assert Fourier(mask=[1, 0, 1]).output_shape == (None, None, 3)
    assert Fourier(mask=torch.ones(1, 3), dimensions=3).output_shape == (None, None, None, 3)
    operator = MulticoilFourier(maps=randn(4, 5, 6))
    assert (operator.input_shape, operator.output_shape) == ((1, 5, 6), (4, 5, 6))
    assert MulticoilFourier(maps={"coils": 2}, mask=[1, 0]).output_shape == (2, None, 2)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: Fourier(mask=[0, 2]), "0 .* and 1"),
        (lambda: Fourier(mask=[[0, 1], [1]]), "not an array"),
        (lambda: Fourier(mask=torch.ones(2, 2, 2)), "shape"),
        (lambda: Fourier(mask=[1, 0, 1])(randn(1, 1, 4, 4)), "mask"),
        (lambda: Fourier(mask=torch.ones(2, 1, 4, 4))(randn(1, 1, 4, 4)), "does not fit"),
        (lambda: Fourier(dimensions=4), "2 or 3"),
        (lambda: MulticoilFourier(maps=randn(4, 4)), "coil"),
        (lambda: MulticoilFourier(maps=randn(2, 4, 4), mask=[1, 0, 1]), "does not fit maps"),
        (lambda: MulticoilFourier(maps=randn(2, 4, 4))(randn(1, 2, 4, 4)), "one channel"),
        (lambda: MulticoilFourier(maps=randn(2, 4, 4))(randn(1, 1, 5, 4)), "do not fit"),
        (lambda: MulticoilFourier(maps=randn(2, 4, 4)).adjoint(randn(1, 3, 4, 4)), "do not fit"),
        (lambda: MulticoilFourier(maps=randn(2, 2, 4, 4))(randn(3, 1, 4, 4)), "do not fit"),
    ],
)
def test_wrong_use_is_explained(call: object, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        call()


def test_wrong_settings_name_the_field() -> None:
    with pytest.raises(ParameterError, match=r"mask\.accelleration: unknown parameter; did you mean 'acceleration'"):
        recon.build("operator", "fourier", mask={"accelleration": 4})
    with pytest.raises(ParameterError, match=r"mask\.kind"):
        recon.build("operator", "fourier", mask={"kind": "spirals"})
    with pytest.raises(ParameterError, match=r"maps\.coils"):
        recon.build("operator", "multicoil_fourier", maps={"coils": 0})
    assert isinstance(recon.build("operator", "fourier", mask=[1, 0, 1]).mask, torch.Tensor)
    assert recon.build("operator", "fourier", mask=ColumnSampling()).mask == ColumnSampling()


@pytest.mark.parametrize("operator", [Fourier(mask=[1, 0, 1]), MulticoilFourier(maps={"coils": 2}, mask=[1, 0, 1])])
def test_an_empty_batch_stays_empty(operator: Fourier) -> None:
    y = operator(torch.ones(0, 1, 4, 3))
    assert (len(y), y.dtype) == (0, torch.complex64)
    assert operator.adjoint(y).shape == operator.normal(torch.ones(0, 1, 4, 3)).shape == (0, 1, 4, 3)
