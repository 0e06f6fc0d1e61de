"""Copy an image into another file format; the suffix of OUT chooses it. Values and geometry stay as they are.

A name without a suffix is that of a new folder: a derived DICOM series. With --batch, every image of every series below
a folder is converted; what is finished is not done again, and what cannot be read does not stop the rest.

  recon convert dicom_folder/ volume.nii.gz --series 2
  recon convert dicom_folder/ volume.nii.gz --allow-gaps --untilt
  recon convert result.nii.gz derived/ --like dicom_folder/ --unit HU
  recon convert slice.dcm slice.png --window lung
  recon convert archive/ volumes/ --batch
  recon convert knee.h5 reference.nii.gz --reference
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recon.cli.common import positive, reader_from, status, window_from
from recon.errors import ParameterError, UsageError

if TYPE_CHECKING:
    from recon.io import Image, Measurement

__all__ = [
    "READING",
    "WRITING",
    "add_arguments",
    "add_choices",
    "options",
    "reading",
    "run",
    "writer_options",
    "writing",
]

READING = {"series": "--series", "stack": "--stack", "gaps": "--allow-gaps", "untilt": "--untilt"}
"""Parameters of readers that have options here."""

WRITING = {"like": "--like", "unit": "--unit", "window": "--window"}
"""Parameters of writers that have options here."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``recon convert``."""
    parser.add_argument("source", type=Path, metavar="IN", help="file, or folder of a DICOM series")
    parser.add_argument("target", type=Path, metavar="OUT", help="file or folder to write")
    parser.add_argument("--reference", action="store_true", help="write the reference image of a measurement file")
    add_choices(parser)
    parser.add_argument(
        "--like", type=Path, metavar="DICOM", help="source series that a derived DICOM series refers to"
    )
    parser.add_argument(
        "--window", nargs="+", metavar="NAME", help="black and white of a picture or DICOM: a preset, or CENTRE WIDTH"
    )
    parser.add_argument("--unit", metavar="HU", help="unit of a CT image whose file tells none, for a DICOM series")
    parser.add_argument("--reader", help="reader, by name or YAML config, whatever IN looks like")
    parser.add_argument("--writer", help="writer, by name or YAML config, whatever the suffix of OUT")
    parser.add_argument(
        "--batch", action="store_true", help="convert all series below the folder IN into the folder OUT"
    )
    parser.add_argument(
        "--suffix",
        default=".nii.gz",
        metavar="SUFFIX",
        help="format of a batch (default .nii.gz; '/' for DICOM folders)",
    )


def add_choices(parser: argparse.ArgumentParser) -> None:
    """Declare what to read of a folder, and how: the options that `options` turns into parameters of a reader."""
    parser.add_argument("--series", type=positive, metavar="N", help="series to read, as recon ls numbers them")
    parser.add_argument("--stack", type=positive, metavar="N", help="image of the series, as recon ls numbers them")
    parser.add_argument("--allow-gaps", action="store_true", help="interpolate missing and uneven slices, with a note")
    parser.add_argument("--untilt", action="store_true", help="resample a scan of a tilted gantry to right angles")


