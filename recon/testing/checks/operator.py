"""Checks of every operator, linear or not."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterable

import torch
from torch import Tensor

from recon.errors import UsageError
from recon.operators import LinearOperator, Operator, Shape
from recon.testing.case import Case, Skip, apply, describe, equal, expect, real_type
from recon.testing.worker import elsewhere

__all__ = ["OPERATOR", "STOCHASTIC", "VALUE", "same_items", "use"]


def use(case: Case) -> None:
    """Build the operator and use it once."""
    operator = case.build()
    y = apply(operator, case.draw(case.dtype))
    if isinstance(operator, LinearOperator):
        operator.adjoint(y)


def is_operator(case: Case) -> None:
    """The target builds a `recon.Operator`."""
    expect(isinstance(case.build(), Operator), "an operator inherits recon.Operator or recon.LinearOperator")


def dtype_kept(case: Case) -> None:
    """The precision of the input is the precision of the output, forward and adjoint."""
    operator = case.build()
    for dtype in case.dtypes:
        y = apply(operator, case.draw(dtype))
        expect(real_type(y) is dtype, f"forward makes {str(y.dtype)[6:]} of {str(dtype)[6:]}")
        if isinstance(operator, LinearOperator):
            x = operator.adjoint(y)
            expect(real_type(x) is dtype, f"adjoint makes {str(x.dtype)[6:]} of {str(y.dtype)[6:]}")


def complex_declared(case: Case) -> None:
    """The output is complex if the input is, or if the operator declares `complex_output`; only then."""
    operator = case.build()
    x = case.draw(case.dtype)
    y = apply(operator, x)
    if operator.complex_output:
        expect(y.is_complex(), f"complex_output is declared, but the output is {describe(y)}")
    elif y.is_complex():
        expect(x.is_complex(), f"the output of a real input is {describe(y)}: declare complex_output = True")


def shapes(case: Case) -> None:
    """Input and output have the declared shapes, and as many items as one another."""
    operator = case.build()
    x = case.draw(case.dtype)
    y = apply(operator, x)
    _fits(x, operator.input_shape, "input_shape")
    _fits(y, operator.output_shape, "output_shape")
    expect(len(y) == len(x), f"{len(x)} items in, {len(y)} out")


def input_untouched(case: Case) -> None:
    """Neither forward nor adjoint changes its input."""
    operator = case.build()
    x = case.draw(case.dtype)
    before = x.clone()
    y = apply(operator, x)
    expect(torch.equal(x, before), "forward changes its input")
    if isinstance(operator, LinearOperator):
        y = y.clone()  # forward may return its input, as the identity does
        before = y.clone()
        operator.adjoint(y)
        expect(torch.equal(y, before), "adjoint changes its input")


def value_unchanged(case: Case) -> None:
    """A call changes nothing in the operator: its state before and after is the same."""
    operator = case.build()
    before = copy.deepcopy(operator.state_dict())
    apply(operator, case.draw(case.dtype))
    for name, value in operator.state_dict().items():
        expect(torch.equal(value, before[name]), f"a call changes {name!r}; operators are values")


def batch_independent(case: Case) -> None:
    """What becomes of an item depends neither on its neighbours nor on the size of the batch."""
    operator = case.build().noiseless
    x = case.draw(case.dtype)
    same_items(operator, x, "forward", case)
    if isinstance(operator, LinearOperator):
        same_items(operator.adjoint, operator(x), "adjoint", case)


def same_items(function: object, x: Tensor, what: str, case: Case) -> None:
    """Fail unless `function` treats the items of `x` independently."""
    assert callable(function)  # noqa: S101 - for the type checker
    if len(x) < 2:
        raise Skip("the example has a single item: give it a batch of two")
    rtol = 1e-10 if case.dtype is torch.float64 else 1e-5
    whole = function(x)
    equal(function(x[:1]), whole[:1], rtol, f"{what}: item 0 alone and in the batch")
    other = torch.cat([x[:1], x[1:] * 2 + 1])
    equal(function(other)[:1], whole[:1], rtol, f"{what}: item 0 after its neighbours changed")


def deterministic(case: Case) -> None:
    """The same input, and the same seed where the operator is random, give the same output to the bit."""
    x = case.draw(case.dtype)
    first = apply(case.build(), x, seed=3)
    for operator in (case.build(), case.build()):
        seed = "with the same seed" if operator.stochastic else "although it does not declare stochastic = True"
        expect(torch.equal(apply(operator, x, seed=3), first), f"two calls differ {seed}")


def noncontiguous(case: Case) -> None:
    """Memory layout makes no difference."""
    operator = case.build()
    x = case.draw(case.dtype)
    if x.ndim < 2:
        raise Skip("a vector has one layout")
    strided = x.transpose(1, -1).contiguous().transpose(1, -1) if x.ndim > 2 else x.repeat(1, 2)[:, : x.shape[1]]
    strided = torch.stack([strided, strided], -1)[..., 0]  # every axis has a stride
    rtol = 1e-10 if case.dtype is torch.float64 else 1e-5
    equal(apply(operator, strided), apply(operator, x), rtol, "a strided input and a contiguous one")


def pickles(case: Case) -> None:
    """The operator works in a spawned process, as data loader workers need it."""
    if case.entry.plugin.version == "file":
        raise Skip("a plugin file cannot be imported by another process")
    operator, x = case.build(), case.draw(case.dtype)
    try:
        pickle.dumps(operator)
    except Exception as error:  # noqa: BLE001 - any failure to pickle is the finding
        expect(False, f"it does not pickle: {type(error).__name__}: {error}")
    equal(elsewhere(apply, operator, x), apply(operator, x), 1e-5, "in a spawned process and here")


def copies(case: Case) -> None:
    """A deep copy works alike and shares no tensor."""
    operator, x = case.build(), case.draw(case.dtype)
    twin = copy.deepcopy(operator)
    expect(torch.equal(apply(twin, x), apply(operator, x)), "the copy gives another result")
    mine = {tensor.data_ptr() for tensor in _tensors(operator) if tensor.numel()}
    expect(not mine & {tensor.data_ptr() for tensor in _tensors(twin)}, "the copy shares memory with the original")


def state_dict(case: Case) -> None:
    """The state dict of one operator loads, strictly, into another of the same parameters."""
    operator, twin, x = case.build(), case.build(), case.draw(case.dtype)
    twin.load_state_dict(operator.state_dict(), strict=True)
    expect(torch.equal(apply(twin, x), apply(operator, x)), "the result differs after loading")


def cuda(case: Case) -> None:
    """On a GPU the operator gives what it gives on the CPU, and stays on its device."""
    if not torch.cuda.is_available():
        raise Skip("no CUDA device")
    operator = case.build().noiseless
    x = case.draw(torch.float32)
    y = operator(x)
    there = copy.deepcopy(operator).cuda()(x.cuda())
    expect(there.is_cuda, "the output left the GPU")
    equal(there.cpu(), y, 1e-4, "on the GPU and on the CPU")


def arguments_kept(case: Case) -> None:
    """Every constructor argument is an attribute of the same name, with the value that was given."""
    operator = case.build()
    for name in operator.arguments():
        expect(hasattr(operator, name), f"argument {name!r} is not kept as an attribute")
    for name, given in case.example.params.items():
        kept = getattr(operator, name)
        if isinstance(given, Tensor):
            same = isinstance(kept, Tensor) and kept.shape == given.shape and torch.equal(kept.to(given.dtype), given)
        elif isinstance(given, (int, float, str)) and isinstance(kept, (int, float, str)):
            same = kept == given
        else:
            continue  # parts become objects, lists become tuples or tensors
        expect(same, f"argument {name!r} was {given!r}, the attribute is {kept!r}")


def with_(case: Case) -> None:
    """``with_()`` gives a new, equal operator of the same type; an unknown name is refused."""
    operator, x = case.build(), case.draw(case.dtype)
    twin = operator.with_()
    expect(twin is not operator and type(twin) is type(operator), "with_() does not give a new operator of its type")
    equal(apply(twin, x), apply(operator, x), 0.0, "the result of with_() and of the original")
    repr(operator)


def needs_generator(case: Case) -> None:
    """Without a generator a random operator raises UsageError that says so."""
    try:
        case.build()(case.draw(case.dtype))
    except UsageError as error:
        expect("generator" in str(error), f"the error does not name the generator: {error}")
    else:
        expect(False, "it runs without a generator: raise UsageError, or results cannot be repeated")


def seed_matters(case: Case) -> None:
    """Another seed gives another output."""
    operator, x = case.build(), case.draw(case.dtype)
    expect(
        not torch.equal(apply(operator, x, seed=1), apply(operator, x, seed=2)),
        "two seeds give the same output, or the operator is not stochastic",
    )


def noiseless(case: Case) -> None:
    """`noiseless` is an operator that draws nothing."""
    quiet = case.build().noiseless
    expect(isinstance(quiet, Operator) and not quiet.stochastic, "noiseless is still stochastic")
    x = case.draw(case.dtype)
    expect(torch.equal(quiet(x), quiet(x)), "noiseless gives two results")


def _fits(x: Tensor, shape: Shape | None, name: str) -> None:
    if shape is None:
        return
    item = tuple(x.shape[1:])
    fits = len(item) == len(shape) and all(n is None or n == m for n, m in zip(shape, item, strict=True))
    expect(fits, f"{name} is {shape}, an item has shape {item}")


def _tensors(operator: Operator) -> Iterable[Tensor]:
    return [*operator.parameters(), *operator.buffers()]


VALUE = (is_operator, arguments_kept, with_)
"""How operators are values; not asked of foreign ones, but for the first."""
OPERATOR = (
    dtype_kept,
    complex_declared,
    shapes,
    input_untouched,
    value_unchanged,
    batch_independent,
    deterministic,
    noncontiguous,
    pickles,
    copies,
    state_dict,
    cuda,
)
STOCHASTIC = (needs_generator, seed_matters, noiseless)
