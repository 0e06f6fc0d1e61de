"""Checks of losses."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor, nn

from recon.interfaces import LOSS_INPUTS
from recon.testing.case import Case, CheckError, Skip, equal, expect, items

__all__ = ["LOSS", "use"]


class _Backprojection(nn.Module):
    """A model with one weight, for losses that call the model themselves."""

    def __init__(self, operator: nn.Module | None) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.7))
        self.operator = operator

    def forward(self, y: Tensor) -> Tensor:
        return self.weight * (y if self.operator is None else self.operator.adjoint(y))  # type: ignore[operator]


def use(case: Case) -> None:
    """Build the loss and use it once."""
    _value(case.build_module(), _arguments(case, torch.float32))


def scalar(case: Case) -> None:
    """The loss is one finite real number, not below zero."""
    for dtype in case.dtypes:
        value = _value(case.build_module(dtype), _arguments(case, dtype)).detach()
        expect(value.ndim == 0, f"the loss has shape {tuple(value.shape)}; it is the mean over the batch")
        expect(not value.is_complex(), "the loss is complex")
        expect(bool(torch.isfinite(value)), f"the loss is {float(value)}")
        expect(value.dtype is dtype, f"inputs of {str(dtype)[6:]} give a loss of {str(value.dtype)[6:]}")
        expect(float(value) >= 0, f"the loss is {float(value):.3g}, below zero")


def gradcheck(case: Case) -> None:
    """Finite differences in float64 agree with the gradient for the prediction, or for the model's weight."""
    case.need(torch.float64)
    loss, arguments = case.build_module(torch.float64), _arguments(case, torch.float64)
    name = _prediction(arguments)
    if name is not None:
        x = arguments[name].detach().requires_grad_()

        def function(x: Tensor) -> Tensor:
            return _value(loss, {**arguments, name: x})
    else:
        model = arguments.get("model")
        if not isinstance(model, nn.Module):
            raise CheckError("the loss asks for neither prediction nor model: nothing can learn from it")
        weight_name, weight = next(iter(model.named_parameters()))
        x = weight.detach().clone().requires_grad_()

        def function(x: Tensor) -> Tensor:
            def model_with(*inputs: Any, **named: Any) -> Any:
                return torch.func.functional_call(model, {weight_name: x}, inputs, named)

            return _value(loss, {**arguments, "model": model_with})

    try:
        torch.autograd.gradcheck(function, (x,), fast_mode=True, atol=1e-6, rtol=1e-3)
    except RuntimeError as error:
        text = str(error).strip().splitlines()
        expect(False, text[0] if text else "the gradient disagrees with finite differences")


def identity(case: Case) -> None:
    """At prediction = target the value is the smallest, and value and gradient are finite."""
    loss, arguments = case.build_module(), _arguments(case, torch.float32)
    prediction, target = _supervised(arguments)
    x = arguments[target].clone().requires_grad_()
    value = _value(loss, {**arguments, prediction: x})
    (gradient,) = torch.autograd.grad(value, x)
    expect(bool(torch.isfinite(gradient).all()), "the gradient at prediction = target is not finite (a bare sqrt?)")
    far = _value(loss, arguments)
    near = float(value.detach())
    expect(near < float(far), f"{near:.4g} at the target, {float(far):.4g} away from it")


def decreases(case: Case) -> None:
    """Moving the prediction towards the target lowers the loss."""
    loss, arguments = case.build_module(), _arguments(case, torch.float32)
    prediction, target = _supervised(arguments)
    x, t = arguments[prediction], arguments[target]
    values = [float(_value(loss, {**arguments, prediction: torch.lerp(x, t, step)})) for step in (0.0, 0.5, 0.9)]
    expect(values == sorted(values, reverse=True) and values[0] > values[-1], f"values on the way: {values}")


