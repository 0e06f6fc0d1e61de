"""Run the conformance kit on a plugin, or on one of its components.

Examples
--------
  recon check radon                     a plugin and all that it offers
  recon check operator/radon            one component; others' are called operator/plugin/name
  recon check all                       every installed plugin
  recon check my_plugin --plugin my_plugin.py
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

from recon.errors import UsageError
from recon.registry import Entry, Plugin, registry
from recon.spec import KINDS, Kind

if TYPE_CHECKING:
    from recon.testing.suite import Result

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``recon check``."""
    parser.add_argument("names", nargs="+", metavar="NAME", help="a plugin, KIND/NAME, or all")
    parser.add_argument("-v", "--verbose", action="store_true", help="list passed checks as well")
    parser.add_argument("--json", action="store_true", help="print results as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Run the checks; 1 if one fails."""
    from recon.testing.suite import counts, plan

    checks = [check for subject in _subjects(arguments.names) for check in plan(subject)]
    results: list[Result] = []
    for check in checks:
        if not arguments.json and sys.stderr.isatty():
            print(f"\r\033[K{len(results)}/{len(checks)} {check.id}", end="", file=sys.stderr, flush=True)
        results.append(check.run())
    if sys.stderr.isatty() and not arguments.json:
        print("\r\033[K", end="", file=sys.stderr)
    counted = counts(results)
    if arguments.json:
        print(json.dumps({"counts": counted, "results": [result.as_dict() for result in results]}, indent=2))
    else:
        _print(results, verbose=arguments.verbose)
        print(", ".join(f"{count} {name}" for name, count in counted.items()))
    return 1 if counted["failed"] else 0


def _subjects(names: list[str]) -> list[Plugin | Entry]:
    found: list[Plugin | Entry] = []
    for name in names:
        kind, slash, rest = name.partition("/")
        if name == "all":
            found += registry().plugins
        elif slash and kind in KINDS:
            found.append(registry().find(_kind(kind), rest))
        elif slash:
            raise UsageError(f"{name!r} is neither a plugin nor KIND/NAME with a kind out of {', '.join(KINDS)}")
        else:
            found.append(registry().plugin(name))
    return found


def _kind(text: str) -> Kind:
    return next(kind for kind in KINDS if kind == text)


def _print(results: list[Result], *, verbose: bool) -> None:
    for result in results:
        if verbose or result.outcome != "passed":
            subject = f"{result.plugin}: {result.component or 'plugin'} {result.check}"
            print(f"{result.outcome:<8} {subject}" + (f": {result.reason}" if result.reason else ""))
