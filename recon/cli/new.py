"""Write a new plugin package: declaration, an operator, a model, examples, tests, README.

Examples
--------
  recon new plugin my_method                   writes the folder recon-my-method
  recon new plugin my_method --folder code     writes the folder code
"""

from __future__ import annotations

import argparse
import keyword
import os
import re
import shutil
import sys
import tempfile
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template

from recon import __version__
from recon.errors import UsageError
from recon.registry import registry

__all__ = ["add_arguments", "run", "write_plugin"]

_NAME = re.compile(r"[a-z][a-z0-9_]*\Z")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``recon new``."""
    parser.add_argument("what", choices=["plugin"], help="what to write")
    parser.add_argument("name", metavar="NAME", help="name of the plugin: lower case, digits, underscores")
    parser.add_argument("--folder", type=Path, help="folder to write; it must not exist (default: recon-NAME)")


def run(arguments: argparse.Namespace) -> int:
    """Write the package and say what to do next."""
    name = arguments.name
    folder = arguments.folder or Path(f"recon-{name.replace('_', '-')}")
    write_plugin(name, folder)
    print(f"wrote {folder}\n\nnext:\n  pip install -e '{folder}[test]'\n  recon check {name}\n  pytest {folder}")
    return 0


def write_plugin(name: str, folder: Path) -> None:
    """Write a plugin package called `name` to `folder`, all of it or nothing.

    Raises
    ------
    UsageError
        If the name cannot be a plugin's name or is taken, or the folder exists.
    """
    if not _NAME.match(name) or keyword.iskeyword(name):
        raise UsageError(f"plugin name {name!r} must match [a-z][a-z0-9_]* and not be a Python keyword")
    module = f"recon_{name}"
    if module in {"recon_plugins", "recon_datasets"}:
        raise UsageError(f"plugin name {name!r} is reserved: recon ships a package {module}")
    if any(plugin.name == name for plugin in registry().plugins):
        raise UsageError(f"a plugin called {name!r} is installed already; recon plugins lists all")
    if folder.exists():
        raise UsageError(f"{folder} exists already; choose another --folder")
    values = {"name": name, "dashed": name.replace("_", "-"), "version": __version__}
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        _write(files("recon") / "templates" / "plugin", draft, values)
        draft.chmod(0o777 & ~_umask())
        draft.rename(folder)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def _write(source: Traversable, folder: Path, values: dict[str, str]) -> None:
    folder.mkdir(exist_ok=True)
    for item in source.iterdir():
        if item.is_dir():
            _write(item, folder / (f"recon_{values['name']}" if item.name == "module" else item.name), values)
        elif item.name.endswith(".template"):
            name = item.name.removesuffix(".template")
            text = Template(item.read_text(encoding="utf-8")).substitute(values)
            (folder / (".gitignore" if name == "gitignore" else name)).write_text(text, encoding="utf-8")


def _umask() -> int:
    if sys.platform == "win32":
        return 0
    current = os.umask(0)
    os.umask(current)
    return current
