"""Fixtures for the tests of the plugin system."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from recon.registry import Entry, Plugin
from recon.spec import Component


@pytest.fixture
def outcomes(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Run the kit on a class in tests/core/planted and return its results by check name."""
    from recon.testing.suite import conformance_suite

    monkeypatch.syspath_prepend(str(Path(__file__).parent / "planted"))

    def run(kind: Any, target: str, examples: str | None, **fields: Any) -> dict[str, Any]:
        module, _, name = target.partition(":")
        component = Component(
            kind=kind,
            name=name,
            target=target,
            summary="planted",
            examples=f"{module}:{examples}" if examples else None,
            **fields,
        )
        plugin = Plugin("planted", module, "planted", "1.0", components=(component,))
        return {result.check: result for result in conformance_suite(Entry(plugin, component))}

    return run


def failures(results: dict[str, Any]) -> dict[str, str]:
    """Return the reasons of failed checks."""
    return {name: result.reason for name, result in results.items() if result.outcome == "failed"}


@pytest.fixture(name="failures")
def failures_fixture() -> Callable[[dict[str, Any]], dict[str, str]]:
    """Return `failures`."""
    return failures
