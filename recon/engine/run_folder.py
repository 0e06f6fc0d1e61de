"""The folder that holds everything about one run."""

from __future__ import annotations

import json
import os
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from recon.engine.checkpoint import CheckpointStore
from recon.errors import UsageError
from recon.io.atomic import write_text
from recon.registry import registry

__all__ = ["GIVEN", "RESOLVED", "RunFolder", "environment"]

GIVEN = "experiment.yaml"
RESOLVED = "resolved.yaml"


class RunFolder:
    """A run folder: experiment as given and as resolved, environment, metrics, checkpoints, samples, report.

    Parameters
    ----------
    path
        The folder; made by `prepare`.
    given
        The experiment as it was given, kept verbatim as experiment.yaml; None where there is no file.
    resolved
        The experiment in full, kept as resolved.yaml.
    fingerprint
        Digest of what the weights depend on.
    """

    def __init__(
        self, path: str | Path, *, given: str | None = None, resolved: str | None = None, fingerprint: str = ""
    ) -> None:
        self.path = Path(path)
        self.given = given
        self.resolved = resolved
        self.checkpoints = CheckpointStore(self.path / "checkpoints", fingerprint)
        self.metrics = self.path / "metrics.jsonl"
        self.samples = self.path / "samples"
        self.report = self.path / "report.html"

    def prepare(self, *, resume: bool) -> None:
        """Make the folder; nothing that is in it is touched.

        Raises
        ------
        UsageError
            If the folder holds another run and `resume` is not asked for, or has nothing to resume.
        """
        used = self.metrics.exists() or bool(self.checkpoints.list("step"))
        if used and not resume:
            raise UsageError(f"run folder {self.path} is already in use: pass --resume to go on, or choose another")
        if resume and not used:
            raise UsageError(f"there is no run to resume in {self.path}: leave out --resume to start it")
        self.path.mkdir(parents=True, exist_ok=True)

    def describe(self, *, resume: bool, seed: int) -> None:
        """Write down what is run, where and with what.

        A resumed run keeps the experiment as it was given first, and the environments before this one.
        """
        if self.given is not None and not (resume and (self.path / GIVEN).exists()):
            write_text(self.path / GIVEN, self.given)
        if self.resolved is not None:
            write_text(self.path / RESOLVED, self.resolved)
        path = self.path / "environment.json"
        facts = environment() | {"seed": seed}
        if resume and path.exists():
            first = json.loads(path.read_bytes())
            facts = first | {"resumed": [*first.get("resumed", []), facts]}
        write_text(path, json.dumps(facts, indent=1))


def environment() -> dict[str, Any]:
    """Return versions and devices: what a reader needs to repeat the run."""
    names = {"recon-toolkit", "torch", "numpy", "monai", *(plugin.distribution for plugin in registry().plugins)}
    versions = {}
    for name in sorted(names):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    devices = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {
        "command": sys.argv,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "distributions": versions,
        "plugins": registry().environment(),
        "devices": devices or [platform.machine()],
        "threads": torch.get_num_threads(),
        "processes": int(os.environ.get("WORLD_SIZE", "1")),
    }
