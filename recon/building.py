"""From a name, or a config, to a component."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, cast, overload

from recon.errors import ComponentError, ParameterError, ReconError
from recon.registry import registry
from recon.schema import parts_of, validate
from recon.spec import Kind

if TYPE_CHECKING:
    from torch import nn

    from recon.interfaces import Dataset, Loss, Method, Metric, Reader, Writer
    from recon.operators import Operator

__all__ = ["build", "construct"]

Config = str | Mapping[str, Any]


@overload
def build(kind: Literal["operator"], spec: Config, /, **params: Any) -> Operator: ...
@overload
def build(kind: Literal["model"], spec: Config, /, **params: Any) -> nn.Module: ...
@overload
def build(kind: Literal["loss"], spec: Config, /, **params: Any) -> Loss: ...
@overload
def build(kind: Literal["metric"], spec: Config, /, **params: Any) -> Metric: ...
@overload
def build(kind: Literal["dataset"], spec: Config, /, **params: Any) -> Dataset: ...
@overload
def build(kind: Literal["reader"], spec: Config, /, **params: Any) -> Reader: ...
@overload
def build(kind: Literal["writer"], spec: Config, /, **params: Any) -> Writer: ...
@overload
def build(kind: Literal["method"], spec: Config, /, **params: Any) -> Method: ...


def build(kind: Kind, spec: Config, /, **params: Any) -> Any:
    """Build a component by name: ``build("operator", "radon", size=(64, 64), angles=90)``.

    Parameters
    ----------
    kind
        What is wanted: operator, model, loss, metric, dataset, reader, writer or method.
    spec
        A name, or a config ``{"use": name, ...parameters}``. An object that is already built is returned as it is.
    params
        Parameters of the constructor, checked against its signature; they win over those in `spec`.

    Raises
    ------
    ComponentError
        If the name is unknown or the component cannot be imported.
    ParameterError
        If a parameter is unknown, missing or out of its range.
    """
    if not isinstance(spec, (str, Mapping)):
        if spec is None or isinstance(spec, (bool, int, float, complex, bytes)):
            raise ComponentError(f"a {kind} is given as a name or as {{use: name, ...}}, not as {spec!r}")
        if params:
            raise ParameterError(f"{kind}", [((), "parameters go with a name, not with an object")])
        return spec
    name, params = _split(kind, spec, params)
    entry = registry().find(kind, name)
    return construct(entry.load(), params, f"{kind} {name!r}")


def construct(target: Any, params: Mapping[str, Any], subject: str) -> Any:
    """Check `params` against the constructor of `target`, build the parts among them, and call it.

    `subject` is what errors call the result. Errors are as for `build`.
    """
    params = dict(params)
    for field, part in parts_of(target).items():
        if field in params:
            params[field] = _build_part(part, params[field], (field,), subject)
    values = validate(target, params, subject)
    try:
        return target(**values)
    except ReconError:
        raise
    except (ValueError, TypeError) as error:
        raise ParameterError(subject, [((), " ".join(str(error).split()))]) from error


def _split(kind: Kind, spec: Config, params: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    if isinstance(spec, str):
        return spec, dict(params)
    config = {str(key): value for key, value in spec.items()}
    name = config.pop("use", None)
    if not isinstance(name, str):
        raise ComponentError(f"a {kind} is given as a name or as {{use: name, ...}}; 'use' is missing in {dict(spec)}")
    return name, config | params


def _build_part(kind: Kind, value: Any, path: tuple[str | int, ...], subject: str) -> Any:
    if value is None:
        return None
    if isinstance(value, (list, tuple)):
        return [_build_part(kind, item, (*path, index), subject) for index, item in enumerate(value)]
    try:
        return build(cast("Any", kind), value)
    except ParameterError as error:
        raise ParameterError(subject, [(path + p, f"{error.subject}: {m}") for p, m in error.problems]) from error
    except ComponentError as error:
        raise ParameterError(subject, [(path, str(error))]) from error
