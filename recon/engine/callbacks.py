"""Hooks into training: plain objects with a few named methods."""

from __future__ import annotations

from collections.abc import Callable as Function
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recon.engine.trainer import Trainer

__all__ = ["Callback", "Hooks"]


class Callback:
    """Base of callbacks. Override what you need: the other methods are never called.

    `step` counts completed steps: 0 before the first, `training.steps` at the end. With several processes every one
    calls its callbacks; ``trainer.world.main`` tells which of them may write.
    """

    def fit_start(self, trainer: Trainer) -> None:
        """Run when training begins, or goes on from a checkpoint."""

    def step_start(self, trainer: Trainer, step: int) -> None:
        """Run when a step begins."""

    def backward_end(self, trainer: Trainer, step: int) -> None:
        """Run when the gradients of a step are complete and not yet clipped or applied."""

    def step_end(self, trainer: Trainer, step: int) -> None:
        """Run when the weights are updated. Reading a tensor's value here makes the host wait for the device."""

    def log(self, trainer: Trainer, record: Mapping[str, Any]) -> None:
        """Run when a record of metrics.jsonl was made."""

    def checkpoint(self, trainer: Trainer, folder: Path) -> None:
        """Run when a checkpoint was written, on the main process alone."""

    def fit_end(self, trainer: Trainer) -> None:
        """Run when training is complete, not after an error or an interruption."""


class Hooks:
    """The overridden methods of some callbacks, by name."""

    def __init__(self, callbacks: Iterable[Callback]) -> None:
        callbacks = list(callbacks)

        def overridden(name: str) -> tuple[Function[..., None], ...]:
            base = getattr(Callback, name)
            return tuple(getattr(c, name) for c in callbacks if getattr(type(c), name, base) is not base)

        self.fit_start = overridden("fit_start")
        self.step_start = overridden("step_start")
        self.backward_end = overridden("backward_end")
        self.step_end = overridden("step_end")
        self.log = overridden("log")
        self.checkpoint = overridden("checkpoint")
        self.fit_end = overridden("fit_end")
