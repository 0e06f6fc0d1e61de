"""Fixtures for all tests."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real data and published weights beside the checkout."""
    if not SHARED_DATA.is_dir():
        pytest.skip("real data and weights (../shared/data) are not here")
    return SHARED_DATA
