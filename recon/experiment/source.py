"""An experiment file as it was written: its values, the line of each, and overrides from the command line."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from recon.errors import ExperimentError

__all__ = ["Path", "Source", "dump", "parse"]

Path = tuple[str | int, ...]


class _Loader(yaml.SafeLoader):
    """Plain values only. Reads 1e-3 as a number, which YAML 1.1 takes for text."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+\Z"), list("-+0123456789")
)


class _Dumper(yaml.SafeDumper):
    """Writes short lists on one line."""


_Dumper.add_representer(
    list,
    lambda dumper, value: dumper.represent_sequence(
        "tag:yaml.org,2002:seq", value, flow_style=all(not isinstance(item, (list, dict)) for item in value)
    ),
)


class Source:
    """The text of an experiment file and its values.

    Parameters
    ----------
    text
        YAML text.
    name
        Name of the file, for errors.
    overrides
        Settings such as ``training.steps=100``, which win over the file.

    Raises
    ------
    ExperimentError
        If the text is not YAML, a key stands twice, or an override cannot be applied.
    """

    def __init__(self, text: str, name: str, overrides: Sequence[str] = ()) -> None:
        self.text = text
        self.name = name
        self.overrides = tuple(overrides)
        self._lines: dict[Path, int] = {}
        self._set: dict[Path, str] = {}
        try:
            node = yaml.compose(text, _Loader)
        except yaml.MarkedYAMLError as error:
            line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
            raise ExperimentError(f"{name}{line}: not valid YAML: {error.problem or error.context}") from None
        except yaml.YAMLError as error:
            raise ExperimentError(f"{name}: not valid YAML: {' '.join(str(error).split())}") from None
        if not isinstance(node, yaml.MappingNode):
            raise ExperimentError(f"{name}: an experiment is a mapping with the keys data, model, loss, training, ...")
        self._index(node, ())
        self.data: dict[str, Any] = _construct(text, name)
        for override in overrides:
            self._override(override)

    def where(self, path: Path) -> str:
        """Return where the value at `path` was given: ``file:line``, or the override."""
        for end in range(len(path), 0, -1):
            if path[:end] in self._set:
                return f"--set {self._set[path[:end]]}"
            if path[:end] in self._lines:
                return f"{self.name}:{self._lines[path[:end]]}"
            # A section that stands in no file was made by an override of something in it.
            for steps, override in self._set.items():
                if steps[:end] == path[:end]:
                    return f"--set {override}"
        return self.name

    def problem(self, path: Path, message: str) -> str:
        """Return one line that names file, line and field."""
        field = ".".join(map(str, path))
        return f"{self.where(path)}: {field}: {message}" if field else f"{self.name}: {message}"

    def raw_path(self, path: Path) -> Path:
        """Translate a path of the normalised experiment to one of the file, where short forms are allowed."""
        value: Any = self.data
        found: list[str | int] = []
        for index, step in enumerate(path):
            if isinstance(value, Mapping) and step in value:
                value = value[step]
            elif isinstance(value, Sequence) and not isinstance(value, str) and isinstance(step, int):
                if step >= len(value):
                    return (*found, *path[index:])
                value = value[step]
            elif found and (isinstance(step, int) or step in ("use", "loss")):
                continue  # a single item in place of a list, a name in place of a config
            else:
                return (*found, *path[index:])
            found.append(step)
        return tuple(found)

    def _index(self, node: yaml.Node, path: Path) -> None:
        self._lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            seen: set[str] = set()
            for key, value in node.value:
                name, line = str(key.value), key.start_mark.line + 1
                if name in seen:
                    field = ".".join(map(str, (*path, name)))
                    raise ExperimentError(f"{self.name}:{line}: {field}: stands twice; keep one")
                seen.add(name)
                self._lines[(*path, name)] = line
                self._index(value, (*path, name))
        elif isinstance(node, yaml.SequenceNode):
            for index, value in enumerate(node.value):
                self._index(value, (*path, index))

    def _override(self, override: str) -> None:
        name, equals, text = override.partition("=")
        steps = [int(step) if step.isdigit() else step for step in name.strip().split(".")]
        if not equals or not all(step != "" for step in steps):
            raise ExperimentError(f"--set {override}: write --set section.key=value, such as --set training.steps=100")
        try:
            value = parse(text)
        except yaml.YAMLError:
            raise ExperimentError(f"--set {override}: the value is not valid YAML") from None
        parent: Any = self.data
        for depth, step in enumerate(steps):
            last = depth == len(steps) - 1
            if isinstance(parent, list):
                if not isinstance(step, int) or step >= len(parent):
                    field = ".".join(map(str, steps[:depth]))
                    raise ExperimentError(f"--set {override}: {field} is a list of {len(parent)}; use a number from 0")
            else:
                step = str(step)
                if step not in parent and not last:
                    parent[step] = {}
            if last:
                parent[step] = value
            else:
                if parent[step] is None:
                    parent[step] = {}
                elif isinstance(parent[step], str):  # model: dncnn, and now one of its parameters
                    parent[step] = {"use": parent[step]}
                if not isinstance(parent[step], (dict, list)):
                    field = ".".join(map(str, steps[: depth + 1]))
                    raise ExperimentError(f"--set {override}: {field} is {parent[step]!r}, which has no parts")
                parent = parent[step]
        self._set[tuple(steps)] = override


def parse(text: str) -> Any:
    """Return the plain values of YAML text, with the numbers of an experiment file; yaml.YAMLError where it is not."""
    return yaml.load(text, _Loader)  # noqa: S506 - derived from SafeLoader


def dump(data: Mapping[str, Any]) -> str:
    """Return plain values as YAML text."""
    text: str = yaml.dump(dict(data), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
    return text


def _construct(text: str, name: str) -> dict[str, Any]:
    try:
        data: dict[str, Any] = parse(text)
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ExperimentError(f"{name}{line}: {error.problem}; plain values only") from None
    except (ValueError, TypeError, RecursionError) as error:
        raise ExperimentError(f"{name}: not valid YAML: {error}") from None
    return data
