"""Turn measurement files into image files, by a classical method or a trained model.

The image keeps the geometry that the measurement file tells; CT images become Hounsfield units again where the file
tells what water is. The suffix chooses the format; a name without one is a folder of DICOM slices, which with --like
belongs to the study of the scanner's own series. A trained network that works on the measurement alone, such as a
denoiser, needs no operator.

Of several files each becomes one of the same name in the folder OUT, in the format of --suffix. A file that cannot be
reconstructed is told, and the others go on; the exit code is 1 then.

  recon reconstruct scan.h5 --method fbp --filter hann -o image.nii.gz
  recon reconstruct scan.h5 --method tv --set weight=0.02 --set iterations=100 -o slice.dcm
  recon reconstruct scan.h5 --method '{use: tv, weight: 0.02}' -o image.nii.gz
  recon reconstruct scan.h5 --run runs/first -o image.nii.gz
  recon reconstruct scan.h5 --method fbp -o derived/ --like study/series_of_the_scanner/
  recon reconstruct brain.h5 --method cg_sense --maps espirit -o brain.nii.gz
  recon reconstruct multicoil_test/*.h5 --run runs/varnet -o reconstructions --suffix .h5
  recon reconstruct walnut.mat --reader '{use: fips, sinogram: sinogram120}' --method fbp -o image.nii.gz
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from recon.cli.common import assignment, measurement_from, method_from, number, track
from recon.cli.units import UNITS, to_file
from recon.cli.wording import as_options
from recon.errors import ReconError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from recon.io import Image, Measurement

__all__ = ["SHORTHANDS", "add_arguments", "run"]


SHORTHANDS = {
    "filter": "filter of fbp and fdk",
    "iterations": "steps of an iterative method",
    "weight": "weight of its regulariser",
    "maps": "coil sensitivities of a method for MRI (espirit, walsh, ...)",
}
"""Parameters of methods that are options of their own, with what they mean."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``recon reconstruct``."""
    parser.add_argument("measurements", nargs="+", type=Path, metavar="FILE", help="measurement file")
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument("--method", help="reconstruction method: name or YAML config")
    group.add_argument("--run", type=Path, metavar="DIR", help="run folder of a trained model")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="OUT",
        help="image file, whose suffix chooses the format; the folder of the images, for several files",
    )  # fmt: skip
    parser.add_argument(
        "--suffix", metavar="SUFFIX",
        help="OUT is a folder, for images with this suffix (default of several files: .nii.gz); .h5 is the layout of "
        "fastMRI's submissions, / a folder of DICOM slices each",
    )  # fmt: skip
    parser.add_argument(
        "--set", action="append", default=[], type=assignment, metavar="NAME=VALUE", help="parameter of the method"
    )
    for name, meaning in SHORTHANDS.items():
        parser.add_argument(f"--{name}", metavar="VALUE", help=f"{meaning}: the same as --set {name}=VALUE")
    parser.add_argument("--reader", help="reader, by name or YAML config, whatever the file looks like")
    parser.add_argument("--operator", help="where the file does not tell: YAML file, YAML config, or experiment")
    parser.add_argument("--weights", choices=["best", "last"], default="best", help="which weights of a run")
    parser.add_argument("--complex", action="store_true", help="write complex images as they are, not their magnitude")
    parser.add_argument(
        "--like", type=Path, metavar="DICOM", help="series of the scanner that a derived DICOM series refers to"
    )
    parser.add_argument("--unit", choices=UNITS, help="unit of a CT image (default HU where the file tells water's)")
    parser.add_argument("--water", type=number, metavar="MU", help="attenuation of water in 1/mm, to write HU")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")


def run(arguments: argparse.Namespace) -> int:
    """Reconstruct and write the image of each file."""
    from recon.cli.convert import writing
    from recon.engine.distributed import choose_device
    from recon.io import check_output

    device = choose_device(arguments.device)
    several = len(arguments.measurements) > 1 or arguments.suffix is not None
    if several and arguments.like is not None:
        raise UsageError("--like is about one scan; reconstruct them one after the other, each with its own")
    outputs = _outputs(arguments) if several else {arguments.measurements[0]: arguments.output}
    writer = None if arguments.like is None else writing(None, arguments.output, {"like": str(arguments.like)})
    for source, target in outputs.items():
        if several and not arguments.output.is_dir():  # it is made when all names are known to be good
            with TemporaryDirectory() as aside:
                check_output(Path(aside) / target.name)
        else:
            check_output(target, writer=writer)
        if target.exists() and source.exists() and target.samefile(source):
            raise UsageError(f"the image of {source} would take its place: choose another OUT")
    method, label = _method(arguments, device)
    job = _Job(arguments, method, label, device, writer)
    if several:
        return _each(outputs, job)
    job.run(*next(iter(outputs.items())), "reconstructing")
    print(arguments.output)
    return 0


