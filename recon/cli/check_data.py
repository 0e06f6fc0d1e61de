"""Say what is wrong with data: a file, or all files below a folder.

Each file is read, values and all, by the reader that knows it, and there is one line for each problem. Files that no
reader knows are counted, not read. The exit code is 1 if there is a problem.

  recon check-data multicoil_val/
  recon check-data knee.h5 --reader fastmri
  recon check-data scans/ --json
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recon.cli.common import reader_from
from recon.errors import FileFormatError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``recon check-data``."""
    parser.add_argument("path", type=Path, help="file, or folder to be searched")
    parser.add_argument("--reader", help="reader, by name or YAML config, whatever the files look like")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Check the files; 1 if one has a problem."""
    reader = reader_from(arguments.reader)
    if not arguments.path.exists():
        raise FileFormatError(f"{arguments.path} does not exist")
    found: dict[str, list[str]] = {}
    skipped = 0
    for path, unknown in _files(arguments.path, reader):
        if unknown:
            skipped += 1
            continue
        if sys.stderr.isatty():
            print(f"\r\033[K{path}", end="", file=sys.stderr, flush=True)
        found[str(path)] = problems = _problems(path, reader)
        if sys.stderr.isatty():
            print("\r\033[K", end="", file=sys.stderr)
        if not arguments.json:
            for problem in problems:
                print(f"{path}: {problem}", flush=True)
    if not found:
        raise FileFormatError(f"folder {arguments.path} holds no file that a reader knows")
    faulty = sum(bool(problems) for problems in found.values())
    if arguments.json:
        print(json.dumps({"problems": found, "skipped": skipped}, indent=2))
    else:
        rest = f", {skipped} of no known format" if skipped else ""
        print(f"{len(found)} file{'s' if len(found) > 1 else ''} checked, {faulty or 'none'} with problems{rest}")
    return 1 if faulty else 0


def _files(root: Path, reader: Any) -> Iterator[tuple[Path, bool]]:
    """Give the files to check, each with whether no reader knows its kind; a folder that is one series is one."""
    from recon.io.files import FOLDER, is_known, suffixes

    if not root.is_dir():
        yield root, False  # a file that was named is read, and what is wrong with it told
        return
    if reader is not None and FOLDER in suffixes(reader):
        yield root, False
        return
    if reader is None and is_known(root):
        yield root, False
        return
    for path in sorted(root.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
        if hidden or not path.is_file():
            continue
        known = path.name.lower().endswith(suffixes(reader)) if reader is not None else is_known(path)
        yield path, not known


def _problems(path: Path, reader: Any) -> list[str]:
    from recon.io.files import find_reader

    try:
        chosen = find_reader(path, reader)
        look = getattr(chosen, "problems", None)
        if look is not None:
            return [str(problem) for problem in look(path)]
        return _odd(chosen.read(path))
    except (FileFormatError, OSError) as error:
        text = str(error) if isinstance(error, FileFormatError) else str(error.strerror or error)
        return [text.replace(f"{path}: ", "").replace(f"{path} ", "")]


def _odd(item: Any) -> list[str]:
    """Return what is wrong with the values of what was read."""
    odd = int((~item.data.isfinite()).sum())
    if odd:
        return [f"{odd} of {item.data.numel()} values are not finite (NaN or infinite)"]
    return [] if item.data.any() else ["all values are zero"]
