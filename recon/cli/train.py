"""Train the model of an experiment file.

The run folder gets the experiment as given and as resolved, versions, metrics, checkpoints, pictures and a report.
Ctrl-C writes a checkpoint first; --resume goes on from it as if nothing had happened.

  recon train dncnn
  recon train my.yaml --set training.steps=2000 --set training.device=cuda --run runs/first
  recon train runs/first --resume --set training.steps=4000
  torchrun --nproc-per-node 4 -m recon train my.yaml --set training.accumulate=4 --run runs/four
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

from recon.errors import UsageError

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``recon train``."""
    parser.add_argument("experiment", help="YAML file, shipped name, or a run folder to go on with")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override, such as training.steps=100"
    )
    parser.add_argument("--run", type=Path, metavar="DIR", help="run folder (default: runs/NAME-DATE-TIME)")
    parser.add_argument(
        "--resume", action="store_true", help="go on from the newest whole checkpoint of the run folder"
    )


def run(arguments: argparse.Namespace) -> int:
    """Train, and say where the results are."""
    from recon.engine.run_folder import RESOLVED
    from recon.experiment import Experiment

    given = Path(arguments.experiment)
    folder: Path | None = arguments.run
    if given.is_dir() and folder is None:
        folder = given
        if not arguments.resume and (given / RESOLVED).is_file():
            raise UsageError(f"{given} is a run folder: pass --resume to go on with it")
    if arguments.resume and folder is None:
        raise UsageError("--resume needs the run folder: recon train RUN --resume, or --run RUN")
    experiment = Experiment.load(arguments.experiment, overrides=arguments.set)
    if folder is None:
        folder = Path("runs") / f"{experiment.name}-{time.strftime('%Y%m%d-%H%M%S')}"
    main = int(os.environ.get("RANK", "0")) == 0
    if main:  # first, so that a batch job's log tells where to look while it runs
        print(f"run {folder}", flush=True)
    result = experiment.trainer(folder).fit(resume=arguments.resume)
    if main:
        if result.best is not None:
            print(f"best {result.best.metric} {result.best.value:.4f} at step {result.best.step}")
        print(f"report {folder / 'report.html'}")
    return 0
