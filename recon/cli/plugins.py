"""List the installed plugins, what they offer, and why one does not load.

Examples
--------
  recon plugins               a table of plugins and components
  recon plugins -v            with distribution, version and module
  recon plugins --trace       with the tracebacks of broken plugins
"""

from __future__ import annotations

import argparse
import json
import traceback
from collections.abc import Sequence

from recon.registry import Entry, Plugin, registry

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``recon plugins``."""
    parser.add_argument("-v", "--verbose", action="store_true", help="show distribution, version and module")
    parser.add_argument("--trace", action="store_true", help="show the tracebacks of broken plugins")
    parser.add_argument("--json", action="store_true", help="print as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print the table; 1 if a plugin is broken or incompatible."""
    plugins = registry().plugins
    if arguments.json:
        print(json.dumps([_record(plugin) for plugin in plugins], indent=2))
    else:
        _print(plugins, verbose=arguments.verbose)
    failed = [plugin for plugin in plugins if plugin.state in ("broken", "incompatible")]
    if arguments.trace:
        for plugin in failed:
            if plugin.error is not None:
                print(f"\n{plugin.name}:", *traceback.format_exception(plugin.error), sep="\n", end="")
    return 1 if failed else 0


def _print(plugins: Sequence[Plugin], *, verbose: bool) -> None:
    header = ("plugin", "state", "kind", "component", "summary")
    rows: list[tuple[str, ...]] = []
    for plugin in plugins:
        if plugin.state != "ok":
            rows.append((plugin.name, plugin.state, "", "", plugin.reason))
        name = plugin.name
        for component in plugin.components:
            rows.append((name, "ok", component.kind, Entry(plugin, component).name, component.summary))
            name = ""  # once per plugin
        for command in plugin.commands:
            rows.append((name, "ok", "command", command.name, command.summary))
            name = ""
        if verbose:
            rows.append(("", "", "", "", f"[{plugin.distribution} {plugin.version}, {plugin.module}]"))
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header) - 1)]
    for row in (header, *rows):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        print("  ".join([*cells, row[-1]]).rstrip())
    states = [plugin.state for plugin in plugins]
    count = sum(len(plugin.components) for plugin in plugins)
    others = [f"{states.count(state)} {state}" for state in ("disabled", "broken", "incompatible") if state in states]
    print(f"\n{', '.join([f'{len(plugins)} plugins', f'{count} components', *others])}")


def _record(plugin: Plugin) -> dict[str, object]:
    return {
        "name": plugin.name,
        "state": plugin.state,
        "reason": plugin.reason,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "module": plugin.module,
        "components": [
            {
                "kind": item.kind,
                "name": Entry(plugin, item).name,
                "qualified": Entry(plugin, item).qualified,
                "summary": item.summary,
                "target": item.target,
            }
            for item in plugin.components
        ],
        "commands": [{"name": item.name, "summary": item.summary} for item in plugin.commands],
    }
