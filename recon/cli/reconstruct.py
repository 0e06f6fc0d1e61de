"""Turn a measurement file into an image file, by a classical method or a trained model.

The image keeps the geometry that the measurement file tells. Items of the file are reconstructed one by one. A trained
network that works on the measurement alone, such as a denoiser, needs no operator.

  recon reconstruct scan.h5 --method fbp -o image.nii.gz
  recon reconstruct scan.h5 --method '{use: tv, weight: 0.02}' -o image.nii.gz
  recon reconstruct scan.h5 --run runs/first -o image.nii.gz
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recon.errors import UsageError

if TYPE_CHECKING:
    from recon.interfaces import Method
    from recon.io import Measurement

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``recon reconstruct``."""
    parser.add_argument("measurement", type=Path, help="measurement file")
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument("--method", help="reconstruction method: name or YAML config")
    group.add_argument("--run", type=Path, metavar="DIR", help="run folder of a trained model")
    parser.add_argument("-o", "--output", type=Path, required=True, help="image file; the suffix chooses the format")
    parser.add_argument("--operator", help="where the file does not tell: YAML file, YAML config, or experiment")
    parser.add_argument("--weights", choices=["best", "last"], default="best", help="which weights of a run")
    parser.add_argument("--complex", action="store_true", help="write complex images as they are, not their magnitude")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")


def run(arguments: argparse.Namespace) -> int:
    """Reconstruct and write the image."""
    import torch

    from recon.cli.common import measurement_from, method_from
    from recon.engine.distributed import choose_device
    from recon.engine.method import TrainedMethod
    from recon.io import check_output, write

    device = choose_device(arguments.device)
    check_output(arguments.output)
    measurement = measurement_from(arguments.measurement)
    operator = _operator(arguments, measurement)
    if operator is not None:
        operator = operator.noiseless.to(device)
    label = arguments.method or str(arguments.run)
    method: Method | TrainedMethod
    if arguments.method:
        method = method_from(arguments.method)
    else:
        method = TrainedMethod(run=arguments.run, which=arguments.weights, device=device)
    with torch.no_grad():
        image = torch.cat([method(y[None].to(device), operator).cpu() for y in measurement.data])
    if image.is_complex() and not arguments.complex:
        image = image.abs()
    write(measurement.image(image, note=f"reconstructed with {label}"), arguments.output)
    print(arguments.output)
    return 0


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
