"""The folder that holds everything about one run."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from recon.engine.checkpoint import CheckpointStore
from recon.errors import UsageError
from recon.io.atomic import atomic_file
from recon.registry import registry

__all__ = ["RunFolder", "environment"]


class RunFolder:
    """A run folder: experiment as given and as resolved, environment, metrics, checkpoints, samples, report.

    Parameters
    ----------
    path
        The folder; made by `prepare`.
    files
        Texts to keep in it by file name: the experiment as it was given and as it was resolved.
    fingerprint
        Digest of what the weights depend on.
    """

    def __init__(self, path: str | Path, *, files: Mapping[str, str] | None = None, fingerprint: str = "") -> None:
        self.path = Path(path)
        self.files = dict(files or {})
        self.checkpoints = CheckpointStore(self.path / "checkpoints", fingerprint)
        self.metrics = self.path / "metrics.jsonl"
        self.samples = self.path / "samples"
        self.report = self.path / "report.html"

    def prepare(self, *, resume: bool, seed: int) -> None:
        """Make the folder and write down what is run, where and with what.

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
        for name, text in self.files.items():
            _write(self.path / name, text)
        facts = json.dumps(environment() | {"seed": seed}, indent=1)
        _write(self.path / "environment.json", facts)


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
        "devices": devices or [platform.machine()],
        "threads": torch.get_num_threads(),
        "processes": int(os.environ.get("WORLD_SIZE", "1")),
    }


def _write(path: Path, text: str) -> None:
    with atomic_file(path) as temporary:
        temporary.write_text(text)
