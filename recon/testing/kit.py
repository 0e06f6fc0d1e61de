"""The conformance kit as a test module: ``pytest --pyargs recon.testing.kit --recon-plugin NAME``."""

from __future__ import annotations

import pytest

from recon.testing.doors import report
from recon.testing.suite import Check, plan


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one test of each check."""
    names = metafunc.config.getoption("recon_plugin")
    if not names:
        raise pytest.UsageError("name the plugin to check: --recon-plugin NAME")
    checks = [check for name in names for check in plan(name)]
    metafunc.parametrize("check", checks, ids=[check.id for check in checks])


def test_conformance(check: Check) -> None:
    """The plugin keeps the contract of the check."""
    report(check)
