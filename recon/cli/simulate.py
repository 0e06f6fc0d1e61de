"""Turn an image file into a measurement file, with a forward operator and its noise.

The operator comes from a YAML file (a config such as {use: radon, angles: 90}, or a list of them in the order in which
they act) or from the forward model of an experiment. An operator that takes the size or the pixel (in mm) of images and
is not given it gets the image's own. The file keeps the operator, the image as reference, and the geometry; recon
reconstruct needs nothing else. A CT operator measures attenuation: images in Hounsfield units become 1/mm, and the file
remembers how.

  recon simulate image.nii.gz --operator unet_radon -o scan.h5
  recon simulate picture.png --operator operator.yaml --seed 3 -o scan.h5

A CT scan needs no config; views and a fraction of the dose are enough:

  recon simulate ct slice.dcm --views 60 --dose 0.1 -o scan.h5
  recon simulate ct slice.dcm --geometry fan --arc 240 --photons 2e4 --electronic 10 -o scan.h5
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recon.cli import ct_scan
from recon.cli.common import batches, number, track
from recon.cli.units import UNITS, to_attenuation
from recon.errors import UsageError
from recon.io.hounsfield import WATER

if TYPE_CHECKING:
    from recon.experiment import ForwardModel
    from recon.io import Image
    from recon.operators import Operator

__all__ = ["PRESETS", "add_arguments", "run"]


PRESETS = ("ct",)
"""Words that may stand before the image instead of an operator."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``recon simulate``."""
    parser.usage = (
        "recon simulate IMAGE --operator OPERATOR -o OUTPUT [options]\n"
        "       recon simulate ct IMAGE -o OUTPUT [options]"
    )
    parser.add_argument("image", nargs="+", metavar="[ct] IMAGE", help="image file or folder, after ct for a CT scan")
    parser.add_argument("--operator", help="YAML file, YAML config, or experiment")
    parser.add_argument("-o", "--output", type=Path, required=True, help="measurement file (.h5)")
    parser.add_argument("--seed", type=int, default=0, help="seed of masks and noise (default 0)")
    parser.add_argument("--volume", action="store_true", help="measure a volume as a whole, not slice by slice")
    parser.add_argument("--unit", choices=UNITS, help="unit of the image, where its file does not tell (NIfTI, PNG)")
    parser.add_argument("--water", type=number, metavar="MU", help=f"attenuation of water in 1/mm (default {WATER:g})")
    ct_scan.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Measure the image and write the measurement."""
    import torch

    from recon.experiment import ForwardModel
    from recon.io import Measurement, check_output, write
    from recon.operators import compose

    scan, path = _which(arguments)
    check_output(arguments.output, Measurement(data=torch.zeros(1, 1, 1)))
    model = ForwardModel(ct_scan.forward_model(arguments)) if scan else ForwardModel.load(arguments.operator)
    image = _image(path, arguments)
    space = len(image.space) if arguments.volume else 2
    size = tuple(image.space[-space:])
    generator = torch.Generator().manual_seed(arguments.seed)
    # A random family is sampled once: the file holds the masks that were used.
    drawn = [operator.sample(generator) for operator in model.operators(size, _pixel(image, model, space))]
    forward = compose(*reversed(drawn))
    image = _in_unit(image, drawn, scan, arguments)
    drawn[0].check_image(image.to_batch(space))
    with torch.no_grad():
        y = torch.cat(
            [
                forward(x, generator=generator) if forward.stochastic else forward(x)
                for x in track(batches(image.to_batch(space)), "simulating")
            ]
        )
    how = f"CT scan: {ct_scan.describe(arguments)}" if scan else f"simulated with {arguments.operator}"
    photons = ct_scan.photons(arguments) if scan else None
    measurement = Measurement(
        data=y,
        operator_config=_config(forward.noiseless),
        reference=image,
        affine=image.affine,
        voxel_size=image.voxel_size,
        unit=image.unit,
        dims=tuple(name for name in image.dims if name != "channel"),
        metadata=image.metadata if photons is None else {**image.metadata, "photons": photons},
        notes=(*image.notes, f"{how}, seed {arguments.seed}"),
    )
    write(measurement, arguments.output)
    for note in measurement.notes:
        print(f"note: {note}")
    print(arguments.output)
    return 0


def _which(arguments: argparse.Namespace) -> tuple[bool, Path]:
    """Say whether a CT scan is asked for, and of which file."""
    *preset, path = arguments.image
    if preset and (len(preset) > 1 or preset[0] not in PRESETS):
        raise UsageError(f"give one image, or {' or '.join(PRESETS)} and an image, not {' '.join(arguments.image)}")
    if preset and arguments.operator is not None:
        raise UsageError("ct is an operator by itself: leave --operator out, or the word ct")
    if not preset and arguments.operator is None:
        raise UsageError(
            "the following arguments are required: --operator (or the word ct before the image); see recon simulate "
            "--help"
        )
    if not preset and (options := ct_scan.given(arguments)):
        raise UsageError(f"{', '.join(options)} describe a CT scan: recon simulate ct {path}")
    return bool(preset), Path(path)


def _image(path: Path, arguments: argparse.Namespace) -> Image:
    """Read the image; refuse values that are not finite."""
    from recon.io import Image, read

    image = read(path)
    if not isinstance(image, Image):
        raise UsageError(f"{path} is a measurement already; give an image")
    if arguments.unit is not None:
        if image.unit not in ("arbitrary", arguments.unit):
            raise UsageError(f"--unit {arguments.unit}: {path} says that it is in {image.unit}")
        image = dataclasses.replace(image, unit=arguments.unit)
    bad = int((~image.data.isfinite()).sum())
    if bad:
        raise UsageError(f"{path} holds {bad} values that are not finite (NaN or infinite): mask them first")
    return image


def _in_unit(image: Image, operators: list[Operator], scan: bool, arguments: argparse.Namespace) -> Image:
    """Bring the image into the unit that the first operator which cares takes."""
    wanted = next((operator.input_unit for operator in operators if operator.input_unit), None)
    if wanted == "1/mm" and image.unit == "HU":
        return to_attenuation(image, arguments.water)
    if scan and image.unit not in UNITS:
        raise UsageError(f"{arguments.image[-1]} does not tell the unit of its values: add --unit HU or --unit 1/mm")
    return image


def _pixel(image: Image, model: ForwardModel, space: int) -> float | tuple[float, ...] | None:
    """Return the edges of the image's pixels in mm as an operator takes them, one number if they are equal.

    None if no operator asks for them, or if they are not known.
    """
    if not any(model.takes_pixel(config) for config in model.configs):
        return None
    if image.voxel_size is None or len(image.voxel_size) < space:
        return None
    # Without the last digits, which an affine of single precision does not have.
    edges = tuple(round(size, 6) for size in reversed(image.voxel_size[:space]))
    return edges[-1] if max(edges) - min(edges) <= 1e-3 * min(edges) else edges


def _config(forward: Operator) -> dict[str, Any] | None:
    """Return the config of an operator: of one part by its name, of several as a chain; None if one has no name."""
    from recon.operators import Composition
    from recon.registry import registry

    if isinstance(forward, Composition):
        parts = [_config(part) for part in reversed(forward.operators)]
        return None if None in parts else {"use": "chain", "operators": parts}
    target = type(forward)
    for entry in registry().entries("operator"):
        if entry.component.target == f"{target.__module__}:{target.__qualname__}":
            return {"use": entry.name, **{name: _plain(value) for name, value in forward.arguments().items()}}
    return None


def _plain(value: Any) -> Any:
    """Turn the operators and settings objects that operators keep into what a config gives."""
    from recon.operators import Operator

    if isinstance(value, Operator):
        return _config(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, (list, tuple)) else value
