"""Headers are read once: an index of the files below a folder, kept as JSON."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from recon.errors import FileFormatError, ReconError
from recon.io.atomic import atomic_file
from recon.io.listing import list_files
from recon_datasets.fastmri.facts import Facts, look_at

__all__ = ["default_place", "index_files"]

_FORMAT = "recon fastmri index 1"
_WORTH = 64
"""Fewer files are looked at again each time, unless a place is named."""


def index_files(root: Path, place: Path | None = None) -> list[tuple[Path, Facts]]:
    """Return the .h5 files below a folder with what is known of each, in the order of their paths.

    What is known is kept as JSON, by path, size and time of change: of a known file only its size and time are looked
    at. A place that cannot be written, and an index that is damaged or of another version, cost time and nothing else.

    Parameters
    ----------
    root
        The folder, or one file.
    place
        Where to keep the index. By default a folder of caches (``$XDG_CACHE_HOME/recon``), for 64 files or more.

    Raises
    ------
    FileFormatError
        If there is no file, or one that is not fastMRI's.
    """
    files = list_files(root, (".h5",))
    worth = place is not None or len(files) >= _WORTH
    place = place if place is not None else default_place(root)
    known = _load(place) if worth and place is not None else {}
    found: list[tuple[Path, Facts]] = []
    entries: dict[str, Any] = {}
    for path in files:
        key = str(path.absolute())
        try:
            status = path.stat()
        except OSError as error:
            raise FileFormatError(f"{path} cannot be read: {error.strerror or error}") from error
        stamp = [status.st_size, status.st_mtime_ns]
        kept = known.get(key)
        facts = Facts.parse(kept.get("facts")) if isinstance(kept, dict) and kept.get("stamp") == stamp else None
        if facts is None:
            facts = look_at(path)
            kept = {"stamp": stamp, "facts": asdict(facts)}
        found.append((path, facts))
        entries[key] = kept
    below = str(root.absolute())
    others = {key: kept for key, kept in known.items() if key != below and not key.startswith(below + os.sep)}
    if worth and place is not None and others | entries != known:
        _save(place, others | entries)
    return found


def default_place(root: Path) -> Path | None:
    """Return where the index of a folder is kept if no place is named; None for those who have no home."""
    caches = os.environ.get("XDG_CACHE_HOME") or ""  # relative ones are to be ignored, says its specification
    try:
        folder = Path(caches) if Path(caches).is_absolute() else Path.home() / ".cache"
    except RuntimeError:
        return None
    return folder / "recon" / "fastmri" / f"{hashlib.sha256(str(root.absolute()).encode()).hexdigest()[:16]}.json"


def _load(place: Path) -> dict[str, Any]:
    try:
        kept = json.loads(place.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(kept, dict) or kept.get("format") != _FORMAT or not isinstance(kept.get("files"), dict):
        return {}
    files: dict[str, Any] = kept["files"]
    return files


def _save(place: Path, files: dict[str, Any]) -> None:
    # Read-only data folders, full disks and homes that are not there must not keep anyone from working.
    with contextlib.suppress(OSError, ReconError):
        place.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(place) as temporary:
            temporary.write_text(json.dumps({"format": _FORMAT, "files": files}), encoding="utf-8")
