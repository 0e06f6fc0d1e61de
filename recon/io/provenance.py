"""Where an image came from, as far as that may be told."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from recon.errors import UsageError

__all__ = ["Provenance", "from_files", "hashed"]

_HASH = re.compile(r"[0-9a-f]{16,64}")
_NAME = re.compile(r"[a-z][a-z0-9_/-]{0,63}")
_LEVELS = ("study", "series", "frame_of_reference", "instance", "file")
_SALT = secrets.token_bytes(16)


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where an image came from: enough to match images of one study, nothing that leads back to the patient.

    Parameters
    ----------
    reader
        Name of the reader component.
    identifiers
        Hashes, as `hashed` makes them, by what they identify: study, series, frame_of_reference, instance or file.
    files
        Number of files that were read.

    Raises
    ------
    UsageError
        If an identifier is not a hash, or has another name, or the number of files is none.
    """

    reader: str
    identifiers: Mapping[str, str] = field(default_factory=dict)
    files: int = 1

    def __post_init__(self) -> None:
        """Let nothing pass but hashes."""
        if not _NAME.fullmatch(self.reader):
            raise UsageError("provenance: reader must be the name of a component")
        for level, value in self.identifiers.items():
            if level not in _LEVELS or not _HASH.fullmatch(value):
                raise UsageError(
                    f"provenance: identifiers are hashes (recon.io.provenance.hashed) of {', '.join(_LEVELS)}"
                )
        if isinstance(self.files, bool) or not isinstance(self.files, int) or self.files < 1:
            raise UsageError("provenance: files is a number of files, 1 or more")
        object.__setattr__(self, "identifiers", dict(self.identifiers))


def from_files(reader: str, *paths: Path) -> Provenance:
    """Return the provenance of an image in files that bear no identifier.

    Its hash, of their places, sizes and times of change, is the same for images of the same unchanged files within a
    process. Contents are not read again for it.

    Parameters
    ----------
    reader
        Name of the reader component.
    paths
        The files; one that is named twice counts once.
    """
    states = [(path.resolve(), path.stat()) for path in dict.fromkeys(paths)]
    text = "\n".join(f"{path}\0{state.st_size}\0{state.st_mtime_ns}" for path, state in states)
    return Provenance(
        reader=reader, files=len(states), identifiers={"file": hashed(text.encode("utf-8", "surrogateescape"))}
    )


def hashed(identifier: str | bytes, *, salt: bytes | None = None) -> str:
    """Return a keyed hash of an identifier: HMAC-SHA-256, 32 hexadecimal digits.

    Parameters
    ----------
    identifier
        A UID, or the bytes of a file.
    salt
        Key. By default one that is drawn anew in every process: hashes then match within a run and never across runs,
        so that nobody can find an identifier by trying.
    """
    content = identifier.encode() if isinstance(identifier, str) else identifier
    return hmac.new(_SALT if salt is None else salt, content, hashlib.sha256).hexdigest()[:32]
