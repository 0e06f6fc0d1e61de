"""What to do, and say, when training fails."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import torch

from recon.engine.checkpoint import tensor_bytes
from recon.engine.keys import Purpose
from recon.engine.plans import TrainingPlan
from recon.errors import NonFiniteError, OutOfMemoryError, is_out_of_memory
from recon.io.atomic import atomic_file

if TYPE_CHECKING:
    from recon.engine.trainer import Trainer

__all__ = ["check_weights", "explain_out_of_memory", "stop_for_loss", "stopped_text"]


def stop_for_loss(trainer: Trainer, step: int, name: str, value: float) -> NoReturn:
    """Save the batch of `step`, rebuilt from its key, and stop.

    Raises
    ------
    NonFiniteError
        Always.
    """
    value_text = "NaN" if math.isnan(value) else "infinite"
    _stop(trainer, step, f"loss {name!r} became {value_text} at step {step}")


def check_weights(trainer: Trainer) -> None:
    """Refuse to write weights that are not finite.

    Raises
    ------
    NonFiniteError
        If a weight is NaN or infinite; the last step is named, since its loss was still finite.
    """
    with torch.no_grad():
        norms = torch.stack([torch.linalg.vector_norm(parameter) for parameter in trainer.trained])
        if not bool(norms.isfinite().all()):
            step = trainer.step - 1
            _stop(trainer, step, f"a weight became NaN or infinite at step {step}, though the loss was finite")


def explain_out_of_memory(error: BaseException, step: int, plan: TrainingPlan) -> None:
    """Turn a lack of memory into an error that tells the fix; other errors pass.

    Raises
    ------
    OutOfMemoryError
        If `error` is one of the ways in which torch reports it.
    """
    if is_out_of_memory(error):
        micro = plan.batch_size // plan.accumulate
        raise OutOfMemoryError(
            f"out of memory at step {step} with micro-batches of {micro}: raise training.accumulate (now "
            f"{plan.accumulate}), which keeps the batch of {plan.batch_size}, or lower training.batch_size or data.crop"
        ) from error


def stopped_text(step: int, folder: Path | None) -> str:
    """Say where an interrupted run stands."""
    kept = f"checkpoint {folder}; go on with --resume" if folder is not None else "nothing is kept without a run folder"
    return f"interrupted after step {step}: {kept}"


def _stop(trainer: Trainer, step: int, what: str) -> NoReturn:
    where = ""
    if trainer.run is not None and trainer.world.main:
        saved = _save_batch(trainer, step)
        good = trainer.run.checkpoints.newest("step")
        kept = f"last good checkpoint: {good}" if good is not None else "there was no checkpoint before it"
        where = f"; {kept}; its batch is in {saved}"
    raise NonFiniteError(f"{what}{where}; lower training.optimizer.lr or set training.clip")


def _save_batch(trainer: Trainer, step: int) -> Path:
    """Rebuild all micro-batches of a step and write them, with their measurements, as one safetensors file."""
    parts: dict[str, list[torch.Tensor]] = {}
    for micro in range(trainer.plan.accumulate):
        batch = trainer.source.batch(step, micro)
        sample = trainer.regime(batch, trainer.keys, Purpose.SIMULATE, step, micro)
        for name, value in {**batch, "measurement": sample.measurement}.items():
            parts.setdefault(name, []).append(value.cpu())
    run = trainer.run
    if run is None:
        raise RuntimeError("a run folder is needed to save a batch")
    folder = run.path / "nonfinite"
    folder.mkdir(exist_ok=True)
    path = folder / f"step-{step:08d}.safetensors"
    with atomic_file(path) as temporary:
        temporary.write_bytes(tensor_bytes({name: torch.cat(values) for name, values in parts.items()}))
    return path
