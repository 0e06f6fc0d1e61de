"""The conformance kit: one list of checks, three doors (``recon check``, a test file, ``pytest --pyargs``)."""

from recon.testing.example import Example

__all__ = ["Example"]
