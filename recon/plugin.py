"""Help for writing plugin modules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

__all__ = ["lazy"]


def lazy(package: str, names: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a module ``__getattr__`` that imports public classes on first use, so that a declaration stays light.

    ``__getattr__ = lazy(__name__, {"Radon": ".operators"})`` makes ``from recon_plugins.radon import Radon`` work.
    """

    def getter(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(names[name], package), name)

    return getter
