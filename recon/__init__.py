"""recon: a plugin-based reconstruction toolkit for medical imaging.

``import recon`` is quick and never imports torch; the names below are imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from recon.errors import ReconError
from recon.spec import PLUGIN_API, Command, Component

if TYPE_CHECKING:
    from recon.building import build
    from recon.engine.trainer import Trainer
    from recon.experiment import Experiment
    from recon.hookspecs import hookimpl
    from recon.io import Image, Measurement, read, write
    from recon.operators import LinearOperator, Operator

__version__ = "0.1.0"

__all__ = [
    "PLUGIN_API",
    "Command",
    "Component",
    "Experiment",
    "Image",
    "LinearOperator",
    "Measurement",
    "Operator",
    "ReconError",
    "Trainer",
    "build",
    "hookimpl",
    "read",
    "write",
]

_LAZY = {
    "Experiment": "recon.experiment",
    "Image": "recon.io",
    "LinearOperator": "recon.operators",
    "Measurement": "recon.io",
    "Operator": "recon.operators",
    "Trainer": "recon.engine.trainer",
    "build": "recon.building",
    "hookimpl": "recon.hookspecs",
    "read": "recon.io",
    "write": "recon.io",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use (PEP 562)."""
    if name not in _LAZY:
        raise AttributeError(f"module 'recon' has no attribute {name!r}")
    value = getattr(import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names without importing them."""
    return sorted([*__all__, "__version__"])
