"""Files and folders that appear complete or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recon.errors import UsageError

__all__ = ["atomic_file", "atomic_folder", "check_folder", "check_place", "write_text"]


@contextmanager
def atomic_file(path: str | Path) -> Iterator[Path]:
    """Give a temporary name beside `path` to write to; rename it to `path` when the block ends well.

    The temporary name keeps the suffix, by which many writers choose the format. After an exception the temporary file
    is gone and what stood at `path` is untouched. An existing file is replaced in one step.

    Raises
    ------
    UsageError
        If the folder of `path` does not exist, or `path` is a folder.
    """
    path = Path(path)
    check_place(path)
    temporary = _sibling(path)
    try:
        yield temporary
        _sync(temporary)
        temporary.replace(path)
        _sync(path.parent)
    except OSError as error:
        _name(error, temporary, path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Give a temporary folder beside `path` to fill; rename it to `path` when the block ends well.

    Parameters
    ----------
    path
        The folder to make. A crash never leaves it half filled.
    overwrite
        Whether a folder with content at `path` may be replaced; the old one goes when the new one is in place.

    Raises
    ------
    UsageError
        If the parent folder does not exist, `path` is a file, or it has content and `overwrite` is off.
    """
    path = Path(path)
    check_folder(path, overwrite=overwrite)
    temporary = _sibling(path)
    temporary.mkdir()
    try:
        yield temporary
        for entry in sorted(temporary.rglob("*")):
            _sync(entry)
        _sync(temporary)
        old = _sibling(path) if path.is_dir() else None
        if old is not None:
            path.rename(old)
        temporary.rename(path)
        _sync(path.parent)
        if old is not None:
            shutil.rmtree(old)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file in UTF-8, as `atomic_file` does."""
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def check_place(path: Path) -> None:
    """Refuse the name of a file that cannot be written.

    Raises
    ------
    UsageError
        If the folder of `path` does not exist, or `path` is a folder.
    """
    _check_parent(path)
    if path.is_dir():
        raise UsageError(f"{path} is a folder; give a file name")


def check_folder(path: Path, *, overwrite: bool = False) -> None:
    """Refuse the name of a folder that cannot be made.

    Raises
    ------
    UsageError
        If the parent folder does not exist, `path` is a file, or it has content and `overwrite` is off.
    """
    _check_parent(path)
    if path.exists() and not path.is_dir():
        raise UsageError(f"{path} is a file; give the name of a folder")
    if not overwrite and path.is_dir() and any(path.iterdir()):
        raise UsageError(f"folder {path} exists and is not empty; choose another name or remove it")


def _sibling(path: Path) -> Path:
    return path.with_name(f".{secrets.token_hex(4)}.{path.name}")


def _name(error: OSError, temporary: Path, path: Path) -> None:
    """Have an error about the temporary name tell the name that the user gave."""
    if error.filename == str(temporary) or error.filename == temporary:
        error.filename, error.filename2 = str(path), None


def _check_parent(path: Path) -> None:
    if not path.parent.is_dir():
        raise UsageError(f"folder {path.parent} does not exist; make it first")


def _sync(path: Path) -> None:
    # Windows cannot open a folder; there, renaming is durable enough.
    if os.name == "nt" and path.is_dir():
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
