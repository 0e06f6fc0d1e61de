"""Draw an image or a measurement as a PNG picture: the middle slice of a volume, or many as a montage.

Slices are turned as radiologists look at them (the patient's right is on the left) where the file tells how they lie.
K-space is drawn as the logarithm of its magnitude over all coils.

  recon view dicom_folder/ -o slice.png --window soft_tissue
  recon view brain.nii.gz -o all.png --montage 16
"""

from __future__ import annotations

import argparse
from pathlib import Path

from recon.cli.common import status, window_from
from recon.cli.convert import add_choices, options, reading
from recon.errors import UsageError

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``recon view``."""
    parser.add_argument("source", type=Path, metavar="IN", help="file, or folder of a DICOM series")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT.png", help="picture to write")
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--slice", type=int, metavar="N", help="slice to draw, counted from 0 (default: the middle one)")
    shown.add_argument("--montage", type=int, metavar="COUNT", help="draw so many slices, evenly spread")
    scale = parser.add_mutually_exclusive_group()
    scale.add_argument(
        "--window", nargs="+", metavar="NAME", help="black and white: a preset such as lung, or CENTRE WIDTH"
    )
    scale.add_argument(
        "--percentiles",
        type=float,
        nargs=2,
        default=(1.0, 99.0),
        metavar=("LOW", "HIGH"),
        help="percentiles that become black and white (default 1 99)",
    )
    add_choices(parser)
    parser.add_argument("--reader", help="reader, by name or YAML config, whatever IN looks like")


def run(arguments: argparse.Namespace) -> int:
    """Read, cut, window and write."""
    import numpy as np

    from recon.io.picture import Planes, grid, is_inverted, planes, save_png, to_bytes
    from recon.io.windows import window_limits

    low, high = arguments.percentiles
    if not 0 <= low < high <= 100:
        raise UsageError(f"--percentiles {low:g} {high:g}: give two numbers from 0 to 100, the smaller one first")
    window = None if arguments.window is None else window_limits(window_from(arguments.window))
    if arguments.montage is not None and arguments.montage < 1:
        raise UsageError(f"--montage {arguments.montage}: draw at least one slice")
    with status("reading"):
        source = reading(arguments.source, options(arguments), arguments.reader)
    views = planes(source)
    count = len(views.values)
    if arguments.montage is not None:
        chosen = np.unique(np.linspace(0, count - 1, min(arguments.montage, count)).round().astype(int)).tolist()
    elif arguments.slice is not None:
        if not 0 <= arguments.slice < count:
            raise UsageError(f"--slice {arguments.slice}: {arguments.source} has slices 0 to {count - 1}")
        chosen = [arguments.slice]
    else:
        chosen = [count // 2]
    shown = Planes(views.values[chosen], views.pixel)
    limits = shown.window((low, high)) if window is None else window
    limits = limits[::-1] if is_inverted(source) else limits
    save_png(grid([to_bytes(plane, *limits) for plane in shown.values]), arguments.output, shown.pixel)
    print(f"{arguments.output}  (black {limits[0]:g}, white {limits[1]:g})")
    return 0
