"""From a trainer to a checkpoint and back."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from recon.engine import faults
from recon.engine.checkpoint import load_tensors, load_weights, read_state, tensor_bytes, verify
from recon.engine.validation import Best
from recon.errors import CheckpointError

if TYPE_CHECKING:
    from recon.engine.trainer import Trainer

__all__ = ["restore", "save_best", "save_checkpoint"]


def save_checkpoint(trainer: Trainer) -> Path | None:
    """Write what the run goes on from. The losses so far were checked; the weights are checked here.

    Raises
    ------
    NonFiniteError
        If the last steps made a weight NaN or infinite though all losses were finite.
    """
    trainer.world.average_buffers(trainer.model)
    faults.check_weights(trainer)
    folder: Path | None = None
    if trainer.run is not None and trainer.world.main:
        files = {"model.safetensors": tensor_bytes(trainer.model.state_dict()), "state.pt": _state(trainer)}
        if trainer.ema is not None:
            files["ema.safetensors"] = tensor_bytes(trainer.ema.state_dict())
        folder = trainer.run.checkpoints.write("step", trainer.step, files)
        for hook in trainer.hooks.checkpoint:
            hook(trainer, folder)
    trainer.world.barrier()
    return folder


def save_best(trainer: Trainer) -> None:
    """Write the weights that were just validated as the best."""
    if trainer.run is None or not trainer.world.main or trainer.best is None:
        return
    weights = trainer.ema.state_dict() if trainer.ema is not None else trainer.model.state_dict()
    facts = {trainer.best.metric: trainer.best.value, "averaged": trainer.ema is not None}
    files = {"model.safetensors": tensor_bytes(weights)}
    folder = trainer.run.checkpoints.write("best", trainer.step, files, {"validation": facts})
    for hook in trainer.hooks.checkpoint:
        hook(trainer, folder)


def restore(trainer: Trainer) -> None:
    """Take up the newest whole checkpoint of the run folder; without one, start at step 0.

    Raises
    ------
    CheckpointError
        If it belongs to another experiment or another model.
    """
    if trainer.run is None:
        raise CheckpointError("there is nothing to resume without a run folder: pass run=")
    store = trainer.run.checkpoints
    folder = store.newest("step")
    if folder is None:
        if store.list("step"):
            raise CheckpointError(f"all checkpoints in {store.folder} are damaged: start anew in another run folder")
        trainer.log.rewind(0)
        return
    if verify(folder)["fingerprint"] != store.fingerprint:
        raise CheckpointError(
            f"checkpoint {folder} belongs to another experiment: data, regime, forward, model, loss and seed must "
            "stay as they were; start a new run folder for a changed experiment"
        )
    load_weights(trainer.model, folder / "model.safetensors")
    state = read_state(folder / "state.pt")
    if state["optimizer_name"] != trainer.plan.optimizer.name:
        raise CheckpointError(
            f"checkpoint {folder} was written with optimiser {state['optimizer_name']}, not "
            f"{trainer.plan.optimizer.name}: keep training.optimizer.name, or start a new run folder"
        )
    # The state alone: settings such as the weight decay are those of the plan, which may have changed.
    groups = trainer.optimizer.state_dict()["param_groups"]
    trainer.optimizer.load_state_dict({"state": state["optimizer"], "param_groups": groups})
    if trainer.scaler is not None and state["scaler"]:
        trainer.scaler.load_state_dict(state["scaler"])
    if trainer.ema is not None and (folder / "ema.safetensors").exists():
        trainer.ema.load_state_dict(load_tensors(folder / "ema.safetensors"), state["ema_updates"])
    trainer.step, trainer.validated, trainer.seconds = state["step"], state["validated"], state["seconds"]
    if state["best"] is not None:
        trainer.best = Best(**state["best"])
    window = trainer.window
    if state["window"].shape == window.rows.shape:
        window.rows.copy_(state["window"])
        window.since = state["window_since"]
    else:  # another log_every: the window starts here
        window.since = trainer.step
    trainer.log.rewind(trainer.step)


def _state(trainer: Trainer) -> bytes:
    best = trainer.best
    state: dict[str, Any] = {
        "step": trainer.step,
        "validated": trainer.validated,
        "seconds": trainer.seconds,
        "best": None if best is None else {"metric": best.metric, "value": best.value, "step": best.step},
        "optimizer_name": trainer.plan.optimizer.name,
        "optimizer": trainer.optimizer.state_dict()["state"],
        "scaler": trainer.scaler.state_dict() if trainer.scaler is not None else None,
        "ema_updates": trainer.ema.updates if trainer.ema is not None else 0,
        "window": trainer.window.rows.cpu(),
        "window_since": trainer.window.since,
    }
    stream = io.BytesIO()
    torch.save(state, stream)
    return stream.getvalue()
