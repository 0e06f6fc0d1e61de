"""Turn a measurement file into an image file, by a classical method or a trained model.

The image keeps the geometry that the measurement file tells; CT images become Hounsfield units again where the file
tells what water is. The suffix chooses the format; a name without one is a folder of DICOM slices. A trained network
that works on the measurement alone, such as a denoiser, needs no operator.

  recon reconstruct scan.h5 --method fbp --filter hann -o image.nii.gz
  recon reconstruct scan.h5 --method tv --set weight=0.02 --set iterations=100 -o slice.dcm
  recon reconstruct scan.h5 --method '{use: tv, weight: 0.02}' -o image.nii.gz
  recon reconstruct scan.h5 --run runs/first -o image.nii.gz
  recon reconstruct walnut.mat --reader '{use: fips, sinogram: sinogram120}' --method fbp -o image.nii.gz
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recon.cli.common import assignment, batches, measurement_from, method_from, number, track
from recon.cli.units import UNITS, to_file
from recon.errors import UsageError

if TYPE_CHECKING:
    from recon.interfaces import Method
    from recon.io import Image, Measurement

__all__ = ["SHORTHANDS", "add_arguments", "run"]


SHORTHANDS = {
    "filter": "filter of fbp and fdk",
    "iterations": "steps of an iterative method",
    "weight": "weight of its regulariser",
}
"""Parameters of methods that are options of their own, with what they mean."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``recon reconstruct``."""
    parser.add_argument("measurement", type=Path, help="measurement file")
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument("--method", help="reconstruction method: name or YAML config")
    group.add_argument("--run", type=Path, metavar="DIR", help="run folder of a trained model")
    parser.add_argument("-o", "--output", type=Path, required=True, help="image file; the suffix chooses the format")
    parser.add_argument(
        "--set", action="append", default=[], type=assignment, metavar="NAME=VALUE", help="parameter of the method"
    )
    for name, meaning in SHORTHANDS.items():
        parser.add_argument(f"--{name}", metavar="VALUE", help=f"{meaning}: the same as --set {name}=VALUE")
    parser.add_argument("--reader", help="reader, by name or YAML config, whatever the file looks like")
    parser.add_argument("--operator", help="where the file does not tell: YAML file, YAML config, or experiment")
    parser.add_argument("--weights", choices=["best", "last"], default="best", help="which weights of a run")
    parser.add_argument("--complex", action="store_true", help="write complex images as they are, not their magnitude")
    parser.add_argument("--unit", choices=UNITS, help="unit of a CT image (default HU where the file tells water's)")
    parser.add_argument("--water", type=number, metavar="MU", help="attenuation of water in 1/mm, to write HU")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")


def run(arguments: argparse.Namespace) -> int:
    """Reconstruct and write the image."""
    import torch

    from recon.engine.distributed import choose_device
    from recon.engine.method import TrainedMethod
    from recon.io import check_output, write

    device = choose_device(arguments.device)
    check_output(arguments.output)
    changes = [*arguments.set]
    for name in SHORTHANDS:
        if getattr(arguments, name) is not None:
            changes.append(assignment(f"{name}={getattr(arguments, name)}"))
    measurement = measurement_from(arguments.measurement, arguments.reader)
    operator = _operator(arguments, measurement)
    _check(measurement, operator, arguments.measurement)
    expected = _expected(measurement, operator, arguments)
    if expected is not None:
        check_output(arguments.output, to_file(expected, arguments.unit, arguments.water))
    if operator is not None:
        operator = operator.noiseless.to(device)
    label = arguments.method or str(arguments.run)
    method: Method | TrainedMethod
    if arguments.method:
        method = method_from(arguments.method, changes)
        label += "".join(f", {name} {value}" for name, value in changes)
        parts = batches(measurement.data)
    elif changes:
        raise UsageError(f"{changes[0][0]!r} is a parameter of a --method; a --run has its own")
    else:
        method = TrainedMethod(run=arguments.run, which=arguments.weights, device=device)
        parts = batches(measurement.data, most=1)
    with torch.no_grad():
        data = torch.cat([method(y.to(device), operator).cpu() for y in track(parts, "reconstructing")])
    if data.is_complex() and not arguments.complex:
        data = data.abs()
    image = measurement.image(data, note=f"reconstructed with {label}")
    write(to_file(image, arguments.unit, arguments.water), arguments.output)
    print(arguments.output)
    return 0


def _check(measurement: Measurement, operator: Any, path: Path) -> None:
    """Refuse data that are not finite, or of another shape than the operator's."""
    from recon.operators.base import fits

    shape = tuple(measurement.data.shape[1:])
    if operator is not None and not fits(shape, operator.output_shape):
        wanted = ", ".join("any" if n is None else str(n) for n in operator.output_shape)
        raise UsageError(
            f"{path} holds data of shape {shape} an item, its operator measures ({wanted}): views or detector differ"
        )
    bad = int((~measurement.data.isfinite()).sum())
    if bad:
        raise UsageError(
            f"{path} holds {bad} measured values that are not finite (NaN or infinite): correct them first"
        )


def _expected(measurement: Measurement, operator: Any, arguments: argparse.Namespace) -> Image | None:
    """Return an image like the one to come, without its values, where the operator tells enough about it."""
    import torch

    shape = measurement.data.shape[1:] if operator is None else operator.input_shape
    if shape is None or len(shape) not in (3, 4):
        return None
    # One pixel of each slice is enough.
    data = torch.zeros(len(measurement.data), shape[0] or 1, *[size or 1 for size in shape[1:-2]], 1, 1)
    if arguments.complex and operator is not None and operator.complex_input:
        data = data.to(torch.complex64)
    return measurement.image(data)


def _operator(arguments: argparse.Namespace, measurement: Measurement) -> Any:
    """Return the operator that is named, or else the file's; None where a network may do without."""
    if arguments.operator is not None:
        from recon.experiment import ForwardModel

        reference = measurement.reference
        size = None if reference is None else tuple(reference.to_batch(2).shape[2:])
        return ForwardModel.load(arguments.operator).build(size)
    if measurement.operator_config is not None:
        return measurement.operator()
    if arguments.run is not None:
        return None
    raise UsageError(f"{arguments.measurement} does not tell its operator: name it with --operator")
