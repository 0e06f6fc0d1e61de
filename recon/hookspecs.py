"""The seams between recon and its plugins. Arguments are only ever added; a hook takes any subset of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pluggy

from recon.spec import Command, Component

__all__ = ["GROUP", "hookimpl", "hookspec", "recon_commands", "recon_components", "recon_environment"]

GROUP = "recon.plugins"
"""Entry-point group. The entry-point name is the plugin's name and the namespace of its components."""

hookspec = pluggy.HookspecMarker("recon")
hookimpl = pluggy.HookimplMarker("recon")


@hookspec
def recon_components() -> Iterable[Component]:  # type: ignore[empty-body]
    """Yield the plugin's components. This is all that a normal plugin implements."""


@hookspec
def recon_commands() -> Iterable[Command]:  # type: ignore[empty-body]
    """Yield command line verbs, imported when they are called."""


@hookspec
def recon_environment() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Return lines for ``recon doctor`` and for the environment record of a run: versions, devices, drivers."""
