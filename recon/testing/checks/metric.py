"""Checks of metrics."""

from __future__ import annotations

import inspect

import torch
from torch import Tensor

from recon.interfaces import Metric
from recon.testing.case import Case, CheckError, Skip, equal, expect

__all__ = ["METRIC", "use"]


def use(case: Case) -> None:
    """Build the metric and use it once."""
    case.build_module()(*_pair(case, torch.float32))


def is_metric(case: Case) -> None:
    """The target builds a `recon.interfaces.Metric`."""
    expect(isinstance(case.build(), Metric), "a metric inherits recon.interfaces.Metric")


def per_item(case: Case) -> None:
    """The metric gives one finite real value per item of the batch."""
    for dtype in case.dtypes:
        prediction, target = _pair(case, dtype)
        value = case.build_module(dtype)(prediction, target)
        expect(value.shape == (len(prediction),), f"shape {tuple(value.shape)} for {len(prediction)} items")
        expect(value.is_floating_point(), f"values are {str(value.dtype)[6:]}")
        expect(bool(torch.isfinite(value).all()), f"values are {value.tolist()}")


def convention(case: Case) -> None:
    """One line says what the number means: data range, window, border, per slice or per volume."""
    text = case.build().convention
    expect(isinstance(text, str) and len(text) >= 10 and "\n" not in text, f"the convention is {text!r}")


def best_at_identity(case: Case) -> None:
    """The best value is that of prediction = target; mixing the target in makes a prediction better."""
    metric = case.build_module(torch.float32)
    prediction, target = _pair(case, torch.float32)
    sign = 1 if metric.higher_is_better else -1
    same = sign * metric(target.clone(), target)
    near = sign * metric(torch.lerp(prediction, target, 0.9), target)
    far = sign * metric(prediction, target)
    expect(not torch.isnan(same).any(), "the value at prediction = target is NaN")
    expect(bool((same >= near).all()), f"{near.tolist()} beside the target beats {same.tolist()} at it (sign {sign})")
    expect(bool((near >= far).all()), f"{far.tolist()} far off beats {near.tolist()} beside the target (sign {sign})")


def batch_independent(case: Case) -> None:
    """An item's value depends neither on its neighbours nor on the size and order of the batch."""
    metric = case.build_module(case.dtype)
    prediction, target = _pair(case, case.dtype)
    if len(prediction) < 2:
        raise Skip("the example has a single item: give it a batch of two")
    whole = metric(prediction, target)
    equal(metric(prediction.flip(0), target.flip(0)).flip(0), whole, 1e-6, "in another order")
    equal(metric(prediction[:1], target[:1]), whole[:1], 1e-6, "item 0 alone and in the batch")


def deterministic(case: Case) -> None:
    """Two calls agree to the bit; inputs stay as they were."""
    metric = case.build_module()
    prediction, target = _pair(case, torch.float32)
    before = prediction.clone(), target.clone()
    one = metric(prediction, target)
    expect(torch.equal(prediction, before[0]) and torch.equal(target, before[1]), "the metric changes its inputs")
    expect(torch.equal(one, metric(prediction, target)), "two calls differ")


def cuda(case: Case) -> None:
    """On a GPU the metric gives what it gives on the CPU, and its values stay there."""
    if not torch.cuda.is_available():
        raise Skip("no CUDA device")
    metric, (prediction, target) = case.build_module(), _pair(case, torch.float32)
    there = case.build_module().cuda()(prediction.cuda(), target.cuda())
    expect(there.is_cuda, "the values left the GPU")
    equal(there.cpu(), metric(prediction, target), 1e-3, "on the GPU and on the CPU")


def _pair(case: Case, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return prediction and target: the example's inputs, or an image between 0 and 1 and a noisy copy of it."""
    given = case.inputs(dtype)
    if given:
        names = [name for name in inspect.signature(case.target.forward).parameters if name != "self"][:2]
        try:
            return given[names[0]], given[names[1]]
        except KeyError as error:
            raise CheckError(f"the example's inputs lack {error}") from error
    x = case.draw(dtype, seed=1)
    target = (x / (2 * x.abs().max())) if x.is_complex() else torch.sigmoid(x)
    return target + 0.1 * case.draw(dtype, seed=2), target


METRIC = (is_metric, per_item, convention, best_at_identity, batch_independent, deterministic, cuda)
