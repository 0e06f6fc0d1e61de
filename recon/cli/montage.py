"""Draw axial, coronal and sagittal slices of an image, with letters of orientation, as one PNG picture.

With a second image on the same grid: reference, result and their signed difference side by side, on common scales.

  recon montage dicom_folder/ -o lung.png --window lung
  recon montage study/ --series 2 -o abdomen.png --window soft_tissue
  recon montage reference.nii.gz result.nii.gz -o compared.png --window 40 400 --error 50
  recon montage dicom_folder/ result.nii.gz -o compared.png --unit HU
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from recon.cli.common import number, positive, status, window_from
from recon.cli.convert import add_choices, options, reading
from recon.errors import UsageError

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``recon montage``."""
    parser.add_argument("source", type=Path, metavar="IMAGE", help="file, or folder of a DICOM series")
    parser.add_argument("result", type=Path, nargs="?", help="image on the same grid, to be compared with IMAGE")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT.png", help="picture to write")
    parser.add_argument(
        "--window",
        nargs="+",
        metavar="NAME",
        help="black and white: bone, brain, liver, lung, soft_tissue, or CENTRE WIDTH",
    )
    parser.add_argument("--error", type=number, metavar="RANGE", help="difference that is drawn in full colour")
    parser.add_argument("--at", type=int, nargs=3, metavar=("X", "Y", "Z"), help="voxel where the slices cross")
    parser.add_argument("--size", type=positive, default=360, metavar="PIXELS", help="longest edge of a volume (360)")
    parser.add_argument("--unit", metavar="HU", help="unit of images whose files tell none, as NIfTI does not")
    add_choices(parser)
    parser.add_argument("--reader", help="reader, by name or YAML config, whatever the files look like")


def run(arguments: argparse.Namespace) -> int:
    """Read, draw and write."""
    from recon.io import Image
    from recon.io.atomic import atomic_file, check_place
    from recon.io.montage import montage

    if arguments.output.suffix.lower() != ".png":
        raise UsageError(f"{arguments.output}: pictures are written as .png")
    if arguments.size > 4096:
        raise UsageError(f"--size {arguments.size}: at most 4096")
    check_place(arguments.output)
    window = None if arguments.window is None else window_from(arguments.window)
    images = []
    for path in filter(None, (arguments.source, arguments.result)):
        with status("reading"):
            # The options choose a series of the source; a result is an image of its own.
            item = reading(path, options(arguments) if path is arguments.source else {}, arguments.reader)
        if not isinstance(item, Image):
            raise UsageError(
                f"{path} holds a measurement, not an image: reconstruct it first, or draw it by recon view"
            )
        # Files such as NIfTI tell no unit.
        unknown = arguments.unit is not None and item.unit == "arbitrary"
        images.append(replace(item, unit=arguments.unit, quantity=None) if unknown else item)
    if len(images) == 2 and "arbitrary" in (units := [image.unit for image in images]) and units[0] != units[1]:
        known = next(unit for unit in units if unit != "arbitrary")
        raise UsageError(
            f"one image is in {known}, the other's file tells no unit: if it is the same, add --unit {known}"
        )
    drawn = montage(*images, window=window, error=arguments.error, at=arguments.at, size=arguments.size)
    with atomic_file(arguments.output) as temporary:
        drawn.picture.save(temporary, format="PNG")
    for note in dict.fromkeys([note for image in images for note in image.notes] + list(drawn.notes)):
        print(f"note: {note}")
    differences = "" if drawn.error is None else f", differences within {drawn.error:g} of either sign"
    print(f"{arguments.output}  (black {drawn.black:g}, white {drawn.white:g}{differences})")
    return 0
