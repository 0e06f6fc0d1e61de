"""List what a folder of scans holds: studies, series, what each is, its grid, and what would keep it from being read.

Only headers are read. Text fields, which may name the patient, are shown on request alone. A number of a series or an
image is what recon convert --series and --stack take.

  recon ls dicom_folder/
  recon ls archive.zip --json
  recon ls dicom_folder/ --show-text
"""

from __future__ import annotations

import argparse
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recon.cli.common import clean, status
from recon.cli.wording import as_options
from recon.errors import FileFormatError
from recon.registry import Entry, registry, resolve_target

if TYPE_CHECKING:
    from recon.io.series import SeriesInfo, StackInfo

__all__ = ["add_arguments", "find_series", "grid", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``recon ls``."""
    parser.add_argument("path", type=Path, metavar="FOLDER", help="folder, file or zip archive")
    parser.add_argument(
        "--show-text", action="store_true", help="show descriptions and identifiers, which may name the patient"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Scan and print."""
    pairs, others, unknown = find_series(arguments.path, text=arguments.show_text)
    found = [series for _, series in pairs]
    if arguments.json:
        record = {"series": [_record(series) for series in found], "other": dict(others), "unknown": unknown}
        print(json.dumps(record, indent=2))
        return 0
    _print(found)
    print(_summary(found, others, unknown))
    return 0


def find_series(path: Path, *, text: bool = False) -> tuple[list[tuple[str, SeriesInfo]], Counter[str], int]:
    """Return series, each with the name of its reader, the number of other files by reader, and that of unknown files.

    Raises
    ------
    FileFormatError
        If there is no such file or folder.
    """
    if not path.exists():
        raise FileFormatError(f"{path} does not exist")
    entries = list(registry().entries("reader"))
    others: Counter[str] = Counter()
    scanning: dict[str, Entry] = {}
    unknown = 0
    for file in _files(path):
        entry = _reader(file, entries)
        if entry is None:
            unknown += 1
        elif entry.component.scan is not None:
            scanning[entry.qualified] = entry
        else:
            others[entry.name] += 1
    found: list[tuple[str, SeriesInfo]] = []
    for entry in scanning.values():
        assert entry.component.scan is not None  # noqa: S101 - for the type checker
        with status("reading headers"):
            found += [(entry.qualified, series) for series in resolve_target(entry.component.scan)(path, text=text)]
    return found, others, unknown


def grid(stack: StackInfo) -> str:
    """Return the size of a stack, as x, y, z and the number of volumes, and of its voxels."""
    shape = stack.shape
    sizes = list(map(str, (*shape[:0:-1], *([shape[0]] if len(shape) == 3 else []))))
    if len(shape) == 4 and shape[0] > 1:
        sizes.append(f"{shape[0]} volumes")
    size = " x ".join(sizes)
    if stack.voxel_size is None:
        return size
    return f"{size}, {' x '.join(f'{value:.3g}' for value in stack.voxel_size)} mm"


def _files(path: Path) -> Iterator[Path]:
    """Give the regular files of a folder that are not hidden, or the file that was named."""
    if not path.is_dir():
        yield path
        return
    for parent, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            file = Path(parent, name)
            if not name.startswith(".") and file.is_file():  # neither a pipe nor a device
                yield file


def _reader(file: Path, entries: Sequence[Entry]) -> Entry | None:
    """Return the reader whose mark a file carries, else one whose suffix it has."""
    try:
        with file.open("rb", buffering=0) as opened:
            head = opened.read(256)
    except OSError:
        return None
    name = file.name.lower()
    fitting = [
        entry
        for entry in entries
        if any(head[offset : offset + len(mark)] == mark for offset, mark in entry.component.magic)
    ] or [entry for entry in entries if not entry.component.magic and name.endswith(_suffixes(entry))]
    # One that scans goes first: it says what the file is. Then one whose suffix fits as well.
    fitting.sort(key=lambda entry: (entry.component.scan is None, not name.endswith(_suffixes(entry))))
    return fitting[0] if fitting else None


def _suffixes(entry: Entry) -> tuple[str, ...]:
    return tuple(suffix for suffix in entry.component.suffixes if suffix != "/")


def _print(found: Sequence[SeriesInfo]) -> None:
    if not found:
        return
    header = ("", "series", "files", "size", "what", "grid (x, y, z)", "problem")
    table = [(series, _rows(series)) for series in found]
    every = [header, *(row for _, rows in table for row in rows)]
    widths = [max(map(len, column)) for column in zip(*every, strict=True)]
    study = 0
    print(_line(header, widths))
    for series, rows in table:
        for turn, row in enumerate(rows):
            label = f"study {series.study}" if turn == 0 and series.study != study else ""
            print(_line((label.ljust(9), *row[1:]), widths))
        study = series.study
        for name, value in series.text.items():
            print(f"{'':<13}{name}: {clean(value)}")
    print()
    for series in found:
        for code, message in _problems(series):
            print(f"series {series.number}: {as_options(f'{code}: {message}')}")


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(
        cell.ljust(max(width, 9 * (not i))) for i, (cell, width) in enumerate(zip(row, widths, strict=True))
    ).rstrip()


def _rows(series: SeriesInfo) -> list[tuple[str, ...]]:
    """Return the cells of a series: a row for each image in it, and one before them for what concerns all."""
    first = ("", str(series.number), str(series.files), _bytes(series.size))
    several = len(series.stacks) > 1
    whats = [
        (f"{stack.number}: {stack.kind}" if several else stack.kind, grid(stack), stack.problem or "")
        for stack in series.stacks
    ]
    if not whats:
        whats = [(series.modality, "", series.problem or "")]
    elif series.problem is not None and several:
        whats.insert(0, (f"{len(series.stacks)} images", "", series.problem))
    elif series.problem is not None:
        whats[0] = (*whats[0][:2], series.problem)
    return [((first if turn == 0 else ("", "", "", "")) + what) for turn, what in enumerate(whats)]


def _problems(series: SeriesInfo) -> list[tuple[str, str]]:
    found = [(series.problem, series.message)] if series.problem is not None else []
    found += [(stack.problem, stack.message) for stack in series.stacks if stack.problem is not None]
    return list(dict.fromkeys(found))


def _summary(found: Sequence[SeriesInfo], others: Counter[str], unknown: int) -> str:
    studies, faulty = len({series.study for series in found}), sum(bool(_problems(series)) for series in found)
    parts = [f"{len(found)} series in {studies} {'study' if studies == 1 else 'studies'}" if found else "no series"]
    parts += [f"{faulty} with problems (docs/error-codes.md)"] if faulty else []
    parts += [
        f"{count} {'file' if count == 1 else 'files'} for reader {name}" for name, count in sorted(others.items())
    ]
    parts += [f"{unknown} of no known format"] if unknown else []
    return ", ".join(parts)


def _record(series: SeriesInfo) -> dict[str, Any]:
    record = asdict(series)
    record.pop("paths", None)
    return record


def _bytes(count: int) -> str:
    size, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 1000:
            break
        size, unit = size / 1000, larger
    return f"{size:.3g} {unit}" if size < 1000 else f"{size:.0f} {unit}"
