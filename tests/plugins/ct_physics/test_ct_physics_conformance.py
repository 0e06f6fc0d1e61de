"""The plugin keeps what components promise."""

from recon.testing import conformance_tests

test_conformance = conformance_tests("ct_physics")
