"""Folders, entry points, and what a wheel holds."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from recon import hookspecs
from recon.registry import DISTRIBUTION, registry

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
DECLARED = PYPROJECT["project"]["entry-points"]["recon.plugins"]


def test_source_roots_are_no_packages():
    """`plugins` and `datasets` are folders of packages; as packages they would shadow others of these names."""
    for folder in ("plugins", "datasets", "tests", "docs"):
        assert not (ROOT / folder / "__init__.py").exists(), f"remove {folder}/__init__.py"
    inside = [path for path in (ROOT / "tests").rglob("__init__.py") if "golden" not in path.parts]
    assert inside == []


def test_entry_points_are_the_folders():
    folders = {
        path.name: f"{package}.{path.name}"
        for package in ("recon_plugins", "recon_datasets")
        for path in (ROOT / package.replace("recon_", "") / package).iterdir()
        if path.is_dir() and path.name != "__pycache__"
    }
    assert folders == DECLARED


def test_entry_points_are_installed():
    points = importlib.metadata.distribution(DISTRIBUTION).entry_points.select(group=hookspecs.GROUP)
    assert {point.name: point.value for point in points} == DECLARED, "install again: pip install -e ."


def test_all_first_party_plugins_load():
    states = {p.name: (p.state, p.reason) for p in registry().plugins if p.first_party}
    assert set(states) == set(DECLARED)
    assert {name: state for name, state in states.items() if state != ("ok", "")} == {}


def test_declarations_are_short():
    for folder in DECLARED.values():
        package, name = folder.split(".")
        path = ROOT / package.replace("recon_", "") / package / name / "__init__.py"
        lines = len(path.read_text(encoding="utf-8").splitlines())
        assert lines <= 150, f"{path} has {lines} lines; a declaration holds no code"


def test_files_are_of_a_size_to_read():
    for folder in ("recon", "plugins", "datasets"):
        for path in (ROOT / folder).rglob("*.py"):
            lines = len(path.read_text(encoding="utf-8").splitlines())
            assert lines <= 500, f"{path} has {lines} lines; split it"
            assert path.name == path.name.lower()


def test_every_plugin_has_tests():
    for folder in DECLARED.values():
        package, name = folder.split(".")
        tests = ROOT / "tests" / package.replace("recon_", "") / name
        assert list(tests.glob("test_*.py")), f"{folder} has no tests in {tests}"


def test_hooks_are_documented():
    page = (ROOT / "docs" / "write-a-plugin.md").read_text(encoding="utf-8")
    hooks = [name for name in vars(hookspecs) if name.startswith("recon_")]
    assert len(hooks) >= 3
    for name in hooks:
        assert f"`{name}()`" in page, f"docs/write-a-plugin.md does not explain {name}"


def test_fields_switches_and_checks_are_documented():
    from recon.spec import Component
    from recon.testing.checks import component, dataset, files, linear, loss, method, metric, model, operator

    page = (ROOT / "docs" / "write-a-plugin.md").read_text(encoding="utf-8")
    switches = re.findall(r"RECON_PLUGINS_[A-Z]+", (ROOT / "recon" / "registry.py").read_text(encoding="utf-8"))
    for word in {*switches, *Component.__dataclass_fields__}:
        assert f"`{word}" in page, f"docs/write-a-plugin.md does not explain {word}"
    lists = (
        component.STYLE, component.GENERAL, operator.OPERATOR, operator.VALUE, operator.STOCHASTIC, linear.LINEAR,
        model.MODEL, loss.LOSS, metric.METRIC, dataset.DATASET, files.READER, files.WRITER, method.METHOD,
    )  # fmt: skip
    for function in (function for part in lists for function in part):
        assert f"`{function.__name__}`" in page, (
            f"docs/write-a-plugin.md does not explain the check {function.__name__}"
        )
        assert function.__doc__


@pytest.mark.slow
def test_wheel_holds_the_three_packages_and_the_templates(tmp_path):
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "-q",
        "-w",
        str(tmp_path),
        ".",
    ]
    subprocess.run(command, cwd=ROOT, check=True, timeout=300)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"recon", "recon_plugins", "recon_datasets"}
    for root, package in (("", "recon"), ("plugins/", "recon_plugins"), ("datasets/", "recon_datasets")):
        sources = (ROOT / root / package).rglob("*.py")
        wanted = {str(Path(package) / path.relative_to(ROOT / root / package)) for path in sources}
        assert {name for name in names if name.endswith(".py") and name.startswith(f"{package}/")} == wanted
    assert "recon/py.typed" in names
    templates = {f"recon/{p.relative_to(ROOT / 'recon')}" for p in (ROOT / "recon/templates").rglob("*.template")}
    assert templates <= set(names)
