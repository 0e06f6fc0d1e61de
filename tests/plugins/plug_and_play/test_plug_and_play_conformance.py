"""The conformance kit on `plug_and_play` and `denoiser`."""

from recon.testing import conformance_tests

test_conformance = conformance_tests("plug_and_play")
