"""The code in the documentation runs, and what is generated from the registry is up to date."""

from __future__ import annotations

import importlib.util
import re
import shlex
import sys
from pathlib import Path

import pytest

from recon.cli import main

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*(ROOT / "docs").glob("*.md"), ROOT / "README.md"])
BLOCK = re.compile(r"^```(python|sh|yaml title=(\S+))\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> list[tuple[str, str, int]]:
    text = page.read_text(encoding="utf-8")
    return [(m[1], m[3], text[: m.start()].count("\n") + 1) for m in BLOCK.finditer(text)]


@pytest.mark.parametrize(
    "page", [p for p in PAGES if "```python" in p.read_text(encoding="utf-8")], ids=lambda p: p.name
)
def test_code_of_the_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python blocks share one namespace; `recon` lines of shell blocks are run; titled YAML blocks become files."""
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "__main__"}
    count = 0
    for kind, code, line in blocks(page):
        if kind == "python":
            exec(compile("\n" * line + code, str(page), "exec"), namespace)
            count += 1
        elif kind.startswith("yaml"):
            Path(kind.partition("title=")[2]).write_text(code, encoding="utf-8")
        elif page.name != "README.md":
            for command in code.replace("\\\n", " ").splitlines():
                words = shlex.split(command, comments=True)
                if words[:1] == ["recon"]:
                    assert main(words[1:]) == 0, f"{page.name}:{line}: {command}"
                    count += 1
    assert count


def test_table_of_where_things_live_is_current() -> None:
    path = ROOT / "docs" / "_ext" / "components.py"
    spec = importlib.util.spec_from_file_location("docs_components", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["docs_components"] = module
    spec.loader.exec_module(module)
    assert module.WHERE.read_text(encoding="utf-8") == module.INTRODUCTION + module.where_table(), (
        "run: python docs/_ext/components.py"
    )
