"""Checks of models."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from recon.testing.case import Case, Skip, describe, equal, expect, first, items, real_type
from recon.testing.worker import elsewhere

__all__ = ["MODEL", "use"]


def use(case: Case) -> None:
    """Build the model and use it once."""
    _run(case.build_module(), case.model_arguments(torch.float32))


def is_module(case: Case) -> None:
    """The target builds a `torch.nn.Module`."""
    expect(isinstance(case.build(), nn.Module), "a model is a torch.nn.Module")


def output(case: Case) -> None:
    """The output is finite, of the input's precision, and has as many items."""
    for dtype in case.dtypes:
        arguments = case.model_arguments(dtype)
        y = _run(case.build_module(dtype), arguments)
        x = first(arguments)
        expect(isinstance(y, Tensor), f"the output is a {type(y).__name__}, not a tensor")
        expect(bool(torch.isfinite(y).all()), "the output is not finite")
        expect(real_type(y) is dtype, f"{describe(x)} becomes {describe(y)}")
        expect(len(y) == len(x), f"{len(x)} items in, {len(y)} out")


def gradients(case: Case) -> None:
    """Every trainable parameter gets a finite gradient; none is dead."""
    model = case.build_module().train()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in model.parameters():  # off the start, where zeros in one layer stop the gradients of others
            value.add_(torch.randn(value.shape, generator=generator, dtype=value.dtype), alpha=0.05)
    names = {name for name, value in model.named_parameters() if value.requires_grad}
    dead = set(names)
    for seed in range(2):
        model.zero_grad()
        y = model(**case.model_arguments(torch.float32, seed))
        weights = torch.randn(y.shape, generator=generator, dtype=y.dtype)
        (y * weights).abs().square().mean().backward()
        for name, value in model.named_parameters():
            if value.grad is not None:
                expect(bool(torch.isfinite(value.grad).all()), f"the gradient of {name} is not finite")
                if value.grad.any():
                    dead.discard(name)
    expect(not dead, f"no gradient reaches {', '.join(sorted(dead))}")


def input_untouched(case: Case) -> None:
    """The model does not change its input, in training nor in evaluation."""
    for training in (False, True):
        arguments = case.model_arguments(torch.float32)
        before = first(arguments).clone()
        _run(case.build_module().train(training), arguments)
        expect(torch.equal(first(arguments), before), "the model changes its input: beware of inplace=True")


def deterministic(case: Case) -> None:
    """In evaluation the same input gives the same output to the bit, and no buffer changes."""
    model, arguments = case.build_module(), case.model_arguments(torch.float32)
    before = copy.deepcopy(model.state_dict())
    one, two = _run(model, arguments), _run(model, arguments)
    expect(torch.equal(one, two), "two calls in evaluation differ")
    for name, value in model.state_dict().items():
        expect(torch.equal(value, before[name]), f"a call in evaluation changes {name!r}")


def batch_independent(case: Case) -> None:
    """In evaluation an item's output depends neither on its neighbours nor on the size of the batch."""
    dtype = case.dtype
    model, arguments = case.build_module(dtype), case.model_arguments(dtype)
    x = first(arguments)
    if len(x) < 2:
        raise Skip("the example has a single item: give it a batch of two")
    rtol = 1e-9 if dtype is torch.float64 else 1e-4
    whole = _run(model, arguments)
    equal(_run(model, items(arguments, slice(0, 1)))[:1], whole[:1], rtol, "item 0 alone and in the batch")
    order = torch.arange(len(x)).flip(0)
    equal(_run(model, items(arguments, order)).flip(0), whole, rtol, "in another order")


def modes(case: Case) -> None:
    """The model runs in training and in evaluation, and ``train()`` reaches every part."""
    model, arguments = case.build_module(), case.model_arguments(torch.float32)
    for training in (True, False):
        model.train(training)
        expect(all(part.training == training for part in model.modules()), "train() does not reach every part")
        y = _run(model, arguments)
        expect(bool(torch.isfinite(y).all()), f"the output is not finite {'in training' if training else ''}")


