"""The conformance kit on `metrics`."""

from recon.testing import conformance_tests

test_conformance = conformance_tests("metrics")
