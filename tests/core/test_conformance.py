"""Every first-party component keeps its contract."""

from recon.registry import registry
from recon.testing import conformance_tests

test_conformance = conformance_tests(*(plugin.name for plugin in registry().plugins if plugin.first_party))
