"""The three doors of the kit run the same checks: the command, the two-line test file, ``pytest --pyargs``."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from recon.cli import main
from recon.testing.suite import plan

PLANTED = Path(__file__).parent / "planted"


def python(*arguments: str, cwd: Path, **environ: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, **environ}
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=300, check=False)


def tally(text: str) -> dict[str, int]:
    """Return the counts of pytest's last line."""
    return {
        name: int(count) for count, name in re.findall(r"(\d+) (passed|failed|skipped|xfailed)", text.splitlines()[-1])
    }


def test_command_prints_counts_and_json(capsys):
    assert main(["check", "gaussian_noise"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert re.fullmatch(r"\d+ run, \d+ passed, 0 failed, \d+ skipped, 0 xfailed", last)
    assert main(["check", "operator/gaussian_noise", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["counts"]["run"] == sum(result["outcome"] != "skipped" for result in found["results"]) > 15
    assert {"plugin", "component", "check", "outcome", "reason", "seconds"} == set(found["results"][0])
    assert main(["check", "no_such_plugin"]) == 2
    assert main(["check", "oracle/radon"]) == 2
    assert "kind out of" in capsys.readouterr().err


def test_command_fails_when_a_check_does(tmp_path, capsys):
    path = tmp_path / "file_plugin_for_check.py"
    declaration = """
from recon import Component, hookimpl

@hookimpl
def recon_components():
    yield Component(kind="operator", name="flipped", target="planted_operators:FlippedAdjoint", summary="s",
                    examples="planted_operators:images")
"""
    path.write_text(declaration)
    done = python("-m", "recon", "check", path.stem, "--plugin", str(path), cwd=tmp_path, PYTHONPATH=str(PLANTED))
    assert done.returncode == 1, done.stderr
    assert re.search(r"^failed .*operator/flipped adjoint: .*dot-test gap", done.stdout, re.MULTILINE)
    assert "2 failed" in done.stdout.splitlines()[-1]


@pytest.mark.slow
def test_all_doors_run_the_same_checks(tmp_path):
    checks = len(plan("gaussian_noise"))
    door = ["-m", "pytest", "-q", "-p", "no:cacheprovider"]
    one = python(*door, "--pyargs", "recon.testing.kit", "--recon-plugin", "gaussian_noise", cwd=tmp_path)
    assert one.returncode == 0, one.stdout
    (tmp_path / "test_two_lines.py").write_text(
        "from recon.testing import conformance_tests\ntest_conformance = conformance_tests('gaussian_noise')\n"
    )
    two = python(*door, "test_two_lines.py", cwd=tmp_path)
    assert two.returncode == 0, two.stdout
    assert sum(tally(one.stdout).values()) == sum(tally(two.stdout).values()) == checks
    unnamed = python(*door, "--pyargs", "recon.testing.kit", cwd=tmp_path)
    assert unnamed.returncode != 0
    assert "--recon-plugin NAME" in unnamed.stdout + unnamed.stderr


def test_pytest_plugin_is_light(tmp_path):
    (tmp_path / "test_nothing.py").write_text(
        "import sys\n"
        "def test_nothing():\n"
        "    assert 'recon.testing.pytest_plugin' in sys.modules\n"
        "    assert not {'torch', 'numpy', 'pydantic', 'pluggy.hooks', 'recon.registry'} & set(sys.modules)\n"
    )
    done = python("-m", "pytest", "-q", "-p", "no:cacheprovider", "test_nothing.py", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
