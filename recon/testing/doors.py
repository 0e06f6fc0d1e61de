"""The kit in a test file of two lines."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from recon.testing.suite import Check, plan

__all__ = ["conformance_tests", "report"]


def conformance_tests(*plugins: str) -> Callable[..., None]:
    """Return a test function that runs the kit on installed plugins, one test per check.

    A plugin's whole test file can read::

        from recon.testing import conformance_tests
        test_conformance = conformance_tests("my_plugin")
    """
    checks = [check for name in plugins for check in plan(name)]

    @pytest.mark.parametrize("check", checks, ids=[check.id for check in checks])
    def test_conformance(check: Check) -> None:
        report(check)

    return test_conformance


def report(check: Check) -> None:
    """Run a check and tell pytest what came of it."""
    result = check.run()
    if result.outcome == "skipped":
        pytest.skip(result.reason)
    if result.outcome == "xfailed":
        pytest.xfail(result.reason)
    if result.outcome == "failed":
        contract = " ".join(check.contract.split())
        message = f"{check.id}: {result.reason}" + (f"\ncontract: {contract}" if contract else "")
        raise AssertionError(message) from result.error