@dataclass(frozen=True, slots=True)
class _Job:
    """What is done to every file."""

    arguments: argparse.Namespace
    method: Callable[[Tensor, Any], Tensor]
    label: str
    device: Any
    writer: Any

    def run(self, source: Path, target: Path, text: str) -> None:
        """Reconstruct one file and write its image; `text` stands beside the progress bar."""
        from recon.io import check_output, write
        from recon.reconstruction import check_fit, reconstruct, spans

        arguments = self.arguments
        measurement = measurement_from(source, arguments.reader)
        try:
            operator = _operator(arguments, measurement, source)
            check_fit(measurement, operator)
            expected = _expected(measurement, operator, arguments)
            if expected is not None:
                check_output(target, to_file(expected, arguments.unit, arguments.water), writer=self.writer)
            # A network may need much memory for a single item; classical methods are fastest on several.
            parts = spans(measurement, most=1) if arguments.run else spans(measurement)
            image = reconstruct(
                measurement,
                self.method,
                operator,
                parts=track(parts, text),
                device=self.device,
                keep_complex=arguments.complex,
                note=f"reconstructed with {self.label}",
            )
        except UsageError as error:
            raise UsageError(_named(source, str(error))) from error
        write(to_file(image, arguments.unit, arguments.water), target, writer=self.writer)


def _each(outputs: dict[Path, Path], job: _Job) -> int:
    """Reconstruct every file, whatever becomes of the others, and tell how many failed."""
    job.arguments.output.mkdir(exist_ok=True)
    failed = 0
    for count, (source, target) in enumerate(outputs.items(), 1):
        try:
            job.run(source, target, f"{count} of {len(outputs)}: {source.name}")
        except Exception as error:
            if job.arguments.debug:
                raise
            failed += 1
            text = str(error) if isinstance(error, ReconError) else f"{type(error).__name__}: {error}"
            print(f"recon: {' '.join(as_options(_named(source, text)).split())}", file=sys.stderr)
        else:
            print(target)
    print(f"{len(outputs) - failed} of {len(outputs)} files reconstructed")
    return 1 if failed else 0


def _named(source: Path, text: str) -> str:
    return text if str(source) in text else f"{source}: {text}"


def _outputs(arguments: argparse.Namespace) -> dict[Path, Path]:
    """Return the image file of each measurement file, in the folder OUT."""
    suffix = ".nii.gz" if arguments.suffix is None else arguments.suffix
    if suffix != "/" and not suffix.startswith("."):
        raise UsageError(f"--suffix takes an ending such as .nii.gz, or / for folders of DICOM slices, not {suffix!r}")
    if arguments.output.exists() and not arguments.output.is_dir():
        raise UsageError(f"{arguments.output} is a file; several images need a folder")
    if not arguments.output.parent.is_dir():
        raise UsageError(f"folder {arguments.output.parent} does not exist; make it first")
    outputs: dict[Path, Path] = {}
    for source in arguments.measurements:
        stem = source.name if source.is_dir() else source.stem
        target = arguments.output / (stem if suffix == "/" else stem + suffix)
        other = next((known for known, taken in outputs.items() if taken == target), None)
        if other is not None:
            raise UsageError(f"{other} and {source} would both become {target}: reconstruct them one after the other")
        outputs[source] = target
    return outputs


def _method(arguments: argparse.Namespace, device: Any) -> tuple[Callable[[Tensor, Any], Tensor], str]:
    """Build the method, or load the trained network, with what notes call it."""
    changes = [*arguments.set]
    for name in SHORTHANDS:
        if getattr(arguments, name) is not None:
            changes.append(assignment(f"{name}={getattr(arguments, name)}"))
    if arguments.method:
        label = arguments.method + "".join(f", {name} {value}" for name, value in changes)
        return method_from(arguments.method, changes), label
    if changes:
        raise UsageError(f"{changes[0][0]!r} is a parameter of a --method; a --run has its own")
    from recon.engine.method import TrainedMethod

    return TrainedMethod(run=arguments.run, which=arguments.weights, device=device), str(arguments.run)


def _expected(measurement: Measurement, operator: Any, arguments: argparse.Namespace) -> Image | None:
    """Return an image like the one to come, without its values, where the operator tells enough about it."""
    import torch

    shape = measurement.shape[1:] if operator is None else operator.input_shape
    if shape is None or len(shape) not in (3, 4) or (arguments.like is not None and None in shape[1:]):
        return None
    complex_ = arguments.complex and operator is not None and operator.complex_input
    # One number, shown as often as there are voxels, so that the image has its size and takes no memory.
    data = torch.zeros((), dtype=torch.complex64 if complex_ else torch.float32)
    # An operator that takes any size leaves it open; what is cut out of the middle must be there.
    crop = (1, 1, *(measurement.crop or (1,)))[1 - len(shape) :]
    sizes = [size or least for size, least in zip(shape[1:], crop, strict=True)]
    return measurement.image(data.expand(measurement.shape[0], shape[0] or 1, *sizes))


def _operator(arguments: argparse.Namespace, measurement: Measurement, source: Path) -> Any:
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
    raise UsageError(f"{source} does not tell its operator: name it with --operator")
