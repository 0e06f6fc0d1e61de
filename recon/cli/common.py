"""What several verbs need."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from recon.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from recon.interfaces import Method
    from recon.io import Measurement

T = TypeVar("T")

__all__ = [
    "assignment",
    "batches",
    "clean",
    "config_from",
    "measurement_from",
    "method_from",
    "number",
    "positive",
    "reader_from",
    "sizes",
    "status",
    "track",
    "window_from",
]


def positive(text: str) -> int:
    """Read an option that is a number above 0."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def number(text: str) -> float:
    """Read an option that is a finite number."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number")
    return value


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


def method_from(text: str, changes: Iterable[tuple[str, Any]] = ()) -> Method:
    """Build the method that ``--method`` names, with some parameters changed."""
    from recon.building import build

    config = config_from(text, "--method")
    return build("method", {**({"use": config} if isinstance(config, str) else config), **dict(changes)})


def reader_from(text: str | None) -> Any:
    """Return the config of the reader that ``--reader`` names, or None."""
    return None if text is None else config_from(text, "--reader")


def window_from(words: Sequence[str]) -> str | tuple[float, float]:
    """Read ``--window``: the name of a preset, or centre and width.

    Raises
    ------
    UsageError
        If it is neither.
    """
    from recon.io.windows import window_limits

    window: str | tuple[float, float] = words[0]
    if len(words) == 2:
        try:
            window = float(words[0]), float(words[1])
        except ValueError:
            raise UsageError(f"--window takes a name, or centre and width, not {' '.join(words)!r}") from None
    elif len(words) > 2:
        raise UsageError(f"--window takes a name, or centre and width, not {' '.join(words)!r}: give it last")
    try:
        window_limits(window)
    except UsageError as error:
        raise UsageError(f"--window: {error}") from None
    return window


def measurement_from(path: Path, reader: str | None = None) -> Measurement:
    """Read a file that must hold a measurement, by the reader that ``--reader`` names."""
    from recon.io import Measurement, read

    found = read(path, reader=reader_from(reader))
    if not isinstance(found, Measurement):
        raise UsageError(f"{path} holds an image, not a measurement; make one with recon simulate")
    return found


def batches(data: Tensor, most: int = 16) -> Sequence[Tensor]:
    """Cut a batch into parts of at most so many items and 64 MiB, at least one item each."""
    import torch

    from recon.reconstruction import PART_BYTES

    fitting = PART_BYTES // max(1, data[0].numel() * data.element_size())
    return torch.split(data, max(1, min(most, fitting)))


def track(parts: Sequence[T], text: str) -> Iterator[T]:
    """Go through parts with a progress bar, which shows where there is a terminal and more than one part."""
    if len(parts) < 2 or not sys.stderr.isatty():
        yield from parts
        return
    from rich.console import Console
    from rich.progress import track as bar

    yield from bar(parts, description=text, console=Console(stderr=True), transient=True)


@contextmanager
def status(text: str) -> Iterator[None]:
    """Show a line while something of unknown length is done, where there is a terminal."""
    shown = sys.stderr.isatty()
    if shown:
        print(f"{text} ...", end="", file=sys.stderr, flush=True)
    try:
        yield
    finally:
        if shown:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def clean(text: str) -> str:
    """Return text of a file without characters that move a terminal's cursor or reverse what it shows."""
    return "".join(character if character.isprintable() else "?" for character in text)
