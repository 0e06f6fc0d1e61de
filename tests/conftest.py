"""Fixtures for all tests."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

# Threads that wait should sleep, and processes that test side by side share the processors: threads beyond their number
# make each small parallel region wait for the scheduler, some tests a hundredfold.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
if "PYTEST_XDIST_WORKER_COUNT" in os.environ and "torch" not in sys.modules:
    processors = (os.cpu_count() or 1) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, processors)))

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real data and published weights beside the checkout."""
    if not SHARED_DATA.is_dir():
        pytest.skip("real data and weights (../shared/data) are not here")
    return SHARED_DATA
