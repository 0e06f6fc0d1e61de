"""One training process, for tests that start it by itself or under torchrun: python job.py RUN JSON."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import torch
from conftest import Noise, Psnr, make_trainer, small_model
from torch import nn

from recon.cli import main
from recon.engine import Callback, SamplingPlan


class NanOn(nn.Module):
    """Mean squared error that is NaN at one call of one process."""

    def __init__(self, rank: int, call: int) -> None:
        super().__init__()
        self.rank, self.call, self.calls = rank, call, 0

    def forward(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        self.calls += self.training
        mine = os.environ.get("RANK", "0") == str(self.rank)
        factor = float("nan") if mine and self.training and self.calls == self.call else 1.0
        return factor * (prediction - target).square().mean()


class SignalAt(Callback):
    """Sends one process a signal."""

    def __init__(self, step: int, number: int, rank: int) -> None:
        self.step, self.number, self.rank = step, number, rank

    def step_end(self, trainer, step):
        if step == self.step and trainer.world.rank == self.rank:
            os.kill(os.getpid(), self.number)


def job(run: str, options: dict) -> None:
    changes: dict = {"metrics": {"psnr": Psnr()}, "operator": Noise()}
    if not options.get("batch_norm"):
        changes["model"] = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Dropout(0.2), nn.Conv2d(4, 1, 1))
        torch.manual_seed(0)
        for parameter in changes["model"].parameters():
            nn.init.normal_(parameter, 0.0, 0.1)
    else:
        changes["model"] = small_model()
    if "nan" in options:
        changes["loss"] = NanOn(*options["nan"])
    if "signal" in options:
        step, name, rank = options["signal"]
        changes["callbacks"] = [SignalAt(step, getattr(signal, name), rank)]
    if "workers" in options:
        changes["sampling"] = SamplingPlan(crop=(8, 8), source="streamed", workers=options["workers"])
    make_trainer(run, options.get("plan"), **changes).fit(resume=options.get("resume", False))


if __name__ == "__main__":
    # Through the command line's own error handling: exit codes and one line are part of what is tested.
    import recon.cli as cli

    cli._dispatch = lambda arguments: job(arguments[0], json.loads(arguments[1])) or 0
    sys.exit(main([str(Path(sys.argv[1])), sys.argv[2]]))
