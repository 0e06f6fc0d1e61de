"""Pages about every installed component, and the table of where each lives, made from the registry.

``python docs/_ext/components.py`` rewrites the table in plugins/README.md; a test keeps it true.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

from recon.registry import Entry, Plugin, registry, resolve_target
from recon.schema import parameters_model, parts_of

ROOT = Path(__file__).resolve().parents[2]
WHERE = ROOT / "plugins" / "README.md"

INTRODUCTION = """# Where things live

The folder after `recon_plugins/` or `recon_datasets/` is the plugin's name; `tests/plugins/<name>/` and
`tests/datasets/<name>/` are its tests. This table is made from the plugins' own declarations by
`python docs/_ext/components.py`.

"""


def first_party() -> list[Plugin]:
    """Return the plugins of this distribution that loaded, by name."""
    return sorted((p for p in registry().plugins if p.first_party and p.state == "ok"), key=lambda p: p.name)


def where_table() -> str:
    """Return the Markdown table: component, kind, file, what it is."""
    lines = ["| component | kind | file | what it is |", "| --- | --- | --- | --- |"]
    for plugin in first_party():
        for component in plugin.components:
            if component.foreign:
                continue
            module = component.target.partition(":")[0]
            top = "datasets" if module.startswith("recon_datasets") else "plugins"
            path = f"{top}/{module.replace('.', '/')}.py"
            lines.append(f"| `{Entry(plugin, component).name}` | {component.kind} | {path} | {component.summary} |")
    foreign = [p.name for p in first_party() if any(c.foreign for c in p.components)]
    lines += ["", f"Adapters to other libraries, listed by `recon plugins`: {', '.join(f'`{n}`' for n in foreign)}."]
    return "\n".join(lines) + "\n"


def component_page(plugin: Plugin) -> str:
    """Return the Markdown page of one plugin."""
    lines = [f"# {plugin.name}", ""]
    for component in plugin.components:
        entry = Entry(plugin, component)
        lines += [f"## `{entry.name}` ({component.kind})", "", component.summary, ""]
        if component.foreign:
            lines += [f"Taken as it is from `{component.target}`.", ""]
            continue
        # Without asking for its library: a class of ours imports that only when it is used.
        target = resolve_target(component.target)
        lines += ["```text", inspect.cleandoc(target.__doc__ or ""), "```", ""]
        lines += parameter_table(target)
        if component.references:
            links = [
                f"[{it}]({f'https://doi.org/{it}' if it.startswith('10.') else it})" for it in component.references
            ]
            lines += ["Sources: " + ", ".join(links), ""]
    return "\n".join(lines)


def parameter_table(target: Any) -> list[str]:
    """Return the table of constructor parameters: name, type, default."""
    rows = [f"| `{name}` | {kind} | {default} |" for name, kind, default in parameters(target)]
    return ["| parameter | type | default |", "| --- | --- | --- |", *rows, ""] if rows else ["No parameters.", ""]


def parameters(target: Any) -> list[tuple[str, str, str]]:
    """Return (name, type, default) of each constructor parameter as text."""
    parts = parts_of(target)
    rows = []
    for info in parameters_model(target).model_fields.values():
        name = str(info.alias)
        kind = f"a {parts[name]}" if name in parts else inspect.formatannotation(info.annotation)
        limits = ", ".join(re.sub(r"\w+\((.*)\)", r"\1", repr(m)) for m in info.metadata)
        default = "required" if info.is_required() else f"`{info.default!r}`"
        rows.append((name, (kind + (f" ({limits})" if limits else "")).replace("|", "or"), default))
    return rows


def generate(app: Any) -> None:
    """Write one page per plugin and their index, before Sphinx reads its sources."""
    folder = Path(app.srcdir) / "components"
    folder.mkdir(exist_ok=True)
    for plugin in first_party():
        (folder / f"{plugin.name}.md").write_text(component_page(plugin), encoding="utf-8")
    names = "\n".join(p.name for p in first_party())
    index = f"# Components\n\nEvery component that ships with recon.\n\n```{{toctree}}\n{names}\n```\n"
    (folder / "index.md").write_text(index, encoding="utf-8")
    (Path(app.srcdir) / "where.md").write_text(INTRODUCTION + where_table(), encoding="utf-8")


def escape_formulas(app: Any, what: str, name: str, obj: object, options: Any, lines: list[str]) -> None:
    """Keep the bars of norms and the stars of shapes in docstrings from being read as markup."""
    del app, what, name, obj, options
    for index, line in enumerate(lines):
        words = line.split("``")
        words[::2] = [re.sub(r"(?<!\\)([|*])", r"\\\1", word) for word in words[::2]]
        lines[index] = "``".join(words)


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("builder-inited", generate)
    app.connect("autodoc-process-docstring", escape_formulas, priority=400)  # before napoleon adds markup of its own
    return {"parallel_read_safe": True}


if __name__ == "__main__":
    WHERE.write_text(INTRODUCTION + where_table(), encoding="utf-8")
