"""``recon new plugin``: complete packages, or nothing; and that they work where recon is installed from its wheel."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import venv
from pathlib import Path

import pytest

from recon.cli import main
from recon.cli.new import write_plugin

ROOT = Path(__file__).resolve().parents[2]


def test_writes_a_complete_package(tmp_path, capsys):
    folder = tmp_path / "code" / "mine"
    assert main(["new", "plugin", "my_method", "--folder", str(folder)]) == 0
    assert f"pip install -e '{folder}[test]'" in capsys.readouterr().out
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    package = ("__init__", "examples", "model", "operators")
    assert files == {
        *("pyproject.toml", "README.md", "LICENSE", ".gitignore", "tests/test_conformance.py", "tests/test_shift.py"),
        *(f"recon_my_method/{name}.py" for name in package),
        "recon_my_method/py.typed",
    }
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert project["name"] == "recon-my-method"
    assert project["entry-points"]["recon.plugins"] == {"my_method": "recon_my_method"}
    for path in folder.rglob("*.py"):
        compile(path.read_text(), str(path), "exec")
    for path in folder.rglob("*"):
        assert not path.is_file() or not re.search(r"\$(name|dashed|version)", path.read_text()), path
    assert [path.name for path in folder.parent.iterdir()] == ["mine"]


@pytest.mark.parametrize("name", ["Bad", "my-method", "1st", "class", "", "plugins", "datasets", "radon", "a b", "x/y"])
def test_refuses_bad_and_taken_names(name, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["new", "plugin", name]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_refuses_folders_that_exist(tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    assert main(["new", "plugin", "my_method", "--folder", str(tmp_path / "mine")]) == 2
    assert "exists already" in capsys.readouterr().err
    assert list((tmp_path / "mine").iterdir()) == []


def test_leaves_nothing_behind_when_it_fails(tmp_path, monkeypatch):
    written = []

    def fail(self, text, **_):
        written.append(self)
        if len(written) == 4:
            raise OSError("disk full")
        return len(text)

    monkeypatch.setattr(Path, "write_text", fail)
    with pytest.raises(OSError, match="disk full"):
        write_plugin("my_method", tmp_path / "mine")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_generated_plugin_works_with_the_wheel(tmp_path):
    """Wheel of recon, wheel of the plugin, in an environment of their own; other packages are those of this one."""
    pip = [sys.executable, "-m", "pip"]

    def call(*command: str | Path, cwd: Path = tmp_path) -> str:
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHONPATH", "RECON_", "PYTEST_"))}
        words = [str(word) for word in command]
        done = subprocess.run(words, capture_output=True, text=True, cwd=cwd, env=environment, timeout=500, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def wheel(source: Path) -> Path:
        folder = tmp_path / f"wheel-{source.name}"
        call(*pip, "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder, source)
        return next(folder.glob("*.whl"))

    # The new environment sees the packages of this one through links, all but recon itself: an editable install's .pth
    # file would otherwise bring the checkout along.
    site = tmp_path / "others"
    site.mkdir()
    for path in Path(sysconfig.get_paths()["purelib"]).iterdir():
        if not path.name.startswith(("recon", "_recon")) and path.suffix != ".pth":
            (site / path.name).symlink_to(path)
    environment = tmp_path / "venv"
    venv.create(environment, with_pip=False, symlinks=True)
    scripts = environment / ("Scripts" if sys.platform == "win32" else "bin")
    python = scripts / "python"
    own = Path(call(python, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])").strip())
    (own / "others.pth").write_text(f"{site}\n")

    call(*pip, "--python", python, "install", "-q", "--no-deps", "--no-index", "--force-reinstall", wheel(ROOT))
    where = call(python, "-c", "import recon, recon_plugins.radon; print(recon.__file__)")
    assert Path(where.strip()).is_relative_to(own)
    recon = scripts / "recon"
    call(recon, "new", "plugin", "my_method")
    plugin = tmp_path / "recon-my-method"
    call(*pip, "--python", python, "install", "-q", "--no-deps", "--no-index", wheel(plugin))

    listed = call(recon, "plugins")
    assert "my_method/shift" in listed
    assert "my_method/residual_cnn" in listed
    assert re.search(r"\d+ run, \d+ passed, 0 failed", call(recon, "check", "my_method"))
    assert "operators.py" in call(recon, "show", "operator", "my_method/shift")
    tested = call(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", plugin, cwd=plugin)
    assert re.search(r"(\d{2,}) passed", tested)
