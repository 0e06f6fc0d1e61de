"""Compute an experiment's metrics on its validation data, for a trained model or a classical method.

Prints a table with the convention of each metric, and writes all values as JSON.

  recon evaluate runs/first
  recon evaluate runs/first --method fbp
  recon evaluate unet_radon --method '{use: tv, weight: 0.02}' --json tv.json
  recon evaluate runs/first --set data.validation='{use: image_folder, root: /data/set12}'
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

from recon.errors import UsageError

if TYPE_CHECKING:
    from recon.engine.validation import Reconstruct, Scores
    from recon.experiment import Experiment

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``recon evaluate``."""
    parser.add_argument("run_or_file", metavar="RUN|FILE", help="run folder, YAML file or shipped experiment")
    parser.add_argument("--method", help="reconstruction method in place of the trained model: name or YAML config")
    parser.add_argument("--weights", choices=["best", "last"], default="best", help="which weights of a run")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override of the experiment")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="where to write the values (default: in the run folder)"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")


def run(arguments: argparse.Namespace) -> int:
    """Evaluate, print the table, write the JSON file."""
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
