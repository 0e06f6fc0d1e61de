"""Compute an experiment's metrics on its validation data, or score files of reconstructions by a published protocol.

Prints a table with the convention of each metric, and writes all values as JSON or CSV.

  recon evaluate runs/first
  recon evaluate runs/first --method fbp
  recon evaluate unet_radon --method '{use: tv, weight: 0.02}' --json tv.json
  recon evaluate runs/first --set data.validation='{use: image_folder, root: /data/set12}'

With --protocol fastmri, a folder of reconstructions in the layout of fastMRI's submissions is compared with the
references in --targets, volume by volume: NMSE, PSNR and SSIM of fastMRI's own evaluation. Exit code 1 tells that a
volume is missing or could not be compared.

  recon evaluate reconstructions --protocol fastmri --targets multicoil_val
  recon evaluate reconstructions --protocol fastmri --targets multicoil_val --acquisition AXT2 --csv axt2.csv
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from recon.cli.common import number, track
from recon.errors import UsageError

if TYPE_CHECKING:
    from recon.engine.validation import Reconstruct, Scores
    from recon.experiment import Experiment

__all__ = ["add_arguments", "run"]

_SHOWN = 5
"""Names of volumes that a line lists."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``recon evaluate``."""
    parser.add_argument(
        "run_or_file", metavar="RUN|FILE",
        help="run folder, YAML file or shipped experiment; with --protocol the folder of reconstructions, or one file",
    )  # fmt: skip
    parser.add_argument("--method", help="reconstruction method in place of the trained model: name or YAML config")
    parser.add_argument("--weights", choices=["best", "last"], default="best", help="which weights of a run")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override of the experiment")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="where to write the values (default: in the run folder)"
    )
    parser.add_argument("--csv", type=Path, metavar="FILE", help="where to write the values as a table")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    protocol = parser.add_argument_group("files of reconstructions")
    protocol.add_argument("--protocol", choices=["fastmri"], help="score files as this data set does")
    protocol.add_argument("--targets", type=Path, metavar="PATH", help="folder of the reference files, or one file")
    protocol.add_argument("--acquisition", metavar="NAME", help="only volumes of this acquisition, such as AXT2")
    protocol.add_argument("--acceleration", type=number, metavar="R", help="only volumes with this acceleration")


def run(arguments: argparse.Namespace) -> int:
    """Evaluate, print the table, write the files."""
    if arguments.protocol is not None:
        return _files(arguments)
    for name in ("targets", "acquisition", "acceleration"):
        if getattr(arguments, name) is not None:
            raise UsageError(f"--{name} is for files of reconstructions: add --protocol fastmri")
    return _experiment(arguments)


def _files(arguments: argparse.Namespace) -> int:
    """Score files of reconstructions; 1 if a volume is missing or could not be compared."""
    from recon.evaluation import FastMRIProtocol
    from recon.io.atomic import check_place, write_text

    if arguments.method is not None or arguments.set:
        raise UsageError(f"--protocol {arguments.protocol} scores files: reconstruct them first (recon reconstruct)")
    if arguments.targets is None:
        raise UsageError(f"--protocol {arguments.protocol} compares with reference files: name them with --targets")
    for place in (arguments.json, arguments.csv):
        if place is not None:
            check_place(place)
    protocol = FastMRIProtocol(acquisition=arguments.acquisition, acceleration=arguments.acceleration)
    report = protocol.evaluate(
        Path(arguments.run_or_file), arguments.targets, track=lambda names: track(names, "comparing")
    )
    if report.volumes:
        print(report.table())
    for note in report.notes:
        print(f"note: {note}")
    for kind, names in (("missing", report.missing), ("without reference", report.extra)):
        if names:
            print(f"{kind}: {_few(names)}")
    for text in report.faults.values():
        print(f"recon: {text}", file=sys.stderr)
    if arguments.json is not None:
        write_text(arguments.json, report.to_json())
        print(f"values {arguments.json}")
    if arguments.csv is not None:
        write_text(arguments.csv, report.to_csv())
        print(f"values {arguments.csv}")
    return 0 if report.complete else 1


def _few(names: Sequence[str]) -> str:
    """Name the first of many."""
    rest = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{len(names)} volume{'s' if len(names) > 1 else ''}: {', '.join(names[:_SHOWN])}{rest}"


def _experiment(arguments: argparse.Namespace) -> int:
    """Evaluate on the validation data of an experiment."""
    from recon.cli.common import method_from
    from recon.engine.distributed import choose_device
    from recon.engine.method import TrainedMethod
    from recon.engine.regimes import Regime
    from recon.engine.validation import Validator
    from recon.experiment import Experiment

    experiment = Experiment.load(arguments.run_or_file, overrides=arguments.set)
    folder = Path(arguments.run_or_file)
    device = choose_device(arguments.device)
    reconstruct: Reconstruct
    if arguments.method is not None:
        reconstruct, label = method_from(arguments.method), arguments.method
    elif folder.is_dir():
        reconstruct, label = TrainedMethod(run=folder, which=arguments.weights, device=device), str(folder)
    else:
        raise UsageError(f"{folder} has no trained model: give a run folder, or a method with --method")
    dataset = experiment.build_dataset("validation")
    if dataset is None:
        raise UsageError(f"experiment {experiment.name} has no validation data: --set data.validation=...")
    metrics = experiment.build_metrics()
    if not metrics:
        raise UsageError(f"experiment {experiment.name} names no metrics: --set metrics='[psnr, ssim]'")
    for metric in metrics.values():
        metric.to(device)
    regime = Regime(experiment.spec.regime, experiment.operator_for(dataset))
    regime.to(device)
    validator = Validator(dataset, regime, metrics, None, seed=experiment.spec.seed, device=device)
    began = time.perf_counter()
    scores = validator.run(reconstruct)
    if scores is None:
        raise UsageError("evaluation was stopped")
    seconds = time.perf_counter() - began
    target = arguments.json or (folder / "evaluation.json" if folder.is_dir() else None)
    _print(experiment, label, scores, seconds)
    if target is not None:
        _write(target, experiment, label, scores, seconds)
        print(f"values {target}")
    if arguments.csv is not None:
        _write_csv(arguments.csv, scores)
        print(f"values {arguments.csv}")
    return 0


def _print(experiment: Experiment, label: str, scores: Scores, seconds: float) -> None:
    count = len(scores.values)
    print(f"{label} on the validation data of {experiment.name}: {count} items, {seconds / count:.3g} s each")
    deviations = scores.values.double().std(0, correction=0).tolist()
    conventions = experiment.build_metrics()
    for name, deviation in zip(scores.names, deviations, strict=True):
        print(f"  {name:<12} {scores.means[name]:>10.4f} ± {deviation:<10.4f} {conventions[name].convention}")


def _write(path: Path, experiment: Experiment, label: str, scores: Scores, seconds: float) -> None:
    from recon.io.atomic import write_text

    metrics = experiment.build_metrics()
    content = {
        "experiment": experiment.resolved,
        "method": label,
        "items": len(scores.values),
        "seconds": seconds,
        "metrics": {
            name: {"mean": scores.means[name], "convention": metrics[name].convention, "values": values}
            for name, values in zip(scores.names, scores.values.T.tolist(), strict=True)
        },
    }
    write_text(path, json.dumps(content, indent=1))


def _write_csv(path: Path, scores: Scores) -> None:
    from recon.io.atomic import write_text

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["item", *scores.names])
    writer.writerows([item, *values] for item, values in enumerate(scores.values.tolist()))
    write_text(path, text.getvalue())
