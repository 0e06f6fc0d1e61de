"""Files and folders that appear complete or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from recon.errors import UsageError

__all__ = ["atomic_file", "atomic_folder", "beside", "check_folder", "check_place", "check_stale", "write_text"]


@contextmanager
def atomic_file(path: str | Path, others: Sequence[Path] = ()) -> Iterator[Path]:
    """Give a temporary name beside `path` to write to; rename it to `path` when the block ends well.

    The temporary name keeps the suffix, by which many writers choose the format. After an exception the temporary file
    is gone and what stood at `path` is untouched. An existing file is replaced in one step.

    Parameters
    ----------
    path
        The file to make.
    others
        Files that may come with it, in the same folder. The block writes them, or not, under their names with what
        stands before `path`'s own name in the temporary one. All appear or none; only a crash of the machine between
        two renames can leave a part.

    Raises
    ------
    UsageError
        If the folder of `path` does not exist, `path` is a folder, or one of `others` is there and was not written
        anew: it belongs to what stood at `path` before.
    """
    path = Path(path)
    check_place(path)
    temporary = _sibling(path)
    mark = temporary.name.removesuffix(path.name)
    moves = {temporary.with_name(mark + other.name): other for other in others} | {temporary: path}
    try:
        yield temporary
        check_stale(path, [other for written, other in moves.items() if not written.exists() and other != path])
        moves = {written: final for written, final in moves.items() if written.exists() or final == path}
        for written in moves:
            _sync(written)
        _replace(moves)
        _sync(path.parent)
    except OSError as error:
        for written, final in moves.items():
            _name(error, written, final)
        raise
    finally:
        for written in moves:
            written.unlink(missing_ok=True)


def beside(path: Path, ending: str, suffixes: Sequence[str]) -> Path:
    """Return the file of another ending that goes with `path`: x.bval of x.nii.gz, if ".nii.gz" is in `suffixes`."""
    name = path.name.lower()
    longest = max((suffix for suffix in suffixes if name.endswith(suffix)), key=len, default=path.suffix)
    return path.with_name(path.name[: len(path.name) - len(longest)] + ending)


def check_stale(path: Path, others: Sequence[Path]) -> None:
    """Refuse to write `path` where files of `others` are there, which would then seem to belong to it.

    Raises
    ------
    UsageError
        If one is there.
    """
    for other in others:
        if other.exists():
            raise UsageError(
                f"{other} belongs to another image and would be taken for one of {path.name}: remove it first, or "
                "choose another name"
            )


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


def _replace(moves: dict[Path, Path]) -> None:
    """Rename all files, the last one in one step; if one cannot be, those before are again as they were."""
    kept: dict[Path, Path] = {}
    done: list[Path] = []
    try:
        for final in [*moves.values()][:-1]:
            if final.exists():
                shutil.copy2(final, kept.setdefault(final, _sibling(final)))
        for written, final in moves.items():
            written.replace(final)
            done.append(final)
    except BaseException:
        for final in done:
            kept[final].replace(final) if final in kept else final.unlink()
        raise
    finally:
        for copy in kept.values():
            copy.unlink(missing_ok=True)


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
