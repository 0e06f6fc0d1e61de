"""Component configs checked without building anything, and written out in full."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from recon.errors import ComponentError, ParameterError
from recon.registry import registry
from recon.schema import constructor_parameters, hints_of, parts_of, validate
from recon.spec import Kind

__all__ = ["resolve"]

_PLAIN = (str, int, float, bool, type(None))


def resolve(kind: Kind, config: Mapping[str, Any], folder: Path, *, sized: bool = False) -> dict[str, Any]:
    """Check a config against the constructor it names, and write it out: qualified name, absolute paths, defaults.

    Parameters
    ----------
    kind
        Kind of the component.
    config
        ``{use: name, ...parameters}``.
    folder
        What relative paths among the parameters start from.
    sized
        Whether a missing ``size`` will be filled in later.

    Raises
    ------
    ParameterError
        For wrong parameters, with the path of each.
    ComponentError
        For an unknown or broken component.
    """
    name = config["use"]
    entry = registry().find(kind, name)
    target = entry.load()
    subject = f"{kind} {name!r}"
    given = {str(key): value for key, value in config.items() if key != "use"}
    parts = parts_of(target)
    hints = hints_of(target)
    full: dict[str, Any] = {"use": entry.qualified}
    checked: dict[str, Any] = {}
    for key, value in given.items():
        if key in parts:
            full[key] = _resolve_part(parts[key], value, folder, (key,), subject)
        else:
            full[key] = _rooted(value, folder) if _takes_path(hints.get(key)) else value
        checked[key] = full[key]
    try:
        validate(target, checked, subject)
    except ParameterError as error:
        left = [item for item in error.problems if not (sized and item[0] == ("size",) and "size" not in given)]
        if left:
            raise ParameterError(subject, left) from None
    for key, parameter in constructor_parameters(target).items():
        default = parameter.default
        if key not in full and default is not parameter.empty and _is_plain(default):
            full[key] = list(default) if isinstance(default, tuple) else default
    return full


def _resolve_part(kind: Kind, value: Any, folder: Path, path: tuple[str | int, ...], subject: str) -> Any:
    if value is None:
        return None
    if isinstance(value, (list, tuple)):
        return [_resolve_part(kind, item, folder, (*path, index), subject) for index, item in enumerate(value)]
    config = {"use": value} if isinstance(value, str) else value
    if not isinstance(config, Mapping) or not isinstance(config.get("use"), str):
        raise ParameterError(subject, [(path, f"a {kind} is given as a name or as {{use: name, ...}}")])
    try:
        return resolve(kind, config, folder)
    except ParameterError as error:
        raise ParameterError(
            subject, [(path + inner, f"{error.subject}: {m}") for inner, m in error.problems]
        ) from None
    except ComponentError as error:
        raise ParameterError(subject, [((*path, "use"), str(error))]) from None


def _rooted(value: Any, folder: Path) -> Any:
    if isinstance(value, (list, tuple)):
        return [_rooted(item, folder) for item in value]
    return str((folder / Path(value).expanduser()).resolve()) if isinstance(value, str) else value


def _takes_path(hint: Any) -> bool:
    return hint is Path or any(_takes_path(cast("Any", part)) for part in typing.get_args(hint))


def _is_plain(value: object) -> bool:
    if isinstance(value, (list, tuple)):
        return all(_is_plain(item) for item in value)
    return isinstance(value, _PLAIN)
