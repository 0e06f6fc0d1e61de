"""The training engine: plain torch, one `Trainer` for every model and the three regimes."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recon.engine.callbacks import Callback
    from recon.engine.checkpoint import load_model
    from recon.engine.losses import LossTerm
    from recon.engine.plans import OptimizerPlan, SamplingPlan, SchedulePlan, TrainingPlan
    from recon.engine.trainer import Result, Trainer

__all__ = [
    "Callback",
    "LossTerm",
    "OptimizerPlan",
    "Result",
    "SamplingPlan",
    "SchedulePlan",
    "Trainer",
    "TrainingPlan",
    "load_model",
]

_LAZY = {
    "Callback": "callbacks",
    "LossTerm": "losses",
    "OptimizerPlan": "plans",
    "Result": "trainer",
    "SamplingPlan": "plans",
    "SchedulePlan": "plans",
    "Trainer": "trainer",
    "TrainingPlan": "plans",
    "load_model": "checkpoint",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that light parts of the engine stay light."""
    if name not in _LAZY:
        raise AttributeError(f"module 'recon.engine' has no attribute {name!r}")
    return getattr(import_module(f"recon.engine.{_LAZY[name]}"), name)
