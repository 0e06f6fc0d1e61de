"""The conformance kit: one list of checks, three doors (``recon check``, a test file, ``pytest --pyargs``)."""

from typing import TYPE_CHECKING

from recon.plugin import lazy
from recon.testing.example import Example

if TYPE_CHECKING:
    from recon.testing.doors import conformance_tests
    from recon.testing.suite import conformance_suite

__all__ = ["Example", "conformance_suite", "conformance_tests"]

# Lazy, since the checks need torch, and pytest imports this package in every run.
__getattr__ = lazy(__name__, {"conformance_suite": ".suite", "conformance_tests": ".doors"})
