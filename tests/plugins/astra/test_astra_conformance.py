"""The conformance kit on `astra`."""

import pytest

from recon.testing import conformance_tests

try:
    import astra  # noqa: F401
except ImportError as error:  # also where a wheel's CUDA libraries are missing
    pytest.skip(f"needs the ASTRA Toolbox: {error}", allow_module_level=True)

test_conformance = conformance_tests("astra")
