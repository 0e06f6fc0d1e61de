"""Explain one component: what it does, its parameters, where its code is, whom to cite.

Examples
--------
  recon show radon
  recon show operator radon
  recon show operator astra/radon
"""

from __future__ import annotations

import argparse
import inspect
import json
from typing import Any

from recon.errors import ComponentError, MissingDependencyError
from recon.registry import Entry, registry, resolve_target, suggest
from recon.spec import KINDS

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``recon show``."""
    parser.add_argument("kind", nargs="?", choices=KINDS, metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("name", metavar="NAME", help="component name, as configs give it")
    parser.add_argument("--json", action="store_true", help="print the JSON schema of the parameters")


def run(arguments: argparse.Namespace) -> int:
    """Print what is known of the component."""
    for number, entry in enumerate(_find(arguments.kind, arguments.name)):
        if arguments.json:
            from recon.schema import json_schema

            print(json.dumps(json_schema(entry.load()), indent=2))
        else:
            print("\n" if number else "", end="")
            _print(entry)
    return 0


def _find(kind: Any, name: str) -> list[Entry]:
    if kind is not None:
        return [registry().find(kind, name)]
    found = [entry for entry in registry().entries() if name in (entry.name, entry.qualified)]
    if not found:
        names = [entry.name for entry in registry().entries()]
        raise ComponentError(f"no component is called {name!r}{suggest(name, names)}; recon plugins lists all")
    return found


def _print(entry: Entry) -> None:
    item, plugin = entry.component, entry.plugin
    lines = {
        "plugin": f"{plugin.name} ({plugin.distribution} {plugin.version})",
        "references": ", ".join(f"https://doi.org/{it}" if it.startswith("10.") else it for it in item.references),
        "tags": ", ".join(item.tags),
        "licence": item.licence or "",
        "files": ", ".join(item.suffixes),
        "needs": ", ".join(item.requires),
        "stability": item.stability,
        "replaced by": item.replaced_by or "",
        "fails": "; ".join(f"{check}: {reason}" for check, reason in item.expected_failures),
    }
    print(f"{item.kind} {entry.name}: {item.summary}\n")
    try:
        target = entry.load()
    except MissingDependencyError as error:
        target, lines["missing"] = None, str(error)
    if target is not None:
        lines = {"source": _source(target), "import": item.target.replace(":", "."), **lines}
    print("\n".join(f"{name + ':':<12} {text}" for name, text in lines.items() if text))
    if target is not None:
        _print_parameters(entry, target)
        if documentation := inspect.getdoc(target):
            print(f"\n{documentation}")
    for number, example in enumerate(resolve_target(item.examples)() if item.examples and target else []):
        heading = "\nexamples:\n" if number == 0 else ""
        params = ", ".join(f"{key}={_brief(value)}" for key, value in example.params.items())
        print(f'{heading}  recon.build("{item.kind}", "{entry.name}"{", " + params if params else ""})')


def _print_parameters(entry: Entry, target: Any) -> None:
    from recon.schema import constructor_parameters, json_schema, parts_of

    properties = json_schema(target).get("properties", {})
    parts = parts_of(target)
    rows = []
    for name, parameter in constructor_parameters(target).items():
        kind = f"a {parts[name]}" if name in parts else _type(properties.get(name, {}))
        default = "required" if parameter.default is parameter.empty else f"= {_brief(parameter.default)}"
        rows.append((name, kind, default))
    print("\nparameters:" if rows else f"\n{entry.component.kind} {entry.name} takes no parameters")
    widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
    for name, kind, default in rows:
        print(f"  {name:<{widths[0]}}  {kind:<{widths[1]}}  {default}")


def _type(schema: dict[str, Any]) -> str:
    """Say a JSON schema in a few words: ``integer > 0``, ``list of number``, ``"a" or "b"``."""
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_type(option) for option in schema["anyOf"]))
    if "enum" in schema or "const" in schema:
        return " or ".join(json.dumps(value) for value in schema.get("enum", [schema.get("const")]))
    kind = schema.get("type", "any")
    if kind == "array":
        if "prefixItems" in schema:
            return f"({', '.join(_type(part) for part in schema['prefixItems'])})"
        return f"list of {_type(schema.get('items', {}))}"
    if kind == "object" and "." in schema.get("title", ""):
        return str(schema["title"]).rpartition(".")[2]
    signs = {"exclusiveMinimum": ">", "minimum": ">=", "exclusiveMaximum": "<", "maximum": "<="}
    limits = [f"{sign} {schema[word]:g}" for word, sign in signs.items() if word in schema]
    return " ".join([str(kind), *limits])


def _brief(value: Any) -> str:
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"<{type(value).__name__.lower()} {tuple(value.shape)}>"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _source(target: Any) -> str:
    try:
        return f"{inspect.getsourcefile(target)}:{inspect.getsourcelines(target)[1]}"
    except (TypeError, OSError):
        return "unknown"
