"""Chains act in their order, merge what merges, and stay linear."""

from __future__ import annotations

import pytest
import torch

import recon
from recon.errors import ReconError
from recon.operators import LinearOperator


def test_the_first_of_the_list_acts_first():
    mask, fourier = {"use": "mask", "mask": [[1, 0, 1], [0, 1, 1]]}, {"use": "fourier", "dimensions": 2}
    chain = recon.build("operator", "chain", operators=[mask, fourier])
    x = torch.randn(1, 1, 2, 3, dtype=torch.complex128, generator=torch.Generator().manual_seed(0))
    assert isinstance(chain, LinearOperator)
    assert torch.equal(chain(x), recon.build("operator", fourier)(recon.build("operator", mask)(x)))
    assert not torch.allclose(chain(x), recon.build("operator", mask)(recon.build("operator", fourier)(x)))


def test_noise_and_single_operators():
    mask = {"use": "mask", "mask": [[1, 0, 1], [0, 1, 1]]}
    noisy = recon.build("operator", "chain", operators=[mask, {"use": "gaussian_noise", "sigma": 0.1}])
    assert noisy.stochastic
    one = recon.build("operator", "chain", operators=[mask])
    x = torch.rand(1, 1, 2, 3, generator=torch.Generator().manual_seed(0))
    assert type(one) is type(noisy.noiseless) is type(recon.build("operator", mask))
    assert torch.equal(one(x), noisy.noiseless(x))
    assert not torch.equal(noisy(x, generator=torch.Generator().manual_seed(1)), one(x))


def test_views_left_out_make_a_projector_of_the_others():
    radon, sparse = {"use": "radon", "size": [16, 16], "angles": 8}, {"use": "sparse_views", "views": 8, "every": 2}
    chain = recon.build("operator", "chain", operators=[radon, sparse])
    assert type(chain) is type(recon.build("operator", radon))
    x = torch.rand(1, 1, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(chain(x), recon.build("operator", radon)(x)[:, :, ::2])


def test_what_does_not_fit_is_refused():
    small, large = ({"use": "radon", "size": [n, n], "angles": 8} for n in (8, 16))
    with pytest.raises(ReconError, match="cannot compose"):
        recon.build("operator", "chain", operators=[small, large])
    with pytest.raises(ReconError, match="operators"):
        recon.build("operator", "chain", operators=[])
