"""Experiments: one YAML file says what is trained, on what, and how."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recon.experiment.experiment import Experiment

__all__ = ["Experiment"]


def __getattr__(name: str) -> Any:
    """Import `Experiment` on first use: listing the shipped files needs no torch."""
    if name != "Experiment":
        raise AttributeError(f"module 'recon.experiment' has no attribute {name!r}")
    from recon.experiment.experiment import Experiment

    return Experiment
