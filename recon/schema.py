"""The constructor is the schema: a pydantic model derived from a component's signature."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, get_args, get_origin, get_type_hints

import pydantic

from recon.errors import ParameterError
from recon.registry import suggest
from recon.spec import Kind

__all__ = ["Part", "parameters_model", "parts_of", "validate"]


@dataclass(frozen=True, slots=True)
class Part:
    """Marks a constructor argument that is itself a component: ``model: Annotated[nn.Module, Part("model")]``.

    A config gives it as a name or as ``{use: name, ...}``; it is built before the owner.
    """

    kind: Kind


@cache
def parameters_model(target: Any) -> type[pydantic.BaseModel]:
    """Derive the pydantic model of a class or function from its signature.

    Raises
    ------
    TypeError
        If the signature takes ``*args`` or ``**kwargs``: names could not be checked then.
    """
    function = target.__init__ if inspect.isclass(target) else target
    hints = get_type_hints(function, include_extras=True)
    fields: dict[str, Any] = {}
    for name, parameter in _parameters(target).items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise TypeError(f"{target.__name__} takes *{name}; a component names each of its parameters")
        default = ... if parameter.default is parameter.empty else parameter.default
        hint = Any if _part(hints.get(name)) else hints.get(name, Any)
        # Fields get neutral names, so that a parameter may be called `copy` or `schema`; the alias is what users write.
        fields[f"field_{len(fields)}"] = (hint, pydantic.Field(default, alias=name))
    config = pydantic.ConfigDict(extra="forbid", arbitrary_types_allowed=True, validate_default=False)
    return pydantic.create_model(target.__name__, __config__=config, **fields)


@cache
def parts_of(target: Any) -> dict[str, Kind]:
    """Return the constructor arguments that are components themselves, with their kinds."""
    function = target.__init__ if inspect.isclass(target) else target
    hints = get_type_hints(function, include_extras=True)
    return {name: part.kind for name in _parameters(target) if (part := _part(hints.get(name))) is not None}


def validate(target: Any, params: Mapping[str, Any], subject: str) -> dict[str, Any]:
    """Check `params` against the constructor of `target` and return the values to call it with.

    Only what was given is returned, converted to the annotated types; defaults stay the constructor's own.

    Raises
    ------
    ParameterError
        With one problem per wrong, missing or unknown parameter.
    """
    model = parameters_model(target)
    try:
        values = model.model_validate(dict(params))
    except pydantic.ValidationError as error:
        known = list(_parameters(target))
        raise ParameterError(subject, [_problem(item, known) for item in error.errors()]) from None
    alias = {name: str(info.alias) for name, info in model.model_fields.items()}
    return {alias[name]: getattr(values, name) for name in values.model_fields_set}


def _problem(item: Any, known: list[str]) -> tuple[tuple[str | int, ...], str]:
    path = tuple(part for part in item["loc"] if not (isinstance(part, str) and ("[" in part or "(" in part)))
    if item["type"] == "extra_forbidden":
        name = str(path[-1])
        return path, f"unknown parameter{suggest(name, known)}; it takes: {', '.join(known) or 'none'}"
    if item["type"] == "missing":
        return path, "missing, and it has no default"
    message = item["msg"][:1].lower() + item["msg"][1:]
    value = repr(item["input"])
    return path, f"{message}, got {value if len(value) <= 60 else value[:57] + '...'}"


def _parameters(target: Any) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(target).parameters)


def _part(hint: Any) -> Part | None:
    if hint is None:
        return None
    if hasattr(hint, "__metadata__"):
        return next((m for m in hint.__metadata__ if isinstance(m, Part)), None)
    if get_origin(hint) is not None:  # Optional[Annotated[...]] and list[Annotated[...]]
        return next((part for arg in get_args(hint) if (part := _part(arg)) is not None), None)
    return None
