"""``recon convert --batch``: every image of every series below a folder, one after the other.

The folder of results holds ``batch.jsonl``: first the options and a random salt, then a line for each image that is
finished, under a keyed hash of its files' names, sizes and times. Names of results are numbers and a part of that hash.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import json
import secrets
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recon.cli.common import track
from recon.cli.ls import find_series, grid
from recon.cli.wording import as_options
from recon.errors import CodedFileError, CodedUsageError, ReconError, UsageError, is_out_of_memory

if TYPE_CHECKING:
    from recon.io.series import SeriesInfo, StackInfo

__all__ = ["Item", "Journal", "run_batch"]

JOURNAL = "batch.jsonl"
PASSED_OVER = "RECON-DICOM-KIND"
"""What is no image at all, a report for instance, is no failure."""


@dataclass(frozen=True, slots=True)
class Item:
    """An image to convert.

    Parameters
    ----------
    reader
        Name of its reader.
    series
        The series that it is in.
    stack
        Its number within the series; None for the only one.
    label
        What it is, in words of our own.
    """

    reader: str
    series: SeriesInfo
    stack: int | None
    label: str


class Journal:
    """What of a batch is finished, on disk.

    Parameters
    ----------
    folder
        The folder of results; it is made.
    settings
        The options on which results depend.

    Raises
    ------
    UsageError
        If the folder holds something else, or the results of other options.
    """

    def __init__(self, *, folder: Path, settings: dict[str, Any]) -> None:
        self.folder = folder
        self.settings = settings
        self._path = folder / JOURNAL
        self._done: dict[str, str] = {}
        if not folder.parent.is_dir():
            raise UsageError(f"folder {folder.parent} does not exist; make it first")
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"{folder} is a file; give the name of a folder")
        if self._path.is_file():
            self._salt = self._read()
            return
        if folder.is_dir() and any(folder.iterdir()):
            raise UsageError(f"folder {folder} holds no batch and is not empty; choose another name")
        folder.mkdir(mode=0o700, exist_ok=True)
        self._salt = secrets.token_hex(16)
        self._append({"salt": self._salt, "settings": settings})

    def key(self, item: Item, root: Path) -> str:
        """Return what identifies an item: a hash of its files as they are now, and of its number in the series."""
        facts = [str(item.stack)]
        for path in sorted(item.series.paths):
            status = path.stat()
            facts.append(
                f"{path.relative_to(root) if path.is_relative_to(root) else path}:{status.st_size}:{status.st_mtime_ns}"
            )
        if not item.series.paths:
            status = root.stat()
            facts.append(f"{item.series.number}:{status.st_size}:{status.st_mtime_ns}")
        return hmac.new(
            bytes.fromhex(self._salt), "\n".join(facts).encode("utf-8", "replace"), hashlib.sha256
        ).hexdigest()

    def finished(self, key: str) -> str | None:
        """Return the name of the result of an item, if it is still there."""
        name = self._done.get(key)
        return name if name is not None and (self.folder / name).exists() else None

    def finish(self, key: str, name: str) -> None:
        """Record that an item's result is complete."""
        self._done[key] = name
        self._append({"key": key, "file": name})

    def _append(self, record: dict[str, Any]) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def _read(self) -> str:
        text = self._path.read_text(encoding="utf-8")
        if text and not text.endswith("\n"):  # a crash cut the last line off: that image is done again
            text = text[: text.rfind("\n") + 1]
            self._path.write_text(text, encoding="utf-8")
        try:
            first, *others = [json.loads(line) for line in text.splitlines()]
            salt, settings = str(first["salt"]), first["settings"]
            bytes.fromhex(salt)
            self._done = {str(record["key"]): str(record["file"]) for record in others}
        except (ValueError, KeyError, TypeError):
            raise UsageError(f"{self._path} is damaged; choose another folder for the results") from None
        if settings != self.settings:
            raise UsageError(
                f"folder {self.folder} holds a batch of other options; repeat those, or choose another name"
            )
        return salt


