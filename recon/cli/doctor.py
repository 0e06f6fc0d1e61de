"""Report versions, devices and plugin problems: what a bug report should quote.

Examples
--------
  recon doctor
  recon doctor --json > report.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import sys
from importlib import metadata

from recon.registry import DISTRIBUTION, registry

__all__ = ["add_arguments", "report", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``recon doctor``."""
    parser.add_argument("--json", action="store_true", help="print as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print the report; 1 if a plugin does not load."""
    found = report()
    if arguments.json:
        print(json.dumps(found, indent=2))
    else:
        for heading, lines in found.items():
            print(f"{heading}:")
            width = max((len(name) for name in lines), default=0)
            for name, text in lines.items():
                print(f"  {name:<{width}}  {text}")
    return 1 if found["problems"] else 0


def report() -> dict[str, dict[str, str]]:
    """Collect the report as headings with lines."""
    switches = {name: value for name, value in sorted(os.environ.items()) if name.startswith("RECON_")}
    threads = {name: os.environ[name] for name in ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES") if name in os.environ}
    plugins = registry().plugins
    states = {p.name: f"{p.state}, {p.distribution} {p.version}, {len(p.components)} components" for p in plugins}
    problems = {
        plugin.name: f"{plugin.state}: {plugin.reason}"
        for plugin in plugins
        if plugin.state in ("broken", "incompatible")
    }
    return {
        "system": {
            "python": f"{platform.python_version()} ({sys.executable})",
            "platform": platform.platform(),
            "processors": str(os.cpu_count()),
        },
        "torch": _torch(),
        "distributions": _versions(),
        "plugins": states,
        "environment": {**switches, **threads, **registry().environment()},
        "problems": problems,
    }


def _torch() -> dict[str, str]:
    try:
        import torch
    except Exception as error:  # noqa: BLE001 - a broken torch is what this report is for
        return {"error": f"{type(error).__name__}: {error}"}
    lines = {
        "version": torch.__version__,
        "threads": str(torch.get_num_threads()),
        "CUDA": str(torch.version.cuda or "not in this build"),
        "MPS": "available" if torch.backends.mps.is_available() else "no",
    }
    for index in range(torch.cuda.device_count()):
        device = torch.cuda.get_device_properties(index)
        bf16 = "bfloat16" if device.major >= 8 else "no fast bfloat16"
        lines[f"cuda:{index}"] = f"{device.name}, {device.total_memory / 2**30:.0f} GiB, {bf16}"
    if torch.cuda.device_count() == 0:
        lines["devices"] = "cpu only"
    return lines


def _versions() -> dict[str, str]:
    """Return the versions of recon's distribution and of all that it can use."""
    try:
        requirements = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return {DISTRIBUTION: "not installed: pip install -e . in the checkout, or plugins are not found"}
    names = [DISTRIBUTION, *dict.fromkeys(re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in requirements)]
    versions: dict[str, str] = {}
    for name in names:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions
