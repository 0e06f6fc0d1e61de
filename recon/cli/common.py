"""What several verbs need."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from recon.errors import UsageError

if TYPE_CHECKING:
    from recon.interfaces import Method
    from recon.io import Measurement

__all__ = ["config_from", "measurement_from", "method_from", "positive", "sizes"]


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
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise UsageError(f"{option} {text!r} is not valid YAML: write {{use: name, parameter: value}}") from None
    if not isinstance(value, str) and not (isinstance(value, dict) and isinstance(value.get("use"), str)):
        raise UsageError(f"{option} takes a name or {{use: name, parameter: value}}, not {text!r}")
    return value


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