def run_batch(arguments: argparse.Namespace) -> int:
    """Convert what is not finished; 1 if something could not be read or written."""
    for name in ("reference", "like", "series", "stack", "reader"):
        if getattr(arguments, name):
            raise UsageError(f"--{name} is about one image; leave it out with --batch")
    suffix = "" if arguments.suffix == "/" else arguments.suffix
    if suffix and not suffix.startswith("."):
        raise UsageError(f"--suffix {suffix}: give an ending such as .nii.gz, or / for folders")
    pairs, others, unknown = find_series(arguments.source)
    items = [item for reader, series in pairs for item in _items(reader, series)]
    if not items:
        raise UsageError(f"{arguments.source} holds no series; recon ls says what is in it")
    names = ("allow_gaps", "untilt", "suffix", "unit", "window", "writer")
    journal = Journal(folder=arguments.target, settings={name: getattr(arguments, name) for name in names})
    counts: Counter[str] = Counter()
    for item in track(items, "converting"):
        key = journal.key(item, arguments.source)
        if journal.finished(key) is not None:
            counts["finished before"] += 1
            continue
        name = f"{item.series.study:03d}-{item.series.number:04d}-{item.stack or 1:02d}-{key[:12]}{suffix}"
        try:
            _convert(item, arguments, arguments.target / name)
        except KeyboardInterrupt:
            raise KeyboardInterrupt("interrupted; the same command goes on with what is not finished") from None
        except Exception as error:  # noqa: BLE001 - whatever it is, the other series must not suffer
            code, message = _told(error)
            counts["passed over" if code == PASSED_OVER else code] += 1
            if code != PASSED_OVER:
                image = "" if item.stack is None else f" image {item.stack}"
                print(f"series {item.series.number}{image}: {as_options(f'{code}: {message}')}", flush=True)
            continue
        journal.finish(key, name)
        counts["converted"] += 1
        print(f"{name}: {item.label}", flush=True)
    skipped = sum(others.values()) + unknown
    counts.update({"other files": skipped} if skipped else {})
    print(", ".join(f"{counts[name]} {name}" for name in _ordered(counts)))
    return 1 if any(name not in _GOOD for name in counts) else 0


_GOOD = ("converted", "finished before", "passed over", "other files")


def _ordered(counts: Counter[str]) -> list[str]:
    return [
        *[n for n in _GOOD[:2] if n in counts],
        *sorted(set(counts) - set(_GOOD)),
        *[n for n in _GOOD[2:] if n in counts],
    ]


def _items(reader: str, series: SeriesInfo) -> list[Item]:
    """Return the images of a series, localizers only where there is nothing else."""
    stacks: Sequence[StackInfo] = [stack for stack in series.stacks if not stack.localizer] or series.stacks
    if not stacks:
        return [Item(reader, series, None, series.modality)]
    several = len(series.stacks) > 1
    return [Item(reader, series, stack.number if several else None, f"{stack.kind}, {grid(stack)}") for stack in stacks]


def _convert(item: Item, arguments: argparse.Namespace, target: Path) -> None:
    from recon.building import build
    from recon.cli.convert import options, writer_options, writing
    from recon.io import write

    config = {"use": item.reader, **options(arguments)}
    if item.stack is not None:
        config["stack"] = item.stack
    where: Any = list(item.series.paths)
    if not where:
        where, config["series"] = arguments.source, item.series.number
    image = build("reader", config).read(where)
    write(image, target, writer=writing(image, target, writer_options(arguments), arguments.writer))


def _told(error: Exception) -> tuple[str, str]:
    """Return a code or the kind of an error, and what may be said of it."""
    if isinstance(error, CodedFileError | CodedUsageError):
        return error.code, error.message.removeprefix("the list of files: ")
    if isinstance(error, ReconError):
        return "refused", str(error)
    if is_out_of_memory(error):
        return "out of memory", "the image is too large for this machine"
    # The text of foreign errors may quote the file.
    return "failed", type(error).__name__
