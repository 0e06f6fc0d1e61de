"""What a trainer does when it waits for the device: log, validate, keep the best weights."""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING, Any

from torch import Tensor

from recon.engine.pictures import write_samples
from recon.engine.state import save_best
from recon.engine.validation import Best, Scores

if TYPE_CHECKING:
    from recon.engine.trainer import Trainer

__all__ = ["log_losses", "validate", "validate_if_due"]


def validate_if_due(trainer: Trainer) -> None:
    """Validate if that is due and not yet done; an interruption leaves it to the resumed run."""
    plan, step = trainer.plan, trainer.step
    due = step > 0 and (step % plan.validate_every == 0 or step == plan.steps) and trainer.validated != step
    if not due or trainer.validator is None or trainer.world.largest(trainer.signals.received):
        return
    scores = validate(trainer)
    if scores is None:
        return
    trainer.validated = step
    means = scores.means
    trainer.record({"step": step, **{f"validation/{name}": value for name, value in means.items()}})
    first = next((name for name in trainer.metrics if name in means), "loss")
    higher = first in trainer.metrics and trainer.metrics[first].higher_is_better
    value = means[first]
    if math.isnan(value):
        pass  # never the best; the checks of losses and weights tell why
    elif trainer.best is None or (value > trainer.best.value if higher else value < trainer.best.value):
        trainer.best = Best(first, value, step)
        save_best(trainer)
    if trainer.run is not None and trainer.world.main:
        write_samples(trainer.run.samples, step, scores.pictures)


def validate(trainer: Trainer) -> Scores | None:
    """Score the weights as they are now, averaged ones if there are any; None if a signal came on the way."""
    if trainer.validator is None:
        return None
    world = trainer.world
    world.average_buffers(trainer.model)
    tops = (trainer.model, *(term.loss for term in trainer.losses.terms))
    modes = {module: module.training for top in tops for module in top.modules()}
    for top in tops:
        top.eval()
    network = trainer.make_network(trainer.model)
    applied = trainer.ema.applied() if trainer.ema is not None else contextlib.nullcontext()
    alone = world.size == 1
    try:
        with applied:
            return trainer.validator.run(
                network,
                model=network,
                rank=world.rank,
                size=world.size,
                total=world.sum,
                stopped=lambda: alone and bool(trainer.signals.received),
            )
    finally:
        for module, mode in modes.items():
            module.training = mode  # each by itself: frozen parts may have been in evaluation mode


def log_losses(trainer: Trainer, losses: Tensor) -> None:
    """Record the mean of each loss since the last log point."""
    plan, step = trainer.plan, trainer.step
    means = trainer.window.means(losses, plan.accumulate)
    weighted = sum(term.weight * means[term.name] for term in trainer.losses.terms)
    record: dict[str, Any] = {"step": step, "loss": weighted}
    if len(trainer.losses.terms) > 1:
        record |= {f"loss/{name}": means[name] for name in trainer.losses.names}
    if plan.clip is not None and not math.isnan(means["gradient_norm"]):  # NaN: fp16 scaling skipped all of the steps
        record["gradient_norm"] = means["gradient_norm"] * plan.accumulate / trainer.world.size
    record["lr"] = trainer.optimizer.param_groups[0]["lr"]
    record["epoch"] = round(trainer.source.order.epoch(step), 4)
    record["seconds"] = round(trainer.seconds, 3)
    trainer.progress.note(f"loss {weighted:.4g}")
    trainer.record(record)
