"""Copy an image into another file format; the suffix of OUT chooses it. Values and geometry stay as they are.

recon convert dicom_folder/ volume.nii.gz
recon convert knee.h5 reference.nii.gz --reference
"""

from __future__ import annotations

import argparse
from pathlib import Path

from recon.cli.common import reader_from
from recon.errors import UsageError

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``recon convert``."""
    parser.add_argument("source", type=Path, metavar="IN", help="file, or folder of a DICOM series")
    parser.add_argument("target", type=Path, metavar="OUT", help="file to write")
    parser.add_argument("--reference", action="store_true", help="write the reference image of a measurement file")
    parser.add_argument("--reader", help="reader, by name or YAML config, whatever IN looks like")
    parser.add_argument("--writer", help="writer to use, whatever the suffix of OUT")


def run(arguments: argparse.Namespace) -> int:
    """Read, and write under the new name."""
    from recon.io import Image, Measurement, read, write

    item: Image | Measurement | None = read(arguments.source, reader=reader_from(arguments.reader))
    if arguments.reference:
        item = item.reference if isinstance(item, Measurement) else None
        if item is None:
            raise UsageError(f"{arguments.source} has no reference image; leave --reference out")
    assert item is not None  # noqa: S101 - for the type checker
    if isinstance(item, Measurement) and arguments.target.suffix != ".h5" and arguments.writer is None:
        has = ", or add --reference to write its reference image" if item.reference is not None else ""
        raise UsageError(f"{arguments.source} is a measurement: reconstruct it first (recon reconstruct){has}")
    write(item, arguments.target, writer=arguments.writer)
    for note in item.notes:
        print(f"note: {note}")
    print(arguments.target)
    return 0
