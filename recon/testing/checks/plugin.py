"""Checks of a plugin as a whole."""

from __future__ import annotations

import subprocess
import sys

from recon.registry import Plugin
from recon.testing.case import Skip, expect

__all__ = ["PLUGIN"]

HEAVY = ("torch", "monai", "numpy", "scipy", "h5py", "nibabel", "pydicom", "sigpy", "pydantic")


def light(plugin: Plugin) -> None:
    """Importing the declaration imports none of torch, monai, numpy, scipy, h5py, nibabel, pydicom, sigpy, pydantic."""
    if plugin.version == "file":
        raise Skip("a plugin file is imported only when it is named")
    code = "import sys, importlib; sys.path[:] = {path!r}; importlib.import_module({module!r}); print(*sys.modules)"
    module = plugin.module.partition(":")[0]
    command = [sys.executable, "-c", code.format(path=sys.path, module=module)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    expect(done.returncode == 0, f"the declaration does not import: {done.stderr.strip().rpartition(chr(10))[2]}")
    heavy = sorted(set(HEAVY) & set(done.stdout.split()))
    expect(not heavy, f"the declaration imports {', '.join(heavy)}; its module is for names alone")


def offers(plugin: Plugin) -> None:
    """The plugin offers at least one component or command."""
    expect(plugin.components or plugin.commands, "recon_components() yields nothing")


PLUGIN = (light, offers)
