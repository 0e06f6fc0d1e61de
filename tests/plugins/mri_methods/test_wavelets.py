"""Own wavelet transforms against PyWavelets."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recon_plugins.mri_methods.wavelets import NAMES, Wavelet, scaling_filter

pywt = pytest.importorskip("pywt", reason="PyWavelets is not installed")

MIRRORED = ("sym6",)
"""PyWavelets has the mirror image, which is as symmetric."""


@pytest.mark.parametrize("name", NAMES)
def test_filters_are_those_of_pywavelets(name) -> None:
    expected = np.array(pywt.Wavelet(name).rec_lo)
    ours = scaling_filter(name)[::-1] if name in MIRRORED or name in ("haar", "db1") else scaling_filter(name)
    np.testing.assert_allclose(ours, expected, atol=1e-11)


@pytest.mark.filterwarnings("ignore:Level value")
@pytest.mark.parametrize("name", ["haar", "db2", "db4", "sym5", "db10"])
@pytest.mark.parametrize("shape", [(1, 1, 32, 20), (2, 3, 8, 64)])
def test_coefficients_are_those_of_pywavelets(name, shape) -> None:
    x = torch.randn(shape, dtype=torch.complex128, generator=torch.Generator().manual_seed(0))
    # Its warning is of levels beyond the filter's length, which a periodic transform may have.
    parts = pywt.wavedec2(x.numpy(), name, mode="periodization", level=2, axes=(-2, -1))
    a, (h, v, d), (h1, v1, d1) = parts
    inner = np.concatenate([np.concatenate([a, v], -1), np.concatenate([h, d], -1)], -2)
    expected = np.concatenate([np.concatenate([inner, v1], -1), np.concatenate([h1, d1], -1)], -2)
    np.testing.assert_allclose(Wavelet(name=name, levels=2)(x).numpy(), expected, atol=1e-10)


@pytest.mark.parametrize("name", ["haar", "db4", "sym8", "db10"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_is_orthogonal_in_space_and_volume(name, dtype) -> None:
    transform = Wavelet(name=name, levels=3)
    for shape in ((2, 1, 16, 24), (1, 2, 8, 16, 8)):
        x = torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(1))
        z = torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(2))
        before = x.clone()
        torch.testing.assert_close(transform.inverse(transform(x)), x)
        torch.testing.assert_close(transform(x).norm(), x.norm())
        torch.testing.assert_close(torch.vdot(transform(x).flatten(), z.flatten()).real,
                                   torch.vdot(x.flatten(), transform.inverse(z).flatten()).real)  # fmt: skip
        assert torch.equal(x, before)


def test_vanishing_moments() -> None:
    """Details of a polynomial of degree below N are zero but where the period ends."""
    x = torch.arange(64, dtype=torch.float64) ** 3 / 64**3
    details = Wavelet(name="db4", levels=1)(x.expand(1, 1, 64, 64))[0, 0, 0, 32:]
    assert details[3:-3].abs().max() < 1e-12
    assert details.abs().max() > 1e-2


def test_padded() -> None:
    assert Wavelet(levels=4).padded((230, 180)) == (240, 192)
    assert Wavelet(levels=0).padded((7,)) == (7,)
