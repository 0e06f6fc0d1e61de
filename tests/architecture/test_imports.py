"""What may import what, and what starting up may cost."""

from __future__ import annotations

import ast
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {
    "recon": ROOT / "recon",
    "recon_plugins": ROOT / "plugins" / "recon_plugins",
    "recon_datasets": ROOT / "datasets" / "recon_datasets",
}
HEAVY = {"torch", "numpy", "pydantic", "monai", "h5py", "nibabel", "pydicom", "scipy", "rich", "yaml", "sigpy"}


def modules() -> dict[str, Path]:
    """Return all modules of the three packages by dotted name."""
    found = {}
    for package, folder in PACKAGES.items():
        for path in folder.rglob("*.py"):
            parts = [package, *path.relative_to(folder).with_suffix("").parts]
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imports(name: str, *, everywhere: bool) -> Iterator[str]:
    """Yield what a module imports: when it is imported itself, or `everywhere` (functions, TYPE_CHECKING)."""
    path = MODULES[name]
    nodes: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    while nodes:
        node = nodes.pop()
        if not everywhere:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
                continue
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                nodes += node.orelse
                continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                yield f"{module}.{alias.name}" if f"{module}.{alias.name}" in MODULES else module
        nodes += ast.iter_child_nodes(node)


def strongly_connected(graph: dict[str, set[str]]) -> list[list[str]]:
    """Return the cycles of a graph (Tarjan)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    cycles: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(graph[node]):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            component = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(component) > 1 or node in graph[node]:
                cycles.append(sorted(component))

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return cycles


def test_cycles_would_be_found():
    assert strongly_connected({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]
    assert strongly_connected({"a": {"b"}, "b": set()}) == []


def test_no_import_cycles():
    graph = {name: {other for other in imports(name, everywhere=False) if other in MODULES} for name in MODULES}
    assert len(graph) > 40
    assert strongly_connected(graph) == []


def test_core_imports_no_plugin():
    wrong = [
        (name, other)
        for name in MODULES
        if name.split(".")[0] == "recon"
        for other in imports(name, everywhere=True)
        if other.split(".")[0] in ("recon_plugins", "recon_datasets")
    ]
    assert wrong == []


def test_plugins_meet_through_the_registry_alone():
    def owner(name: str) -> tuple[str, ...]:
        return tuple(name.split(".")[:2])

    wrong = [
        (name, other)
        for name in MODULES
        if name.split(".")[0] != "recon"
        for other in imports(name, everywhere=True)
        if other.split(".")[0] in ("recon_plugins", "recon_datasets") and owner(other) != owner(name)
    ]
    assert wrong == []


def test_inside_the_core_names_come_from_where_they_are_defined():
    """``from recon import X`` in the core would import half of it, in an order that matters."""
    wrong = [
        name
        for name in MODULES
        if name.startswith("recon.") and not name.startswith("recon.cli")
        for node in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module == "recon" and node.level == 0
        if any(alias.name not in ("__version__", "hookspecs") for alias in node.names)
    ]
    assert wrong == []


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True, cwd=ROOT.parent
    )
    return done.stdout


@pytest.mark.parametrize(
    "code",
    [
        "import recon",
        "import recon.testing.pytest_plugin",
        "import recon, recon.registry; recon.registry.registry()",
        "from recon.cli import main; main(['--help'])",
        "from recon.cli import main; main(['--version'])",
        "from recon.cli import main; main(['plugins'])",
        "from recon.cli import main; main(['plugins', '-v', '--json'])",
    ],
)
def test_starting_up_imports_nothing_heavy(code):
    lines = "import sys, contextlib\nwith contextlib.suppress(SystemExit):\n    " + code
    loaded = set(run(lines + "\nprint(); print(*sys.modules)").splitlines()[-1].split())
    assert "recon" in loaded
    assert HEAVY & loaded == set()


def test_every_heavy_name_is_a_real_module():
    """A typing slip in the list would make the test above pass for ever."""
    assert {name for name in HEAVY if name != "sigpy"} <= {name.split(".")[0] for name in sys.modules} | {
        name for name in HEAVY if _exists(name)
    }


def _exists(name: str) -> bool:
    from importlib.util import find_spec

    return find_spec(name) is not None


def cpu_seconds(code: str) -> float:
    before = os.times()
    subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=120, check=False, cwd=ROOT.parent)
    after = os.times()
    return after.children_user - before.children_user + after.children_system - before.children_system


@pytest.mark.skipif(sys.platform == "win32", reason="no CPU times of child processes on Windows")
@pytest.mark.parametrize(
    ("code", "limit"),
    [
        ("import recon", 10),
        ("from recon.cli import main; main(['--help'])", 12),
        ("from recon.cli import main; main(['plugins'])", 20),
    ],
)
def test_starting_up_is_quick(code, limit):
    """CPU time as a multiple of a bare interpreter's, so that a slow machine changes nothing; torch alone is 130."""
    pairs = [(cpu_seconds("pass"), cpu_seconds(code)) for _ in range(5)]
    ratio = statistics.median(b for _, b in pairs) / max(statistics.median(a for a, _ in pairs), 0.005)
    assert ratio < limit


@pytest.mark.parametrize("name", sorted(name for name in MODULES if not name.endswith(("__main__", ".kit"))))
def test_all_is_true_and_sorted(name):
    try:
        module = import_module(name)
    except ModuleNotFoundError as error:
        if error.name != "triton":  # the one library that modules of kernels may ask for
            raise
        pytest.skip("triton is not installed")
    listed = list(vars(module).get("__all__", []))
    missing = [item for item in listed if not hasattr(module, item)]
    assert missing == []
    # Constants, classes, functions: the order that ruff keeps. A list that is made from a table keeps the table's.
    made = "__all__ = [*" in MODULES[name].read_text(encoding="utf-8")
    assert made or listed == sorted(listed, key=lambda item: (not item.isupper(), not item[:1].isupper(), item))
    assert len(set(listed)) == len(listed)
