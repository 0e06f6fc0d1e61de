"""A third-party plugin that was written against plugin API 1, and never changes, loads and passes the kit."""

import importlib.metadata
import shutil
from pathlib import Path

import pytest

import recon
from recon.registry import Registry, use_registry
from recon.spec import KINDS
from recon.testing.suite import conformance_suite, counts

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "recon_golden"


@pytest.fixture(scope="module")
def golden(tmp_path_factory):
    """Install the plugin as a distribution on a temporary path."""
    site = tmp_path_factory.mktemp("site")
    shutil.copytree(GOLDEN, site / "recon_golden", ignore=shutil.ignore_patterns("__pycache__"))
    info = site / "recon_golden-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: recon-golden\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[recon.plugins]\ngolden = recon_golden\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(site))
        importlib.invalidate_caches()
        with use_registry(Registry(environ={})) as registry:
            yield registry.plugin("golden")


def test_loads_and_offers_every_kind(golden):
    assert (golden.state, golden.reason) == ("ok", "")
    assert {component.kind for component in golden.components} == set(KINDS)
    assert [command.name for command in golden.commands] == ["golden"]


def test_passes_the_kit(golden):
    results = conformance_suite(golden)
    assert [(r.component, r.check, r.reason) for r in results if r.outcome == "failed"] == []
    assert counts(results)["passed"] > 100
    assert {r.check for r in results if r.outcome == "skipped"} <= {"cuda", "identity", "decreases", "parameter_count"}


def test_builds_by_its_qualified_name(golden):
    model = recon.build("model", {"use": "golden/bias", "noise": {"use": "golden/noise", "amplitude": 0.1}})
    assert model.noise.amplitude == 0.1
    assert recon.registry.registry().environment()["golden"] == "1"
