"""Kernels that numba compiles, where it has nowhere to keep them."""

from __future__ import annotations

import importlib.util
import sys

import pytest
import torch

from recon import build
from recon.errors import UsageError
from recon_plugins.radon import backends

pytestmark = pytest.mark.skipif(importlib.util.find_spec("numba") is None, reason="numba is not installed")
CPU = torch.device("cpu")
KERNELS = "recon_plugins.radon.pixel_kernels"


@pytest.fixture
def no_cache_folder(monkeypatch):
    """What importing the kernels does where neither the package's nor the user's cache folder can be written."""

    class Refusing:
        def find_spec(self, name, path=None, target=None):
            if name == KERNELS:
                raise RuntimeError("cannot cache function 'gather': no locator available")

    monkeypatch.delitem(sys.modules, KERNELS, raising=False)
    monkeypatch.setattr(sys, "meta_path", [Refusing(), *sys.meta_path])
    backends._imports.cache_clear()
    yield
    backends._imports.cache_clear()


def test_sparse_matrices_take_over(no_cache_folder):
    choice = backends.choose("auto", torch.float32, CPU, kernels=KERNELS)
    assert choice.name == "sparse"
    assert "NUMBA_CACHE_DIR" in choice.why


def test_asking_for_them_says_what_to_set(no_cache_folder):
    with pytest.raises(UsageError, match="NUMBA_CACHE_DIR"):
        backends.choose("numba", torch.float32, CPU, kernels=KERNELS)


def test_projectors_need_no_such_folder(no_cache_folder):
    x = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    radon = build("operator", "radon", size=(8, 8), angles=4, backend="numba")
    torch.testing.assert_close(radon(x), radon.with_(backend="sparse")(x))
