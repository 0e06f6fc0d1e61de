"""Turn an image file into a measurement file, with a forward operator and its noise.

The operator comes from a YAML file (a config such as {use: radon, angles: 90}, or a list of them in the order in which
they act) or from the forward model of an experiment. An operator that takes the size or the pixel (in mm) of images and
is not given it gets the image's own. The file keeps the operator, the image as reference, and the geometry; recon
reconstruct needs nothing else.

  recon simulate image.nii.gz --operator unet_radon -o scan.h5
  recon simulate picture.png --operator operator.yaml --seed 3 -o scan.h5
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recon.errors import UsageError

if TYPE_CHECKING:
    from recon.experiment import ForwardModel
    from recon.io import Image
    from recon.operators import Operator

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``recon simulate``."""
    parser.add_argument("image", type=Path, help="image file or folder")
    parser.add_argument("--operator", required=True, help="YAML file, YAML config, or experiment")
    parser.add_argument("-o", "--output", type=Path, required=True, help="measurement file (.h5)")
    parser.add_argument("--seed", type=int, default=0, help="seed of masks and noise (default 0)")
    parser.add_argument("--volume", action="store_true", help="measure a volume as a whole, not slice by slice")


def run(arguments: argparse.Namespace) -> int:
    """Measure the image and write the measurement."""
    import torch

    from recon.experiment import ForwardModel
    from recon.io import Image, Measurement, check_output, read, write
    from recon.operators import compose

    check_output(arguments.output)
    image = read(arguments.image)
    if not isinstance(image, Image):
        raise UsageError(f"{arguments.image} is a measurement already; give an image")
    space = len(image.space) if arguments.volume else 2
    x = image.to_batch(space)
    generator = torch.Generator().manual_seed(arguments.seed)
    # A random family is sampled once: the file holds the masks that were used.
    model = ForwardModel.load(arguments.operator)
    families = model.operators(tuple(x.shape[2:]), _pixel(image, model))
    drawn = [operator.sample(generator) for operator in families]
    forward = compose(*reversed(drawn))
    with torch.no_grad():
        y = forward(x, generator=generator) if forward.stochastic else forward(x)
    measurement = Measurement(
        data=y,
        operator_config=_config(drawn),
        reference=image,
        affine=image.affine,
        voxel_size=image.voxel_size,
        unit=image.unit,
        dims=tuple(name for name in image.dims if name != "channel"),
        metadata=image.metadata,
        notes=(*image.notes, f"simulated with {arguments.operator}, seed {arguments.seed}"),
    )
    write(measurement, arguments.output)
    print(arguments.output)
    return 0


def _pixel(image: Image, model: ForwardModel) -> float | None:
    """Return the in-plane size of the image's pixels in mm, if an operator asks for it and it is known."""
    if image.voxel_size is None or not any(model.takes_pixel(config) for config in model.configs):
        return None
    width, height = image.voxel_size[:2]
    if abs(width - height) > 1e-3 * height:
        raise UsageError(
            f"the image's pixels are {width:g} x {height:g} mm and the operator takes square ones: resample the image, "
            "or say pixel: in the operator's config"
        )
    return round(width, 6)  # the affine of a file in single precision, without its last digits


def _config(operators: list[Operator]) -> dict[str, Any] | None:
    """Return the config of the one operator that is left without the noise, or None if there are several."""
    from recon.operators import Identity
    from recon.registry import registry

    kept = [part for operator in operators if not isinstance(part := operator.noiseless, Identity)]
    if len(kept) != 1:
        return None
    target = type(kept[0])
    for entry in registry().entries("operator"):
        if entry.component.target == f"{target.__module__}:{target.__qualname__}":
            return {"use": entry.name, **{name: _plain(value) for name, value in kept[0].arguments().items()}}
    return None


def _plain(value: Any) -> Any:
    """Turn the settings objects that operators keep into what a config gives."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, (list, tuple)) else value
