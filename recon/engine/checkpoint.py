"""Checkpoints: folders that are whole or not there at all.

``step-00001000/`` holds what training goes on from: model.safetensors, ema.safetensors (with an average), state.pt
(optimiser and counters, loaded with ``weights_only=True``). ``best-00000500/`` holds the weights with the best
validation. Each has a manifest.json with the SHA-256 of its files; it is written last, under a temporary folder name.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from recon.errors import CheckpointError
from recon.io.atomic import atomic_folder

__all__ = ["CheckpointStore", "load_model", "load_tensors", "load_weights", "read_state", "tensor_bytes", "verify"]

KEEP = 2
"""Checkpoints to go on from; the older one is there in case the newer is damaged."""

_log = logging.getLogger(__name__)


class CheckpointStore:
    """The checkpoints folder of a run.

    Parameters
    ----------
    folder
        Where the checkpoints are; made when the first is written.
    fingerprint
        Digest of what the weights depend on; kept in each manifest.
    """

    def __init__(self, folder: Path, fingerprint: str = "") -> None:
        self.folder = folder
        self.fingerprint = fingerprint

    def write(self, kind: str, step: int, files: Mapping[str, bytes], facts: Mapping[str, Any] | None = None) -> Path:
        """Write a checkpoint of kind ``step`` or ``best``, then drop those that it makes superfluous.

        These are older ones, and those of later steps: a resumed run comes upon the latter when what it went on from
        was not the last that had been written, and makes them again.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        final = self.folder / f"{kind}-{step:08d}"
        manifest = {
            "format": 1,
            "step": step,
            "fingerprint": self.fingerprint,
            "torch": torch.__version__,
            **(facts or {}),
            "sha256": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
        }
        with atomic_folder(final, overwrite=True) as temporary:
            for name, data in files.items():
                (temporary / name).write_bytes(data)
            (temporary / "manifest.json").write_text(json.dumps(manifest, indent=1))
        found = self.list(kind)
        kept = found[found.index(final) :][: 1 if kind == "best" else KEEP]
        for path in found:
            if path not in kept:
                shutil.rmtree(path, ignore_errors=True)
        return final

    def list(self, kind: str) -> list[Path]:
        """Return the checkpoints of a kind, newest first."""
        if not self.folder.is_dir():
            return []
        return sorted((path for path in self.folder.glob(f"{kind}-*") if path.is_dir()), reverse=True)

    def newest(self, kind: str) -> Path | None:
        """Return the newest whole checkpoint of a kind; damaged ones are passed over, with a warning each."""
        for path in self.list(kind):
            try:
                verify(path)
            except CheckpointError as error:
                _log.warning("%s; it is passed over", error)
            else:
                return path
        return None

    def weights(self, which: str = "best") -> Path:
        """Return the weights that a run is judged by: of its best validation, or of its last checkpoint.

        Raises
        ------
        CheckpointError
            If there are none.
        """
        order = ("best", "step") if which == "best" else ("step", "best")
        found = next((path for kind in order if (path := self.newest(kind)) is not None), None)
        if found is None:
            damaged = any(self.list(kind) for kind in order)
            fix = "all are damaged, train in another run folder" if damaged else "train the run first (recon train)"
            raise CheckpointError(f"no whole checkpoint in {self.folder}: {fix}")
        average = found / "ema.safetensors"
        return average if average.exists() else found / "model.safetensors"


def verify(folder: Path) -> dict[str, Any]:
    """Return the manifest of a checkpoint whose files are all as they were written.

    Raises
    ------
    CheckpointError
        If something is missing or damaged.
    """
    try:
        manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_bytes())
        sums: dict[str, str] = manifest["sha256"]
    except FileNotFoundError:
        raise CheckpointError(f"checkpoint {folder} has no manifest.json") from None
    except (ValueError, KeyError, TypeError):
        raise CheckpointError(f"checkpoint {folder} is damaged: manifest.json is not readable") from None
    for name, expected in sums.items():
        try:
            with (folder / name).open("rb") as stream:
                found = hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError:
            raise CheckpointError(f"checkpoint {folder} is damaged: {name} is missing") from None
        if found != expected:
            raise CheckpointError(f"checkpoint {folder} is damaged: {name} is not as it was written")
    return manifest


def tensor_bytes(tensors: Mapping[str, Tensor]) -> bytes:
    """Return tensors as a safetensors file; complex ones as pairs of real numbers, named in its metadata."""
    stored: dict[str, Tensor] = {}
    pairs: list[str] = []
    for name, value in tensors.items():
        plain = value.detach().cpu()
        if plain.is_complex():
            pairs.append(name)
            plain = torch.view_as_real(plain.resolve_conj())
        # A copy each: safetensors refuses tensors that share memory, as tied weights do.
        stored[name] = plain.clone(memory_format=torch.contiguous_format)
    data: bytes = save(stored, metadata={"format": "pt", "complex": json.dumps(pairs)})
    return data


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file.

    Raises
    ------
    CheckpointError
        If it is missing or damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise CheckpointError(f"weights file {path} does not exist") from None
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"weights file {path} is damaged: {error}") from None
    for name in json.loads(metadata.get("complex", "[]")):
        tensors[name] = torch.view_as_complex(tensors[name])
    return tensors


def load_weights(model: nn.Module, path: Path) -> None:
    """Load weights into a model.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged, or of another network; the message names the first difference.
    """
    saved, wanted = load_tensors(path), model.state_dict()
    problems = [
        f"{name} is {tuple(saved[name].shape)} in the file and {tuple(wanted[name].shape)} in the model"
        for name in saved
        if name in wanted and saved[name].shape != wanted[name].shape
    ]
    missing = [name for name in wanted if name not in saved]
    extra = [name for name in saved if name not in wanted]
    problems += [f"{len(missing)} tensors are not in the file, such as {missing[0]}"] if missing else []
    problems += [f"{len(extra)} tensors are not in the model, such as {extra[0]}"] if extra else []
    if problems:
        raise CheckpointError(
            f"{path} does not fit {type(model).__name__}: {'; '.join(problems[:3])}; build the model with the "
            "parameters that it was trained with"
        )
    model.load_state_dict(saved)


def read_state(path: Path) -> dict[str, Any]:
    """Read state.pt, without running code from it.

    Raises
    ------
    CheckpointError
        If it cannot be read.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise CheckpointError(f"training state {path} is not readable: {type(error).__name__}") from error
    return state


def load_model(run: str | Path, *, which: str = "best") -> nn.Module:
    """Rebuild the trained model of a run folder, in evaluation mode on the CPU.

    Parameters
    ----------
    run
        Run folder.
    which
        ``best`` (by validation; the last if nothing was validated) or ``last``. Averaged weights where there are any.

    Raises
    ------
    CheckpointError
        If the folder holds no whole checkpoint.
    """
    from recon.experiment import Experiment

    weights = CheckpointStore(Path(run) / "checkpoints").weights(which)
    model = Experiment.load(run).build_model()
    load_weights(model, weights)
    return model.eval()
