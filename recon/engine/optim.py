"""Optimisers from a plan, and learning rates as functions of the step."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from recon.engine.plans import OptimizerPlan, SchedulePlan
from recon.errors import ParameterError, UsageError

__all__ = ["learning_rate", "make_optimizer"]

_CLASSES: dict[str, type[torch.optim.Optimizer]] = {
    "adamw": torch.optim.AdamW,
    "adam": torch.optim.Adam,
    "sgd": torch.optim.SGD,
    "rmsprop": torch.optim.RMSprop,
}
_TAKES = {
    "adamw": ("betas", "eps"),
    "adam": ("betas", "eps"),
    "sgd": ("momentum", "nesterov"),
    "rmsprop": ("momentum", "eps"),
}


def make_optimizer(plan: OptimizerPlan, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """Build the optimiser, fused into one kernel where torch has that for the parameters' device.

    Raises
    ------
    ParameterError
        If a setting is given that the optimiser does not have.
    UsageError
        If there is nothing to train.
    """
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    if not trained:
        raise UsageError("the model has no trainable parameters: evaluate it, there is nothing to train")
    wrong = [
        ((name,), f"{plan.name} has no {name}; it takes: lr, weight_decay, {', '.join(_TAKES[plan.name])}")
        for name in ("betas", "momentum", "nesterov", "eps")
        if getattr(plan, name) is not None and name not in _TAKES[plan.name]
    ]
    if wrong:
        raise ParameterError("training.optimizer", wrong)
    options: dict[str, Any] = {"lr": plan.lr, "weight_decay": plan.weight_decay}
    options |= {name: value for name in _TAKES[plan.name] if (value := getattr(plan, name)) is not None}
    plain = all(p.is_floating_point() and p.device.type in ("cpu", "cuda") for p in trained)
    if plan.name != "rmsprop" and plain:
        options["fused"] = True
    return _CLASSES[plan.name](trained, **options)


def learning_rate(plan: SchedulePlan, lr: float, steps: int, step: int) -> float:
    """Return the learning rate of `step` (counted from 0) out of `steps`."""
    if step < plan.warmup:
        return lr * (step + 1) / plan.warmup
    progress = min(1.0, (step - plan.warmup) / max(1, steps - plan.warmup))
    if plan.name == "linear":
        return lr * (1 - (1 - plan.floor) * progress)
    if plan.name == "cosine":
        return lr * (plan.floor + (1 - plan.floor) * 0.5 * (1 + math.cos(math.pi * progress)))
    if plan.name == "step":
        passed = step // plan.every if plan.every else sum(step >= milestone for milestone in plan.milestones)
        return float(lr * plan.gamma**passed)
    return lr
