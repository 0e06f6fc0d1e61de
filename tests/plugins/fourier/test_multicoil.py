from __future__ import annotations

import pytest
import torch

from recon.errors import UsageError
from recon.interfaces import CoilOperator
from recon_plugins.fourier import Fourier, MulticoilFourier


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.complex128, generator=torch.Generator().manual_seed(seed))


def dft(n: int) -> torch.Tensor:
    """The centred orthonormal DFT, written out from its formula."""
    k = torch.arange(n, dtype=torch.float64) - n // 2
    return torch.exp(-2j * torch.pi * k[:, None] * k / n) / n**0.5


def sense(x: torch.Tensor, maps: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The model by its formula: x (batch, set, H, W), maps (batch, set, coil, H, W)."""
    height, width = x.shape[-2:]
    y = torch.einsum("yi,xj,bscij,bsij->bcyx", dft(height), dft(width), maps, x)
    return torch.where(mask, y, 0)


@pytest.mark.parametrize("sets", [1, 2])
@pytest.mark.parametrize("shape", [(9,), (8, 9), (8, 1), (2, 1, 8, 9), (2, 1, 1, 9)])
def test_equals_its_formula(sets: int, shape: tuple[int, ...]) -> None:
    maps, x = randn(2, sets, 3, 8, 9), randn(2, sets, 8, 9, seed=1)
    mask = randn(*shape, seed=2).real > -0.3
    operator = MulticoilFourier(maps=maps, mask=mask)
    y = operator(x)
    torch.testing.assert_close(y, sense(x, maps, mask), rtol=0, atol=1e-13)
    v = randn(2, 3, 8, 9, seed=3)
    gap = torch.vdot(y.flatten(), v.flatten()) - torch.vdot(x.flatten(), operator.adjoint(v).flatten())
    assert abs(gap) < 1e-12
    torch.testing.assert_close(operator.normal(x), operator.adjoint(y), rtol=0, atol=1e-13)
    assert (operator.input_shape, operator.output_shape) == ((sets, 8, 9), (3, 8, 9))


def test_maps_join_a_coil_wise_operator() -> None:
    maps, mask = randn(3, 8, 9), randn(8, 9, seed=2).real > 0
    for fourier, given in [
        (Fourier(mask=mask), maps),
        (Fourier(mask={"acceleration": 2, "seed": 3}, resample=True), maps[None]),
        (Fourier(), maps[None, None]),
    ]:
        assert isinstance(fourier, CoilOperator)
        operator = fourier.with_maps(given)
        x = randn(2, 1, 8, 9, seed=1)
        torch.testing.assert_close(operator(x), fourier(maps * x))
        assert operator.resample == fourier.resample
        # Whoever brings its maps is used as it is.
        assert not isinstance(operator, CoilOperator)


@pytest.mark.parametrize("shape", [(3, 1, 6), (3, 5, 6), (6,), (5, 6), (2, 1, 3, 5, 6), (3, 1, 1)])
def test_frames_are_measured_one_by_one(shape: tuple[int, ...]) -> None:
    x, maps, mask = randn(2, 1, 3, 5, 6), randn(4, 5, 6, seed=1), randn(*shape, seed=2).real > 0
    coilwise, operator = Fourier(mask=mask, time=True), MulticoilFourier(maps=maps, mask=mask, time=True)
    y = operator(x)
    full = mask.expand(2, 1, 3, 5, 6)
    for t in range(3):
        frame = MulticoilFourier(maps=maps, mask=full[:, :, t])
        torch.testing.assert_close(y[:, :, t], frame(x[:, :, t]), rtol=0, atol=1e-13)
        torch.testing.assert_close(operator.adjoint(y)[:, :, t], frame.adjoint(y[:, :, t]), rtol=0, atol=1e-13)
        torch.testing.assert_close(coilwise(x)[:, 0, t], Fourier(mask=full[:, :, t])(x[:, :, t])[:, 0])
    for a in (operator, coilwise):
        torch.testing.assert_close(a.normal(x), a.adjoint(a(x)), rtol=0, atol=1e-13)
    several = MulticoilFourier(maps=randn(2, 2, 4, 5, 6), mask=mask, time=True)
    pair = randn(2, 2, 3, 5, 6)
    torch.testing.assert_close(several.normal(pair), several.adjoint(several(pair)), rtol=0, atol=1e-13)


def test_sets_of_maps_must_fit_the_images() -> None:
    operator = MulticoilFourier(maps=randn(2, 2, 3, 8, 9))
    with pytest.raises(UsageError, match="2 channels, one a set of maps, not 1"):
        operator(randn(2, 1, 8, 9))
    with pytest.raises(UsageError, match="do not fit coil maps"):
        operator(randn(3, 2, 8, 9))
    with pytest.raises(UsageError, match=r"batch, set, coil"):
        MulticoilFourier(maps=randn(1, 2, 2, 3, 8, 9))
    with pytest.raises(UsageError, match=r"batch, channel, time"):
        Fourier(time=True)(randn(1, 1, 8, 9))
    with pytest.raises(UsageError, match=r"dimensions=2 takes"):
        Fourier()(randn(1, 1, 2, 8, 9))
