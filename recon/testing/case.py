"""What a check of the conformance kit works with: one component and one of its examples."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from recon.building import build, construct
from recon.errors import ReconError
from recon.operators import LinearOperator, Operator
from recon.registry import Entry
from recon.schema import parts_of
from recon.testing.example import Example

__all__ = [
    "Case",
    "CheckError",
    "Skip",
    "apply",
    "describe",
    "equal",
    "expect",
    "first",
    "gap",
    "items",
    "one_line",
    "real_type",
]


class CheckError(AssertionError):
    """A broken contract, in one line."""


class Skip(Exception):  # noqa: N818 - not an error
    """A check that cannot run here, with the reason."""


@dataclass(frozen=True, slots=True)
class Case:
    """One component with one of its examples, and the ways to build and feed it.

    Parameters
    ----------
    entry
        The component and its plugin.
    target
        The class or function that the component names.
    example
        The example, or None for checks that need none.
    folder
        An empty folder of this case alone.
    """

    entry: Entry
    target: Any
    example: Example
    folder: Path

    @property
    def dtypes(self) -> list[torch.dtype]:
        """Real types that the component computes in."""
        return [getattr(torch, name) for name in self.entry.component.dtypes]

    @property
    def dtype(self) -> torch.dtype:
        """The most exact of these."""
        return max(self.dtypes, key=lambda dtype: torch.finfo(dtype).bits)

    def need(self, dtype: torch.dtype) -> None:
        """Skip where the component does not compute in `dtype`."""
        if dtype not in self.dtypes:
            raise Skip(f"the component does not declare {str(dtype)[6:]}")

    def build(self, **params: Any) -> Any:
        """Build the component from the example's parameters, by the road that configs take."""
        what = f"{self.entry.component.kind} {self.entry.name!r}"
        if self.entry.component.kind != "model" and "model" not in parts_of(self.target).values():
            return construct(self.target, {**self.example.params, **params}, what)
        # Only models may draw from the global generator, for their weights; a fixed seed makes two builds equal.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return construct(self.target, {**self.example.params, **params}, what)

    def prepared(self) -> Mapping[str, Any]:
        """Make the example's files and return what they add to the parameters."""
        return self.example.prepare(self.folder) if self.example.prepare else {}

    def build_module(self, dtype: torch.dtype = torch.float32) -> Any:
        """Build a model, loss or metric in `dtype`, in eval mode."""
        module = self.build().eval()
        return module.double() if dtype is torch.float64 else module  # .to(dtype) would drop imaginary parts

    def draw(self, dtype: torch.dtype, seed: int = 0) -> Tensor:
        """Draw the example's input: normal noise of its shape, or what its `inputs` gives first."""
        if self.example.inputs is not None:
            return first(self.inputs(dtype, seed))
        if self.example.shape is None:
            raise CheckError("the example gives neither shape nor inputs")
        dtype = dtype.to_complex() if self.example.complex else dtype
        return torch.randn(self.example.shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)

    def inputs(self, dtype: torch.dtype, seed: int = 0) -> dict[str, Any]:
        """Return what the example's `inputs` gives."""
        if self.example.inputs is None:
            return {}
        return dict(self.example.inputs(torch.Generator().manual_seed(seed), dtype))

    def operator(self) -> LinearOperator:
        """Build the operator that the example names, without its noise."""
        if self.example.operator is None:
            raise CheckError("the example names no operator")
        operator: Operator = build("operator", self.example.operator).noiseless
        if not isinstance(operator, LinearOperator):
            raise CheckError("the example's operator is not linear")
        return operator

    def model_arguments(self, dtype: torch.dtype, seed: int = 0) -> dict[str, Any]:
        """Return the arguments of a model's ``forward`` by name."""
        from recon.interfaces import OperatorModel

        if self.example.inputs is not None:
            return self.inputs(dtype, seed)
        x = self.draw(dtype, seed)
        if isinstance(self.target, type) and issubclass(self.target, OperatorModel):
            operator = self.operator()
            return {"y": operator(x), "operator": operator}
        forward = self.build().forward
        return {next(iter(inspect.signature(forward).parameters)): x}


def apply(operator: Operator, x: Tensor, seed: int = 0) -> Tensor:
    """Apply an operator, a random one with a fresh generator."""
    if operator.stochastic:
        return operator(x, generator=torch.Generator(x.device).manual_seed(seed))  # type: ignore[no-any-return]
    return operator(x)  # type: ignore[no-any-return]


def items(arguments: Mapping[str, Any], index: Any) -> dict[str, Any]:
    """Index the batch axis of all tensors among `arguments`."""
    return {k: v[index] if isinstance(v, Tensor) and v.ndim else v for k, v in arguments.items()}


def first(arguments: Mapping[str, Any]) -> Tensor:
    """Return the first tensor among `arguments`."""
    return next(value for value in arguments.values() if isinstance(value, Tensor))


def expect(condition: object, message: str) -> None:
    """Fail the check with `message` unless `condition` holds."""
    if not condition:
        raise CheckError(message)


def gap(a: Tensor, b: Tensor) -> float:
    """Return the largest difference relative to the largest value; infinite where shapes or dtypes differ."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return float("inf")
    if a.numel() == 0 or torch.equal(a, b):
        return 0.0
    wide = torch.complex128 if a.is_complex() else torch.float64
    a, b = a.detach().cpu().to(wide), b.detach().cpu().to(wide)
    same = (a == b) | (a.isnan() & b.isnan())  # infinities at the same place agree
    difference = torch.where(same, 0, a - b).abs().max()
    scale = torch.maximum(a[a.isfinite()].abs().max(), b[b.isfinite()].abs().max()) if a.isfinite().any() else 1.0
    return float(difference / scale) if difference else 0.0


def equal(a: Tensor, b: Tensor, rtol: float, what: str) -> None:
    """Fail the check unless `a` and `b` agree to `rtol` of their largest value."""
    if a.shape != b.shape or a.dtype != b.dtype:
        raise CheckError(f"{what}: {describe(a)} against {describe(b)}")
    difference = gap(a, b)
    expect(difference <= rtol, f"{what}: relative gap {difference:.2g}, at most {rtol:.2g} is right")


def describe(x: Tensor) -> str:
    """Say what a tensor is."""
    return f"{str(x.dtype)[6:]} {tuple(x.shape)}"


def real_type(x: Tensor) -> torch.dtype:
    """Return the type of the real part."""
    return x.dtype.to_real() if x.is_complex() else x.dtype


def one_line(error: BaseException) -> str:
    """Return an error as one line, with the type unless it is one of ours."""
    text = " ".join(str(error).split())
    return text if isinstance(error, (ReconError, CheckError, Skip)) else f"{type(error).__name__}: {text}"