def autocast(case: Case) -> None:
    """The model runs under bfloat16 autocast, finite, with an output close to that of float32."""
    model, arguments = case.build_module(), case.model_arguments(torch.float32)
    full = _run(model, arguments)
    with torch.autocast("cpu", torch.bfloat16):
        half = _run(model, arguments)
    expect(half.shape == full.shape, f"{describe(half)} under autocast, {describe(full)} without")
    expect(bool(torch.isfinite(half).all()), "the output under autocast is not finite")
    equal(half.to(full.dtype), full, 0.2, "with and without bfloat16 autocast")


def noncontiguous(case: Case) -> None:
    """Memory layout, channels_last included, makes no difference."""
    model, arguments = case.build_module(), case.model_arguments(torch.float32)
    y = _run(model, arguments)
    strided = {k: torch.stack([v, v], -1)[..., 0] if isinstance(v, Tensor) else v for k, v in arguments.items()}
    equal(_run(model, strided), y, 1e-4, "a strided input and a contiguous one")
    x = first(arguments)
    if x.ndim == 4:
        last = {k: v.to(memory_format=torch.channels_last) if v is x else v for k, v in arguments.items()}
        equal(_run(copy.deepcopy(model).to(memory_format=torch.channels_last), last), y, 1e-4, "channels_last")


def state_dict(case: Case) -> None:
    """The weights survive a safetensors file and load, strictly, into another model of the same parameters."""
    model, twin, arguments = case.build_module(), case.build_module(), case.model_arguments(torch.float32)
    with torch.no_grad():
        for value in twin.parameters():
            value.zero_()
    state = {name: value.contiguous().clone() for name, value in model.state_dict().items()}
    twin.load_state_dict(load(save(state)), strict=True)
    expect(torch.equal(_run(twin, arguments), _run(model, arguments)), "the output differs after loading")


def copies(case: Case) -> None:
    """A deep copy works alike, and so does the model in a spawned process."""
    model, arguments = case.build_module(), case.model_arguments(torch.float32)
    y = _run(model, arguments)
    expect(torch.equal(_run(copy.deepcopy(model), arguments), y), "the copy gives another output")
    if case.entry.plugin.version == "file":
        raise Skip("a plugin file cannot be imported by another process")
    try:
        pickle.dumps(model)
    except Exception as error:  # noqa: BLE001 - any failure to pickle is the finding
        expect(False, f"it does not pickle: {type(error).__name__}: {error}")
    equal(elsewhere(_run, model, arguments), y, 1e-4, "in a spawned process and here")


def parameter_count(case: Case) -> None:
    """The number of trainable parameters is what the example states."""
    if case.example.parameter_count is None:
        raise Skip("the example states no number")
    count = sum(value.numel() for value in case.build().parameters() if value.requires_grad)
    expect(count == case.example.parameter_count, f"{count} parameters, not {case.example.parameter_count}")


def cuda(case: Case) -> None:
    """On a GPU the model gives what it gives on the CPU."""
    if not torch.cuda.is_available():
        raise Skip("no CUDA device")
    model, arguments = case.build_module(), case.model_arguments(torch.float32)
    there = {k: v.cuda() if isinstance(v, (Tensor, nn.Module)) else v for k, v in copy.deepcopy(arguments).items()}
    result = _run(copy.deepcopy(model).cuda(), there)
    expect(result.is_cuda, "the output left the GPU")
    equal(result.cpu(), _run(model, arguments), 1e-2, "on the GPU and on the CPU")


def _run(model: nn.Module, arguments: dict[str, Any]) -> Tensor:
    with torch.no_grad():
        return model(**arguments)  # type: ignore[no-any-return]


MODEL = (
    is_module,
    output,
    gradients,
    input_untouched,
    deterministic,
    batch_independent,
    modes,
    autocast,
    noncontiguous,
    state_dict,
    copies,
    parameter_count,
    cuda,
)
