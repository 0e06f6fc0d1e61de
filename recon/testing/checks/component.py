"""Checks of every component."""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from recon.errors import ParameterError
from recon.schema import constructor_parameters, json_schema, validate
from recon.testing.case import Case, expect

__all__ = ["GENERAL", "STYLE", "global_state"]


def parameters(case: Case) -> None:
    """Every constructor parameter is named, keyword-only and annotated; there are at most 12."""
    if getattr(case.target, "__init__", None) is nn.Module.__init__:
        return
    signature = inspect.signature(case.target).parameters
    for name, parameter in signature.items():
        variadic = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        expect(not variadic, f"the constructor takes {parameter}: name each parameter, so that it can be checked")
        expect(parameter.kind is parameter.KEYWORD_ONLY, f"parameter {name!r} is not keyword-only: put it after a *")
        expect(parameter.annotation is not parameter.empty, f"parameter {name!r} has no annotation")
    expect(len(signature) <= 12, f"the constructor has {len(signature)} parameters, at most 12 can be grasped")


def unknown_refused(case: Case) -> None:
    """An unknown parameter is refused by name."""
    try:
        validate(case.target, {"no_such_parameter": 1}, "the component")
    except ParameterError as error:
        expect("no_such_parameter" in str(error), f"the refusal does not name the parameter: {error}")
    else:
        expect(False, "an unknown parameter is accepted")


def schema(case: Case) -> None:
    """The JSON schema builds from the constructor and lists its parameters."""
    listed = set(json_schema(case.target).get("properties", {}))
    wanted = set(constructor_parameters(case.target))
    expect(listed == wanted, f"the schema lists {sorted(listed)}, the constructor {sorted(wanted)}")


def docstring(case: Case) -> None:
    """The class has a docstring that names every parameter, and the shapes if it is an operator or a model."""
    text = inspect.getdoc(case.target) or ""
    inherited = isinstance(case.target, type) and case.target.__doc__ is None
    expect(text and not inherited, "no docstring")
    if isinstance(case.target, type):
        text += inspect.getdoc(vars(case.target).get("__init__")) or ""
    for name in constructor_parameters(case.target):
        expect(name in text, f"the docstring does not explain the parameter {name!r}")
    if case.entry.component.kind in ("operator", "model"):
        methods = [case.target, getattr(case.target, "forward", None)]
        text = " ".join(inspect.getdoc(method) or "" for method in methods).lower()
        expect("shape" in text, "the docstring gives no shapes: add 'Shapes: x (batch, channel, ...) -> y (...)'")


def builds(case: Case) -> None:
    """The component builds from the example's parameters."""
    case.build(**_params(case))


def global_state(use: Callable[[Case], object]) -> Callable[[Case], None]:
    """Make the check that building and using a component changes no state of the process."""

    def check(case: Case) -> None:
        before = _state()
        use(case)
        after = _state()
        changed = [name for name in before if not _same(before[name], after[name])]
        expect(not changed, f"building and using it changes the {', the '.join(changed)} of the process")

    check.__name__ = "global_state"
    check.__doc__ = "Building and using the component leaves default dtype, grad mode, random states, threads alone."
    return check


def _params(case: Case) -> dict[str, Any]:
    return dict(case.prepared()) if case.entry.component.kind in ("dataset", "method") else {}


def _state() -> dict[str, Any]:
    cudnn = torch.backends.cudnn
    return {
        "default dtype": torch.get_default_dtype(),
        "default device": torch.get_default_device(),
        "grad mode": torch.is_grad_enabled(),
        "torch random state": torch.get_rng_state().clone(),
        "numpy random state": np.random.get_state(legacy=True)[1].copy(),  # type: ignore[index]  # noqa: NPY002
        "random module's state": random.getstate(),
        "number of threads": torch.get_num_threads(),
        "cudnn flags": (cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32),
        "deterministic mode": torch.are_deterministic_algorithms_enabled(),
        "matmul precision": torch.get_float32_matmul_precision(),
    }


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    return bool(np.array_equal(a, b)) if isinstance(a, np.ndarray) else bool(a == b)


STYLE = (parameters, docstring)
"""How a component is written; not asked of foreign ones."""
GENERAL = (unknown_refused, schema)
"""What needs no example."""