def batch_permutation(case: Case) -> None:
    """The order of the batch makes no difference."""
    loss, arguments = case.build_module(torch.float32), _arguments(case, torch.float32)
    if "generator" in arguments:
        raise Skip("random numbers are drawn in the order of the batch")
    count = len(next(value for value in arguments.values() if isinstance(value, Tensor)))
    if count < 2:
        raise Skip("the example has a single item: give it a batch of two")
    flipped = items(arguments, torch.arange(count).flip(0))
    equal(_value(loss, flipped), _value(loss, arguments), 1e-5, "in another order")


def deterministic(case: Case) -> None:
    """The same inputs, and the same seed, give the same value to the bit; inputs stay as they were."""
    loss, arguments = case.build_module(), _arguments(case, torch.float32)
    before = {name: value.clone() for name, value in arguments.items() if isinstance(value, Tensor)}
    one = _value(loss, arguments)
    for name, value in before.items():
        expect(torch.equal(arguments[name], value), f"the loss changes its input {name!r}")
    expect(torch.equal(one, _value(loss, _arguments(case, torch.float32))), "two calls differ")


def inputs_known(case: Case) -> None:
    """``forward`` asks only for what the engine has, or takes exactly two inputs."""
    names = _names(case.build())
    if not set(names) <= set(LOSS_INPUTS):
        signature = inspect.signature(case.build().forward).parameters.values()
        required = [p.name for p in signature if p.default is p.empty]
        expect(len(required) == 2, f"forward asks for {', '.join(required)}; the engine has {', '.join(LOSS_INPUTS)}")


def _names(loss: nn.Module) -> list[str]:
    return [name for name, p in inspect.signature(loss.forward).parameters.items() if p.default is p.empty]


def _arguments(case: Case, dtype: torch.dtype) -> dict[str, Any]:
    """Return what ``forward`` asks for: the example's inputs, and the rest made from shape and operator."""
    given = case.inputs(dtype)
    names = [name for name in inspect.signature(case.build().forward).parameters if name in {*LOSS_INPUTS, *given}]
    names = names if set(_names(case.build())) <= set(names) else _names(case.build())
    operator = case.operator() if case.example.operator is not None else None
    arguments: dict[str, Any] = {}
    for position, name in enumerate(names):
        if name in given:
            arguments[name] = given[name]
        elif name == "operator":
            expect(operator is not None, "the loss asks for an operator: the example has to name one")
            arguments[name] = operator
        elif name == "measurement":
            image = given["target"] if "target" in given else case.draw(dtype, seed=1)
            arguments[name] = image if operator is None else operator(image)
        elif name == "model":
            arguments[name] = _Backprojection(operator).to(dtype)
        elif name == "generator":
            arguments[name] = torch.Generator().manual_seed(7)
        else:
            arguments[name] = case.draw(dtype, seed=10 + position)
    return arguments


def _value(loss: nn.Module, arguments: dict[str, Any]) -> Tensor:
    generator = {"generator": torch.Generator().manual_seed(7)} if "generator" in arguments else {}
    return loss(**{**arguments, **generator})  # type: ignore[no-any-return]


def _prediction(arguments: dict[str, Any]) -> str | None:
    """Return the name of the prediction: its own, or the first of two inputs of a foreign loss."""
    if "prediction" in arguments:
        return "prediction"
    foreign = [name for name in arguments if name not in LOSS_INPUTS]
    return foreign[0] if foreign else None


def _supervised(arguments: dict[str, Any]) -> tuple[str, str]:
    names = ("prediction", "target") if {"prediction", "target"} <= set(arguments) else tuple(arguments)
    if len(names) != 2 or _prediction(arguments) != names[0]:
        raise Skip("the loss asks for no target")
    prediction, target = (arguments[name] for name in names)
    if prediction.shape != getattr(target, "shape", None) or prediction.dtype != target.dtype:
        raise Skip("the target is no image of the prediction's kind, such as labels")
    return names[0], names[1]


LOSS = (scalar, inputs_known, gradcheck, identity, decreases, batch_permutation, deterministic)
