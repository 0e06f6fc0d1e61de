"""What an experiment file may hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, get_args

import pydantic
from annotated_types import Ge, Gt

from recon.engine.plans import Plan, SamplingPlan, TrainingPlan
from recon.engine.regimes import RegimeName
from recon.experiment.source import Path
from recon.registry import suggest

__all__ = ["Config", "DataSpec", "ExperimentSpec", "LossSpec", "problems"]


def _config(value: object) -> object:
    if isinstance(value, str):
        return {"use": value}
    if isinstance(value, Mapping) and isinstance(value.get("use"), str):
        return value
    raise ValueError("a component is given as a name or as {use: name, ...parameters}")


def _listed(value: object) -> object:
    return [] if value is None else value if isinstance(value, (list, tuple)) else [value]


def _loss(value: object) -> object:
    return value if isinstance(value, Mapping) and "loss" in value and "use" not in value else {"loss": value}


Config = Annotated[dict[str, Any], pydantic.BeforeValidator(_config)]
"""A component: its name, or ``{use: name, ...parameters}``."""


class DataSpec(SamplingPlan):
    """Data sets, and how batches are drawn from them."""

    train: Config
    validation: Config | None = None
    simulate: bool = False
    """Simulate one measurement of each image, the same for the whole run; for regimes pairs and measurements."""
    modcrop: Annotated[int, Gt(0)] = 1
    """Cut validation images, at the right and the bottom, to a multiple of this."""


class LossSpec(Plan):
    """One term of the objective."""

    loss: Config
    weight: float = 1.0
    name: str = ""


class ExperimentSpec(Plan):
    """One experiment."""

    name: Annotated[str, pydantic.StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    description: str = ""
    seed: Annotated[int, Ge(0)] = 0
    regime: RegimeName
    data: DataSpec
    forward: Annotated[list[Config], pydantic.BeforeValidator(_listed)] = pydantic.Field(default_factory=list)
    """Forward model, its operators in the order in which they act. An operator that needs the image's size and is not
    given it gets the size of the images."""
    model: Config
    loss: Annotated[
        list[Annotated[LossSpec, pydantic.BeforeValidator(_loss)]],
        pydantic.BeforeValidator(_listed),
        pydantic.Field(min_length=1),
    ]
    metrics: Annotated[list[Config], pydantic.BeforeValidator(_listed)] = pydantic.Field(default_factory=list)
    training: TrainingPlan
    distributions: dict[str, str] = pydantic.Field(default_factory=dict)
    """Versions that a resolved experiment was made with; for the reader."""


def problems(error: pydantic.ValidationError) -> list[tuple[Path, str]]:
    """Translate pydantic's errors: the path without its internals, and a message with the fix."""
    found: list[tuple[Path, str]] = []
    for item in error.errors():
        owner, path = _owner(item["loc"])
        if item["type"] == "extra_forbidden":
            known = list(owner.model_fields)
            message = f"unknown key{suggest(str(path[-1]), known)}; known here: {', '.join(known)}"
        elif item["type"] == "missing":
            message = "missing"
        else:
            text = item["msg"].removeprefix("Value error, ")
            given = "" if isinstance(item["input"], Mapping) else f", got {item['input']!r}"
            message = text[:1].lower() + text[1:] + given
        found.append((path, message))
    return found


def _owner(loc: Path) -> tuple[type[pydantic.BaseModel], Path]:
    """Return the model that holds the last step of a location, and the location without names of validators."""
    owner: type[pydantic.BaseModel] = ExperimentSpec
    path: list[str | int] = []
    current: type[pydantic.BaseModel] | None = owner
    for step in loc:
        if isinstance(step, str) and ("[" in step or "(" in step):
            continue
        path.append(step)
        if isinstance(step, int):
            continue
        if current is not None:
            owner = current
            field = current.model_fields.get(step)
            current = _model_in(field.annotation) if field is not None else None
    return owner, tuple(path)


def _model_in(hint: Any) -> type[pydantic.BaseModel] | None:
    if isinstance(hint, type) and issubclass(hint, pydantic.BaseModel):
        return hint
    return next((model for part in get_args(hint) if (model := _model_in(part)) is not None), None)
