"""The constructor is the schema: a pydantic model derived from a component's signature."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, is_dataclass
from functools import cache
from types import MappingProxyType
from typing import Any, get_args, get_origin, get_type_hints

import pydantic
import pydantic_core
from pydantic.json_schema import GenerateJsonSchema

from recon.errors import ComponentError, ParameterError
from recon.registry import suggest
from recon.spec import Kind

__all__ = ["Part", "constructor_parameters", "hints_of", "json_schema", "parameters_model", "parts_of", "validate"]


@dataclass(frozen=True, slots=True)
class Part:
    """Marks a constructor argument that is itself a component: ``model: Annotated[nn.Module, Part("model")]``.

    A config gives it as a name or as ``{use: name, ...}``; it is built before the owner.
    """

    kind: Kind


@cache
def parameters_model(target: Any) -> type[pydantic.BaseModel]:
    """Derive the pydantic model of a class or function from its signature.

    ``*args`` and ``**kwargs`` of a foreign target are left out: a config gives named parameters only.

    Raises
    ------
    ComponentError
        If the annotations cannot be resolved.
    """
    hints = hints_of(target)
    fields: dict[str, Any] = {}
    for name, parameter in constructor_parameters(target).items():
        default = ... if parameter.default is parameter.empty else parameter.default
        hint = Any if _part(hints.get(name)) else hints.get(name, Any)
        # Fields get neutral names, so that a parameter may be called `copy` or `schema`; the alias is what users write.
        fields[f"field_{len(fields)}"] = (hint, pydantic.Field(default, alias=name))
    config = pydantic.ConfigDict(extra="forbid", arbitrary_types_allowed=True, validate_default=False)
    return pydantic.create_model(target.__name__, __config__=config, **fields)


def json_schema(target: Any) -> dict[str, Any]:
    """Return the JSON schema of a target's parameters; values that JSON cannot hold are shown by their class."""
    return parameters_model(target).model_json_schema(schema_generator=_JsonSchema)


@cache
def constructor_parameters(target: Any) -> Mapping[str, inspect.Parameter]:
    """Return the named parameters of a class's constructor, or of a function; kept, as operators ask at every step."""
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    named = {n: p for n, p in inspect.signature(target).parameters.items() if p.kind not in variadic}
    return MappingProxyType(named)


@cache
def parts_of(target: Any) -> dict[str, Kind]:
    """Return the constructor arguments that are components themselves, with their kinds."""
    hints = hints_of(target)
    return {name: part.kind for name in constructor_parameters(target) if (part := _part(hints.get(name))) is not None}


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
        known = list(constructor_parameters(target))
        raise ParameterError(subject, [_problem(item, params, known) for item in error.errors()]) from None
    alias = {name: str(info.alias) for name, info in model.model_fields.items()}
    return {alias[name]: getattr(values, name) for name in values.model_fields_set}


def _problem(item: Any, params: Mapping[str, Any], known: list[str]) -> tuple[tuple[str | int, ...], str]:
    path = _path(item["loc"], params)
    if item["type"] == "extra_forbidden":
        name = str(item["loc"][-1])
        return (name,), f"unknown parameter{suggest(name, known)}; it takes: {', '.join(known) or 'none'}"
    if item["type"] == "missing":
        return item["loc"], "missing, and it has no default"
    message = item["msg"][:1].lower() + item["msg"][1:]
    value = repr(item["input"])
    return path, f"{message}, got {value if len(value) <= 60 else value[:57] + '...'}"


def _path(loc: tuple[str | int, ...], value: Any) -> tuple[str | int, ...]:
    """Keep the steps that lead through the given values; pydantic mixes in names of types and of validators."""
    path: list[str | int] = []
    for step in loc:
        try:
            value = value[step]
        except (LookupError, TypeError):
            continue
        path.append(step)
    return tuple(path)


def hints_of(target: Any) -> dict[str, Any]:
    """Return the annotations of a class's constructor, or of a function, with what they are annotated with.

    Raises
    ------
    ComponentError
        If they cannot be resolved.
    """
    function = target.__init__ if inspect.isclass(target) else target
    if is_dataclass(target) and getattr(target, "__dataclass_params__").init:  # noqa: B009 - mypy does not know it
        function = target  # its fields may come from classes of other modules, with names that only those know
    try:
        return get_type_hints(function, include_extras=True)
    except NameError as error:
        raise ComponentError(
            f"the annotations of {target.__module__}.{target.__qualname__} do not resolve ({error}): "
            "import what they name at run time, not under TYPE_CHECKING"
        ) from error


class _JsonSchema(GenerateJsonSchema):
    """Shows a tensor or any other object by its class, where the default refuses."""

    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> dict[str, Any]:
        cls = schema.get("cls")
        if schema["type"] == "callable":
            return {"title": "callable"}
        if cls is None:
            return super().handle_invalid_for_json_schema(schema, error_info)
        return {"type": "object", "title": f"{cls.__module__}.{cls.__qualname__}"}

    def encode_default(self, dft: Any) -> Any:
        try:
            return super().encode_default(dft)
        except pydantic_core.PydanticSerializationError:
            return repr(dft)


def _part(hint: Any) -> Part | None:
    if hint is None:
        return None
    if hasattr(hint, "__metadata__"):
        return next((m for m in hint.__metadata__ if isinstance(m, Part)), None)
    if get_origin(hint) is not None:  # Optional[Annotated[...]] and list[Annotated[...]]
        return next((part for arg in get_args(hint) if (part := _part(arg)) is not None), None)
    return None
