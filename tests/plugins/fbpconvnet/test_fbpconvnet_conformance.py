"""The conformance kit on `fbpconvnet`."""

from recon.testing import conformance_tests

test_conformance = conformance_tests("fbpconvnet")
