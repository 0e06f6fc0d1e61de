"""The conformance kit on `losses`."""

from recon.testing import conformance_tests

test_conformance = conformance_tests("losses")
