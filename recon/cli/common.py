"""What several verbs need."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recon.errors import UsageError

if TYPE_CHECKING:
    from recon.interfaces import Method
    from recon.io import Measurement

__all__ = ["assignment", "config_from", "measurement_from", "method_from", "positive", "sizes"]


def positive(text: str) -> int:
    """Read an option that is a number above 0."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def sizes(text: str) -> list[int]:
    """Read an option that is a shape, such as 1,320,320."""
    return [positive(word.strip()) for word in text.split(",")]


def config_from(text: str, option: str) -> Any:
    """Parse a component given on the command line: its name, or YAML such as ``{use: tv, weight: 0.02}``."""
    value = _yaml(text, option)
    if not isinstance(value, str) and not (isinstance(value, dict) and isinstance(value.get("use"), str)):
        raise UsageError(f"{option} takes a name or {{use: name, parameter: value}}, not {text!r}")
    return value


def assignment(text: str) -> tuple[str, Any]:
    """Split ``NAME=VALUE``, the value in YAML."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError(f"--set takes NAME=VALUE, not {text!r}")
    return name, _yaml(value, f"--set {name}")


def _yaml(text: str, option: str) -> Any:
    import yaml

    from recon.experiment.source import parse

    try:
        return parse(text)
    except yaml.YAMLError:
        raise UsageError(f"{option}: {text!r} is not valid YAML, such as {{use: name, parameter: value}}") from None


def method_from(text: str) -> Method:
    """Build the method that ``--method`` names."""
    from recon.building import build

    return build("method", config_from(text, "--method"))


def measurement_from(path: Path) -> Measurement:
    """Read a file that must hold a measurement."""
    from recon.io import Measurement, read

    found = read(path)
    if not isinstance(found, Measurement):
        raise UsageError(f"{path} holds an image, not a measurement; make one with recon simulate")
    return found
