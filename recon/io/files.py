"""Reading and writing files through the reader and writer plugins."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from recon.building import Config, build
from recon.errors import CodedFileError, FileFormatError, MissingDependencyError, UsageError
from recon.interfaces import Reader, Writer
from recon.io.atomic import atomic_file, atomic_folder, beside, check_folder, check_place, check_stale
from recon.io.image import Image
from recon.io.measurement import Measurement
from recon.registry import Entry, registry

__all__ = [
    "FOLDER",
    "check_output",
    "companions",
    "find_reader",
    "find_writer",
    "is_known",
    "read",
    "reader_name",
    "suffixes",
    "write",
    "writer_name",
]

FOLDER = "/"
"""Stands among the `suffixes` of a reader or writer for folders."""


def read(path: str | Path, *, reader: Config | None = None) -> Image | Measurement:
    """Read an image or a measurement from a file or a folder.

    The content decides: readers whose `magic` the file carries are asked whether they accept it; the suffix decides
    only among those that do, and for formats that have no magic. A reader that fails is the end: no other one is tried.

    Parameters
    ----------
    path
        The file, or the folder of a series.
    reader
        The reader to use, whatever the file looks like: its name, or ``{"use": name, ...parameters}``.

    Raises
    ------
    FileFormatError
        If there is no such file, no reader or more than one accepts it, or the reader finds a fault in it.
    """
    path = Path(path)
    try:
        return find_reader(path, reader).read(path)
    except OSError as error:
        raise FileFormatError(f"{path} cannot be read: {error.strerror or error}") from error


def find_reader(path: Path, reader: Config | None = None) -> Reader:
    """Return the reader that `read` takes for a file or folder; parameters and errors as there."""
    if not path.exists():
        raise FileFormatError(f"{path} does not exist")
    if not path.is_dir() and not path.is_file():
        raise FileFormatError(f"{path} is neither a file nor a folder")
    return build("reader", reader) if reader else _choose(path)


def is_known(path: Path) -> bool:
    """Whether the suffix or the first bytes of a file or folder are those of a format that a reader is for."""
    entries = list(registry().entries("reader"))
    if path.is_dir():
        try:
            return _choose(path) is not None
        except FileFormatError:
            return False
    return any(_suffix(entry, path) for entry in entries) or bool(_candidates(path, entries))


def reader_name(path: Path) -> str:
    """Return the name of the reader that `read` takes for a file or folder; errors as there."""
    chosen = type(find_reader(path))
    target = f"{chosen.__module__}:{chosen.__qualname__}"
    return next(entry.name for entry in registry().entries("reader") if entry.component.target == target)


def writer_name(path: Path, item: Image | Measurement | None = None) -> str:
    """Return the name of the writer that `write` takes, as far as the path tells without an item; errors as there."""
    return _writer(path, item).name


def suffixes(reader: Config) -> tuple[str, ...]:
    """Return the suffixes that a reader declares."""
    name = reader if isinstance(reader, str) else str(reader["use"])
    return registry().find("reader", name).component.suffixes


def write(image: Image | Measurement, path: str | Path, *, writer: Config | None = None) -> None:
    """Write an image or a measurement to a file; the suffix chooses the format.

    The file appears when it is complete; an existing one is replaced. Files that go with it, the header of ``.cfl`` or
    the gradients of ``.nii.gz``, appear together with it or not at all. A name without a suffix is that of a new
    folder, for formats that write one: a DICOM series.

    Parameters
    ----------
    image
        What to write.
    path
        The file or new folder; the folder that it is in must exist.
    writer
        The writer to use, whatever the suffix: its name, or ``{"use": name, ...parameters}``.

    Raises
    ------
    UsageError
        If no writer or more than one knows the suffix, the format cannot hold what is to be written, or a file that
        goes with it (``.bval`` of ``.nii.gz``) is there, of another image, and would not be replaced.
    """
    path = Path(path)
    entry, chosen = find_writer(path, image, writer)
    place = atomic_folder(path) if _writes_folder(entry, path) else atomic_file(path, companions(entry, path))
    try:
        with place as temporary:
            chosen.write(image, temporary)
    except OSError as error:
        raise FileFormatError(f"{path} cannot be written: {error.strerror or error}") from error


def check_output(path: str | Path, like: Image | Measurement | None = None, *, writer: Config | None = None) -> None:
    """Refuse what `write` would refuse, before the work whose result is to be written.

    Parameters
    ----------
    path
        As for `write`.
    like
        Stands for what will be written: its axes, type, unit, place and metadata count, its values do not. Its corners
        are written aside, so that the writer itself says what it does not take.
    writer
        As for `write`.

    Raises
    ------
    UsageError
        If no writer knows the suffix, the folder does not exist, the name is that of a folder with content, or the
        format cannot hold such an item.
    """
    path = Path(path)
    entry, chosen = find_writer(path, like, writer)
    folder = _writes_folder(entry, path)
    if folder:
        check_folder(path)
    else:
        check_place(path)
    if like is None:
        return
    with TemporaryDirectory() as aside:
        place = Path(aside) / path.name
        if folder:
            place.mkdir()
        chosen.write(_corners(like) if isinstance(like, Image) else like, place)
        pairs = zip(companions(entry, path), companions(entry, place), strict=True)
        check_stale(path, [] if folder else [there for there, written in pairs if not written.exists()])


def find_writer(path: Path, item: Image | Measurement | None, writer: Config | None = None) -> tuple[Entry, Writer]:
    """Return the declaration of the writer that `write` takes, and the writer; parameters and errors as there."""
    if not writer:
        entry = _writer(path, item)
        return entry, build("writer", entry.qualified)
    name = writer if isinstance(writer, str) else str(writer["use"])
    return registry().find("writer", name), build("writer", writer)


def companions(entry: Entry, path: Path) -> list[Path]:
    """Return the files that a writer may leave beside a file."""
    known = [suffix for suffix in entry.component.suffixes if suffix != FOLDER]
    return [beside(path, ending, known) for ending in entry.component.companions]


def _corners(image: Image) -> Image:
    """Return zeros for the corners of each slice, where they are: next to nothing to write, and all of the place."""
    steps = [slice(None, None, max(1, count - 1)) for count in image.shape[-2:]]
    corners = image[(..., *steps)]
    return replace(corners, data=torch.zeros_like(corners.data, memory_format=torch.contiguous_format))


def _choose(path: Path) -> Reader:
    entries = list(registry().entries("reader"))
    candidates = _candidates(path, entries)
    accepting: list[tuple[Entry, Reader]] = []
    missing: MissingDependencyError | None = None
    for entry in candidates:
        try:
            candidate = build("reader", entry.qualified)
        except MissingDependencyError as error:
            missing = error
            continue
        if candidate.accepts(path):
            accepting.append((entry, candidate))
    if len(accepting) > 1:
        named = [pair for pair in accepting if _suffix(pair[0], path)]
        accepting = named if len(named) == 1 else accepting
    if len(accepting) > 1:
        names = " and ".join(repr(entry.name) for entry, _ in accepting)
        raise CodedFileError("RECON-IMAGE-READER", f"{path} is accepted by the readers {names}: say which with reader=")
    if accepting:
        return accepting[0][1]
    if missing is not None:
        raise missing
    raise CodedFileError("RECON-IMAGE-UNKNOWN", _unreadable(path, entries))


def _candidates(path: Path, entries: list[Entry]) -> list[Entry]:
    if path.is_dir():
        return [entry for entry in entries if FOLDER in entry.component.suffixes]
    with path.open("rb") as file:
        head = file.read(max((o + len(m) for e in entries for o, m in e.component.magic), default=0))
    return [entry for entry in entries if _may_read(entry, path, head)]


def _may_read(entry: Entry, path: Path, head: bytes) -> bool:
    magic = entry.component.magic
    if magic:
        return any(head[offset : offset + len(mark)] == mark for offset, mark in magic)
    return bool(_suffix(entry, path))


def _suffix(entry: Entry, path: Path) -> str:
    """Return the longest of the entry's suffixes that the path ends in, or nothing."""
    name = path.name.lower()
    fitting = [s for s in entry.component.suffixes if s != FOLDER and name.endswith(s)]
    fitting += [FOLDER] if path.is_dir() and FOLDER in entry.component.suffixes else []
    return max(fitting, key=len, default="")


def _unreadable(path: Path, entries: list[Entry]) -> str:
    if path.is_dir():
        return f"folder {path} holds no series that a reader knows; give a file, or a folder of DICOM slices"
    if path.stat().st_size == 0:
        return f"{path} is empty"
    claimed = [entry.name for entry in entries if _suffix(entry, path)]
    if claimed:
        *others, last = claimed
        names = f"{', '.join(others)} and {last} do" if others else f"{last} does"
        return (
            f"{path} is not what its suffix says: {names} not recognise its content; the file "
            "may be damaged, or of another kind"
        )
    known = sorted({s for entry in entries for s in entry.component.suffixes if s != FOLDER})
    return f"no reader recognises {path}; known suffixes: {', '.join(known) or 'none'}"


def _writer(path: Path, item: Image | Measurement | None) -> Entry:
    """Return the writer for a file of this name; without an item, the first of those among which it would decide."""
    entries = list(registry().entries("writer"))
    longest = max((len(_written_suffix(entry, path)) for entry in entries), default=0)
    fitting = [entry for entry in entries if longest and len(_written_suffix(entry, path)) == longest]
    if not fitting:
        known = sorted({suffix for entry in entries for suffix in entry.component.suffixes if suffix != FOLDER})
        raise UsageError(f"no writer for {path.name}; known suffixes: {', '.join(known) or 'none'}")
    if len(fitting) > 1 and item is None:
        return fitting[0]
    if len(fitting) > 1:
        fitting = [entry for entry in fitting if _takes(entry, item)] or fitting
    if len(fitting) > 1:
        names = " and ".join(repr(entry.name) for entry in fitting)
        raise UsageError(f"{path.name} fits the writers {names}: say which with writer=")
    return fitting[0]


def _takes(entry: Entry, item: Image | Measurement | None) -> bool:
    takes = getattr(build("writer", entry.qualified), "takes", None)
    return takes is None or bool(takes(item))


def _written_suffix(entry: Entry, path: Path) -> str:
    return FOLDER if _writes_folder(entry, path) else _suffix(entry, path)


def _writes_folder(entry: Entry, path: Path) -> bool:
    """Whether that writer makes a folder of this name: one without a suffix, or of a folder that is there."""
    return FOLDER in entry.component.suffixes and (path.is_dir() or not path.suffix)
