"""The conformance kit on `monai`: half a minute, so not in every run."""

import pytest

from recon.testing import conformance_tests

test_conformance = pytest.mark.slow(conformance_tests("monai"))
