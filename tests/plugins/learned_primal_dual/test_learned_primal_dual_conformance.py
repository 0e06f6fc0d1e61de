"""The conformance kit on `learned_primal_dual`."""

from recon.testing import conformance_tests

test_conformance = conformance_tests("learned_primal_dual")
