"""Compiled kernels where numba has nowhere to keep them."""

from __future__ import annotations

import importlib.util
import sys

import pytest
import torch

from recon import build
from recon.errors import UsageError
from recon_plugins.radon import backends

pytestmark = pytest.mark.skipif(importlib.util.find_spec("numba") is None, reason="numba is not installed")


@pytest.fixture
def no_cache_folder(monkeypatch):
    """What importing the kernels does where neither the package's nor the user's cache folder can be written."""

    class Refusing:
        def find_spec(self, name, path=None, target=None):
            if name == "recon_plugins.radon.lanes":
                raise RuntimeError("cannot cache function 'gather': no locator available")

    monkeypatch.delitem(sys.modules, "recon_plugins.radon.lanes", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Refusing(), *sys.meta_path])
    backends._lanes.cache_clear()
    yield
    backends._lanes.cache_clear()


def test_sparse_matrices_take_over(no_cache_folder):
    x = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    expected = build("operator", "radon", size=(8, 8), angles=4, backend="sparse")(x)
    assert torch.equal(build("operator", "radon", size=(8, 8), angles=4)(x), expected)


def test_asking_for_them_says_what_to_set(no_cache_folder):
    operator = build("operator", "radon", size=(8, 8), angles=4, backend="numba")
    with pytest.raises(UsageError, match="NUMBA_CACHE_DIR"):
        operator(torch.zeros(1, 1, 8, 8))