def run(arguments: argparse.Namespace) -> int:
    """Read, and write under the new name."""
    if arguments.batch:
        from recon.cli.batch import run_batch

        return run_batch(arguments)
    from recon.io import Measurement, write
    from recon.io.files import companions, find_writer

    with status("reading"):
        item: Image | Measurement | None = reading(arguments.source, options(arguments), arguments.reader)
    if arguments.reference:
        item = item.reference if isinstance(item, Measurement) else None
        if item is None:
            raise UsageError(f"{arguments.source} has no reference image; leave --reference out")
    assert item is not None  # noqa: S101 - for the type checker
    if isinstance(item, Measurement) and arguments.target.suffix != ".h5" and arguments.writer is None:
        has = ", or add --reference to write its reference image" if item.reference is not None else ""
        raise UsageError(f"{arguments.source} is a measurement: reconstruct it first (recon reconstruct){has}")
    writer = writing(item, arguments.target, writer_options(arguments), arguments.writer)
    with status("writing"):
        write(item, arguments.target, writer=writer)
    entry, chosen = find_writer(arguments.target, item, writer)
    losses = getattr(chosen, "losses", None)
    said = [*item.notes, *([] if losses is None else losses(item))]
    if isinstance(writer, dict) and "window" in writer and arguments.window is None and arguments.writer is None:
        centre, width = writer["window"]
        said.append(f"black and white at {centre - width / 2:g} and {centre + width / 2:g}; --window chooses others")
    for note in said:
        print(f"note: {note}")
    for path in (arguments.target, *companions(entry, arguments.target)):
        if path.exists():
            print(path)
    return 0


def options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the parameters that the options ask of the reader."""
    asked: dict[str, Any] = {"series": arguments.series, "stack": arguments.stack}
    asked["gaps"] = "resample" if arguments.allow_gaps else None
    asked["untilt"] = arguments.untilt or None
    return {name: value for name, value in asked.items() if value is not None}


def reading(source: Path, asked: dict[str, Any], reader: str | None) -> Image | Measurement:
    """Read a file or folder by the reader that is named or fits, with the parameters that options ask for.

    Raises
    ------
    UsageError
        If the reader has no such parameter.
    """
    from recon.io import read
    from recon.io.files import reader_name

    config = reader_from(reader)
    if not asked:
        return read(source, reader=config)
    named = reader_name(source) if config is None else config
    try:
        return read(source, reader=_with(named, asked))
    except ParameterError as error:
        raise _no_option(error, READING) from None


def writer_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the parameters that the options ask of the writer."""
    asked = {
        "like": None if arguments.like is None else str(arguments.like),
        "unit": arguments.unit,
        "window": None if arguments.window is None else _centre_width(window_from(arguments.window)),
    }
    return {name: value for name, value in asked.items() if value is not None}


def writing(item: Image | Measurement | None, target: Path, asked: dict[str, Any], writer: str | None = None) -> Any:
    """Return the config of the writer, with the parameters that options ask for; None where the suffix decides.

    Parameters
    ----------
    item
        What will be written, if it is known yet.
    target
        Where.
    asked
        Parameters of the writer, as `writer_options` returns them.
    writer
        What ``--writer`` says.

    Raises
    ------
    UsageError
        If the writer has no such parameter.
    """
    from recon.building import build
    from recon.cli.common import config_from
    from recon.io.files import writer_name

    config = None if writer is None else config_from(writer, "--writer")
    if config is None and "window" not in asked and item is not None and target.suffix.lower() == ".png":
        asked = asked | _window_of(item)
    if not asked:
        return config
    config = _with(writer_name(target, item) if config is None else config, asked)
    try:
        build("writer", config)
    except ParameterError as error:
        raise _no_option(error, WRITING) from None
    return config


def _window_of(item: Image | Measurement) -> dict[str, Any]:
    """Return the window of a picture for which none is asked; nothing where values are written as they are."""
    from recon.io import Image
    from recon.io.windows import own_window

    window = own_window(item) if isinstance(item, Image) else None
    return {} if window is None else {"window": window}


def _centre_width(window: str | tuple[float, float]) -> tuple[float, float]:
    from recon.io.windows import window_limits

    low, high = window_limits(window)
    return (low + high) / 2, high - low


def _with(config: Any, asked: dict[str, Any]) -> dict[str, Any]:
    return {**({"use": config} if isinstance(config, str) else config), **asked}


def _no_option(error: ParameterError, names: dict[str, str]) -> UsageError | ParameterError:
    """Tell in the words of the command line which option a format has no use for."""
    for path, message in error.problems:
        if path and path[0] in names:
            return UsageError(f"{names[str(path[0])]} does not go with {error.subject}: {message}")
    return error
