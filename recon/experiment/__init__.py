"""Experiments: one YAML file says what is trained, on what, and how."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recon.experiment.experiment import Experiment
    from recon.experiment.forward import ForwardModel

__all__ = ["Experiment", "ForwardModel"]

_LAZY = {"Experiment": "experiment", "ForwardModel": "forward"}


def __getattr__(name: str) -> Any:
    """Import on first use: plans and files can be looked at without torch."""
    if name not in _LAZY:
        raise AttributeError(f"module 'recon.experiment' has no attribute {name!r}")
    return getattr(import_module(f"recon.experiment.{_LAZY[name]}"), name)
