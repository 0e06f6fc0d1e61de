"""Copy DICOM images without what names the patient, by the basic confidentiality profile of DICOM PS3.15.

Identifiers are replaced consistently, texts, dates, private attributes, overlays and icons removed. Images whose pixels
are likely to show text (ultrasound, screenshots, ...) are left out. This is no guarantee: look at the copy.

  recon deidentify study/ anonymous/
  recon deidentify study/ anonymous/ --key secret.bin     the same key gives the same identifiers in a later copy
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recon.errors import UsageError

if TYPE_CHECKING:
    from recon.io.deidentify import Deidentified

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``recon deidentify``."""
    parser.add_argument("source", type=Path, metavar="SRC", help="DICOM file, or folder that is searched for them")
    parser.add_argument("target", type=Path, metavar="DST", help="folder to make")
    parser.add_argument("--force", action="store_true", help="also copy images that are likely to show text")
    parser.add_argument(
        "--key", type=Path, metavar="FILE",
        help="secret behind the new identifiers (made if there is no such file); guard it: it connects copy and source",
    )  # fmt: skip
    parser.add_argument("--report", type=Path, metavar="FILE.json", help="also write what was done as JSON")
    parser.add_argument(
        "--show-paths", action="store_true", help="name the files that were left out; names of files may name patients"
    )


def run(arguments: argparse.Namespace) -> int:
    """Copy, and tell what was left out and what pixels may still show."""
    from recon.cli.common import track
    from recon.io.atomic import check_place, write_text
    from recon.io.deidentify import deidentify

    if arguments.report is not None:
        check_place(arguments.report)
    key = None if arguments.key is None else _key(arguments.key)
    done = deidentify(arguments.source, arguments.target, key=key, force=arguments.force, track=track)
    for series in done.series:
        print(f"{series.folder}: {series.modality}, {series.files} files")
    for warning in dict.fromkeys(warning for series in done.series for warning in series.warnings):
        concerned = sum(warning in series.warnings for series in done.series)
        print(f"{concerned} of {len(done.series)} series: {warning}")
    for number, code, sentence in done.refused:
        path = f" {done.sources[number - 1]}" if arguments.show_paths else ""
        print(f"recon: file {number}{path} left out: {code}: {sentence}", file=sys.stderr)
    print(f"{done.files} of {done.files + len(done.refused)} files copied, {done.ignored} not DICOM images")
    print("Not a guarantee: pixels can show names and faces. Look at the copy before you pass it on.")
    if arguments.report is not None:
        write_text(arguments.report, json.dumps(_facts(done), indent=2) + "\n")
    return 1 if done.refused else 0


def _facts(done: Deidentified) -> dict[str, Any]:
    return {
        "series": [
            {"folder": s.folder, "modality": s.modality, "files": s.files, "may_show": list(s.warnings)}
            for s in done.series
        ],
        "left_out": [{"file": number, "code": code} for number, code, _ in done.refused],
        "ignored": done.ignored,
    }


def _key(path: Path) -> bytes:
    """Read the secret; make one if there is none."""
    import os
    import secrets

    if not path.exists():
        if not path.parent.is_dir():
            raise UsageError(f"folder {path.parent} does not exist; make it first")
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_bytes(32))
    return path.read_bytes()
