"""The constructor is the schema."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import pytest
import torch
from annotated_types import Ge, Gt, Lt, MinLen
from torch import Tensor, nn

from recon.errors import ComponentError, ParameterError
from recon.schema import Part, constructor_parameters, json_schema, parts_of, validate


class Everything:
    def __init__(
        self,
        *,
        size: tuple[int, int],
        rate: Annotated[float, Gt(0), Lt(1)] = 0.5,
        mode: Literal["fast", "exact"] = "exact",
        angles: Annotated[int, Gt(0)] | Annotated[Sequence[float], MinLen(1)] = 4,
        weights: Tensor | None = None,
        copy: bool = False,
        schema: str | None = None,
        options: dict[str, Annotated[int, Ge(0)]] | None = None,
        model: Annotated[nn.Module, Part("model")] | None = None,
        losses: Sequence[Annotated[nn.Module, Part("loss")]] = (),
    ) -> None:
        self.given = locals()


def check(**params: Any) -> dict[str, Any]:
    return validate(Everything, params, "operator 'everything'")


def problems(**params: Any) -> dict[tuple[str | int, ...], str]:
    with pytest.raises(ParameterError) as caught:
        check(**params)
    assert "\n" not in str(caught.value)
    return dict(caught.value.problems)


def test_values_are_converted_and_defaults_left_to_the_constructor():
    values = check(size=[4, 5], rate="0.25", weights=torch.ones(2))
    assert values["size"] == (4, 5)
    assert values["rate"] == 0.25
    assert torch.equal(values["weights"], torch.ones(2))
    assert set(values) == {"size", "rate", "weights"}


def test_names_that_pydantic_uses_itself_are_free():
    assert check(size=(1, 1), copy=True, schema="s")["schema"] == "s"


@pytest.mark.parametrize(
    ("params", "path", "words"),
    [
        ({}, ("size",), "missing, and it has no default"),
        ({"size": [4]}, ("size", 1), "missing"),
        ({"size": [4, "a"]}, ("size", 1), "valid integer, unable to parse string as an integer, got 'a'"),
        ({"size": [4, 5], "rate": 0}, ("rate",), "input should be greater than 0, got 0"),
        ({"size": [4, 5], "rate": 1.0}, ("rate",), "input should be less than 1, got 1.0"),
        ({"size": [4, 5], "mode": "slow"}, ("mode",), "input should be 'fast' or 'exact', got 'slow'"),
        ({"size": [4, 5], "weights": [1.0]}, ("weights",), "instance of Tensor, got [1.0]"),
        ({"size": [4, 5], "options": {"a": -1}}, ("options", "a"), "greater than or equal to 0, got -1"),
        ({"size": [4, 5], "weight": None}, ("weight",), "unknown parameter; did you mean 'weights'?; it takes: size"),
    ],
)
def test_problems_name_the_field_and_the_value(params, path, words):
    found = problems(**params)
    assert path in found
    assert words in found[path]


def test_all_problems_are_told_at_once():
    found = problems(size="x", rate=2, moed="fast")
    assert {("size",), ("rate",), ("moed",)} <= set(found)
    assert "did you mean 'mode'" in found["moed",]


def test_paths_of_unions_hold_no_type_names():
    found = problems(size=[1, 2], angles=["a"])
    assert {path[0] for path in found} == {"angles"}
    assert all(step == 0 for path in found for step in path[1:])


def test_long_values_are_cut():
    assert len(problems(size="x" * 500)["size",]) < 150


def test_parts_are_found_in_optional_and_sequences():
    assert parts_of(Everything) == {"model": "model", "losses": "loss"}


def test_json_schema_shows_limits_choices_and_classes():
    schema = json_schema(Everything)
    properties = schema["properties"]
    assert list(properties) == list(constructor_parameters(Everything))
    assert schema["required"] == ["size"]
    assert properties["rate"]["exclusiveMinimum"] == 0
    assert properties["mode"]["enum"] == ["fast", "exact"]
    assert properties["weights"]["anyOf"][0] == {"type": "object", "title": "torch.Tensor"}
    assert schema["additionalProperties"] is False


def test_default_that_json_cannot_hold_is_shown_by_its_repr():
    def target(*, dtype: Any = torch.float32) -> None: ...

    assert json_schema(target)["properties"]["dtype"]["default"] == "torch.float32"


def test_variadic_arguments_of_foreign_targets_take_nothing():
    def target(a: int = 1, *args: Any, **kwargs: Any) -> None: ...

    assert list(constructor_parameters(target)) == ["a"]
    assert validate(target, {"a": "2"}, "x") == {"a": 2}
    with pytest.raises(ParameterError, match="unknown parameter"):
        validate(target, {"b": 1}, "x")


def test_annotations_that_do_not_resolve_are_explained():
    def target(*, a: OnlyForTypeCheckers) -> None: ...  # noqa: F821

    with pytest.raises(ComponentError, match="not under TYPE_CHECKING"):
        validate(target, {"a": 1}, "x")


def test_constructor_parameters_are_kept_and_cannot_be_changed():
    class Thing:
        def __init__(self, *, a: int = 1, **rest: int) -> None: ...

    found = constructor_parameters(Thing)
    assert list(found) == ["a"]
    assert constructor_parameters(Thing) is found
    with pytest.raises(TypeError):
        found["b"] = found["a"]
