"""What `recon doctor` says of projectors."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

from recon_plugins.radon import backends, recon_environment


def test_doctor_tells_the_projector_of_the_cpu_and_why(monkeypatch: pytest.MonkeyPatch) -> None:
    if importlib.util.find_spec("numba") is not None:
        assert recon_environment()["CT projector, cpu"].startswith("numba: compiled kernels for float32")
    monkeypatch.setattr(backends, "_has_numba", lambda: False)
    assert "pip install" in recon_environment()["CT projector, cpu"]


def test_the_declaration_imports_no_torch() -> None:
    code = "import sys; import recon_plugins.radon; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
