"""The conformance kit on `adapters`."""

from recon.testing import conformance_tests

test_conformance = conformance_tests("adapters")
