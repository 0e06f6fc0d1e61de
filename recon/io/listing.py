"""Finding files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from recon.errors import FileFormatError

__all__ = ["check_is_file", "check_is_folder", "list_files"]


def check_is_file(path: Path) -> None:
    """Refuse what is no file.

    Raises
    ------
    FileFormatError
        If there is nothing of this name, or something else.
    """
    if not path.is_file():
        raise FileFormatError(f"{path} is not a file" if path.exists() else f"{path} does not exist")


def check_is_folder(path: Path) -> None:
    """Refuse what is no folder.

    Raises
    ------
    FileFormatError
        If there is nothing of this name, or something else.
    """
    if not path.is_dir():
        raise FileFormatError(f"{path} is not a folder" if path.exists() else f"{path} does not exist")


def list_files(root: str | Path, suffixes: Sequence[str]) -> list[Path]:
    """Return the files below a folder that end in one of `suffixes`, sorted by path; a file stands for itself.

    Hidden files and folders (``.DS_Store``, ``._scan.h5``) are left out; the case of the suffix does not matter.

    Raises
    ------
    FileFormatError
        If `root` does not exist or holds no such file.
    """
    root = Path(root)
    if root.is_file():
        return [root]
    if not root.is_dir():
        raise FileFormatError(f"data folder {root} does not exist")
    endings = tuple(suffix.lower() for suffix in suffixes)
    found = [
        path
        for path in root.rglob("*")
        if path.name.lower().endswith(endings)
        and not any(part.startswith(".") for part in path.relative_to(root).parts)
        and path.is_file()
    ]
    if not found:
        raise FileFormatError(f"data folder {root} holds no file ending in {', '.join(suffixes)}")
    return sorted(found)
