"""Where the bytes of DICOM objects are: files of a folder, files of a list, or members of a zip archive."""

from __future__ import annotations

import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from recon.errors import FileFormatError
from recon_datasets.dicom_series.errors import DicomError

__all__ = ["MARK", "Assume", "Source", "find_sources", "first_source", "is_dicom", "is_zip"]

MARK = b"DICM"
"""What stands after the first 128 bytes of a DICOM file."""
Assume = Literal["nothing", "implicit-le"]
"""How files are taken to be encoded that do not say."""
_UNREADABLE = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, RuntimeError, NotImplementedError, ValueError, OSError,
)  # fmt: skip
"""What files and damaged archives raise."""
_MOST_MEMBERS = 200_000
_ZIP_RATIO, _ZIP_FREE = 200, 2**26
"""A member of an archive may grow to so many times its packed size, or to 64 MiB."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file, or a member of an archive.

    Parameters
    ----------
    path
        The file or the archive.
    label
        How messages call it: never by its own name where the user did not give that, since it may name the patient.
    member
        Number of the member in the archive; -1 for a plain file.
    size
        Bytes.
    assume
        How it is taken to be encoded if it does not say.
    bare
        Whether it lacks DICOM's mark, and begins with the data set or its meta information.
    """

    path: Path
    label: str
    member: int = -1
    size: int = 0
    assume: Assume = "nothing"
    bare: bool = False

    def read(self, offset: int, count: int) -> bytes:
        """Return bytes; fewer only at the end.

        Raises
        ------
        DicomError
            If the file went away, or the member of the archive is damaged.
        """
        try:
            if self.member < 0:
                with self.path.open("rb", buffering=0) as file:
                    return os.pread(file.fileno(), count, offset)
            with zipfile.ZipFile(self.path) as archive, archive.open(archive.infolist()[self.member]) as file:
                file.seek(offset)
                return file.read(count)
        except _UNREADABLE:
            raise DicomError("RECON-DICOM-DAMAGED", f"{self.label} cannot be read; copy it again") from None

    def read_into(self, offset: int, buffer: memoryview) -> int:
        """Fill a buffer; return how many bytes there were."""
        if self.member >= 0:
            data = self.read(offset, len(buffer))
            buffer[: len(data)] = data
            return len(data)
        try:
            with self.path.open("rb", buffering=0) as file:
                return os.preadv(file.fileno(), [buffer], offset)
        except OSError:
            raise DicomError("RECON-DICOM-DAMAGED", f"{self.label} cannot be read; copy it again") from None


def is_dicom(path: Path) -> bool:
    """Whether the file carries DICOM's mark."""
    try:
        with path.open("rb", buffering=0) as file:
            return file.read(132)[128:] == MARK
    except OSError:
        return False


def is_zip(path: Path) -> bool:
    """Whether the file is a zip archive."""
    try:
        with path.open("rb", buffering=0) as file:
            return file.read(4) == b"PK\3\4"
    except OSError:
        return False


def find_sources(where: Path | Sequence[Path], *, assume: Assume = "nothing") -> list[Source]:
    """Return the DICOM objects of a folder with its subfolders, of a zip archive, a list of files, or a file.

    Of folders and archives, what has no DICOM mark is passed over, as are hidden files and what is no regular file.
    `assume` makes named files do without the mark.

    Raises
    ------
    DicomError
        If there is none, or a named file is not DICOM.
    """
    if not isinstance(where, Path):
        files = [Path(path) for path in where]
        return [_named(path, f"file {i} of {len(files)} of the list", assume) for i, path in enumerate(files, start=1)]
    if where.is_dir():
        files = sorted(_walk(where))
        found = [
            Source(path, f"{where}: file {i} of {len(files)}, by name,", size=path.stat().st_size, assume=assume)
            for i, path in enumerate(files, start=1)
            if is_dicom(path)
        ]
        if not found:
            raise DicomError("RECON-DICOM-EMPTY", f"folder {where} holds no DICOM file; give the folder of a series")
        return found
    if is_zip(where):
        return [replace(member, assume=assume) for member in _members(where)]
    return [_named(where, str(where), assume)]


def first_source(where: Path) -> Source | None:
    """Return any one DICOM object of a folder or archive, looking at as few files as will do; None without one."""
    if where.is_dir():
        found = (Source(path, str(where), size=path.stat().st_size) for path in _walk(where) if is_dicom(path))
        return next(found, None)
    try:
        return _members(where)[0]
    except DicomError:
        return None


def _named(path: Path, label: str, assume: Assume) -> Source:
    try:
        status = path.stat()
    except OSError:
        raise FileFormatError(f"{label} does not exist") from None
    if not stat.S_ISREG(status.st_mode):
        raise FileFormatError(f"{label} is not a file")
    bare = not is_dicom(path)
    if bare and not (assume != "nothing" and _begins_data(path)):
        hint = "; if it is one all the same, read it with assume=implicit-le" if _begins_data(path) else ""
        raise DicomError("RECON-DICOM-NOT-DICOM", f"{label} is not a DICOM file (no DICM mark after 128 bytes){hint}")
    return Source(path, label, size=status.st_size, assume=assume, bare=bare)


def _begins_data(path: Path) -> bool:
    """Whether the file begins like a data set, or its meta information, of any encoding but big endian."""
    try:
        with path.open("rb", buffering=0) as file:
            head = file.read(8)
    except OSError:
        return False
    if len(head) < 8:
        return False
    group, element, length = struct.unpack("<HHI", head)
    return group in (2, 8) and element < 0x100 and (head[4:6].isalpha() or length < 2**16)


def _walk(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(parent, name)
            if not name.startswith(".") and path.is_file():  # neither a pipe nor a device
                yield path


def _members(archive: Path) -> list[Source]:
    try:
        with zipfile.ZipFile(archive) as opened:
            members = opened.infolist()
            if len(members) > _MOST_MEMBERS:
                raise DicomError("RECON-DICOM-BOMB", f"{archive} holds {len(members)} members; unpack what is needed")
            found = []
            for number, member in enumerate(members):
                if member.is_dir() or member.file_size < 132:
                    continue
                if member.flag_bits & 1:
                    raise DicomError("RECON-DICOM-ZIP", f"{archive} is encrypted; unpack it first")
                if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    # LZMA allocates what the member asks for.
                    raise DicomError("RECON-DICOM-ZIP", f"{archive} is packed in an unusual way; unpack it first")
                if member.file_size > max(_ZIP_FREE, _ZIP_RATIO * member.compress_size):
                    raise DicomError(
                        "RECON-DICOM-BOMB",
                        f"{archive}: member {number + 1} of {len(members)} would grow to {member.file_size} bytes; "
                        "unpack it by hand if it is trusted",
                    )
                with opened.open(member) as file:
                    if file.read(132)[128:] == MARK:
                        label = f"{archive}: member {number + 1} of {len(members)}"
                        found.append(Source(archive, label, number, member.file_size))
    except _UNREADABLE:
        raise DicomError("RECON-DICOM-ZIP", f"{archive} is no zip archive that can be read; unpack it first") from None
    if not found:
        raise DicomError("RECON-DICOM-EMPTY", f"{archive} holds no DICOM file")
    return found
