"""``recon plugins``, ``recon show`` and ``recon doctor``."""

from __future__ import annotations

import json

import pytest

from recon.cli import main
from recon.registry import registry


def test_plugins_lists_every_component(capsys):
    main(["plugins"])
    out = capsys.readouterr().out
    for entry in registry().entries():
        assert entry.name in out
        assert entry.component.summary in out
    count = sum(1 for _ in registry().entries())
    assert f"{count} components" in out.splitlines()[-1]


def test_plugins_as_json(capsys):
    main(["plugins", "--json"])
    records = json.loads(capsys.readouterr().out)
    names = {item["qualified"] for record in records for item in record["components"]}
    assert names == {entry.qualified for entry in registry().entries()}


def test_show_explains_parameters_and_source(capsys):
    assert main(["show", "operator", "gaussian_noise"]) == 0
    out = capsys.readouterr().out
    assert "sigma" in out
    assert "number >= 0" in out
    assert "required" in out
    assert "operators.py:" in out
    assert "recon_plugins.gaussian_noise.operators.GaussianNoise" in out
    assert 'recon.build("operator", "gaussian_noise"' in out
    assert main(["show", "gaussian_noise"]) == 0
    assert capsys.readouterr().out == out


@pytest.mark.parametrize("entry", list(registry().entries()), ids=lambda e: f"{e.component.kind}-{e.qualified}")
def test_show_works_for_every_component(entry, capsys):
    assert main(["show", entry.component.kind, entry.name]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{entry.component.kind} {entry.name}: ")


def test_show_gives_the_schema(capsys):
    assert main(["show", "operator", "gaussian_noise", "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)["properties"]) == ["sigma"]


def test_show_suggests(capsys):
    assert main(["show", "gausian_noise"]) == 2
    assert "did you mean 'gaussian_noise'" in capsys.readouterr().err


def test_doctor_reports_versions_and_devices(capsys):
    code = main(["doctor", "--json"])
    report = json.loads(capsys.readouterr().out)
    assert code == (1 if report["problems"] else 0)
    assert {"system", "torch", "distributions", "plugins", "environment", "problems"} == set(report)
    import torch

    assert report["torch"]["version"] == torch.__version__
    assert set(report["plugins"]) == {plugin.name for plugin in registry().plugins}
    assert report["distributions"]["recon-toolkit"] != "not installed"
    main(["doctor"])
    assert "torch:" in capsys.readouterr().out


def test_sources_that_are_no_doi_are_shown_as_they_are(capsys):
    assert main(["show", "writer", "dicom_series"]) == 0
    assert "references:  https://dicom.nema.org/" in capsys.readouterr().out
