"""Iterative reconstruction one step at a time: what a method shows of each step, and when it stops."""

from __future__ import annotations

import itertools
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from recon.errors import UsageError
from recon.interfaces import Method
from recon.methods import Constraint, Output, finish, linear, real_part
from recon.operators import Operator
from recon.schema import Part

__all__ = ["Callback", "IterativeMethod", "Problem", "State", "Step", "Stop", "inner", "norm", "per_item"]


@dataclass(frozen=True, kw_only=True)
class Stop:
    """Rules that end an iteration early, for each item of a batch by itself: the first that holds.

    A rule that is None is not looked at; without any rule no step waits for the device.

    Parameters
    ----------
    change
        Stop when a step changes the image by little: |x_k - x_(k-1)| <= change |x_k|.
    residual
        Stop when the data are fitted this well: |A x - y| <= residual |y|.
    noise, tau
        Discrepancy principle: stop when |A x - y| <= tau noise sqrt(n), as closer than its noise no measurement need
        be fitted. `noise` is the standard deviation of a measured value (of the real and of the imaginary part of a
        complex one), n the number of measured values; zeros, as masks leave, count as not measured.

    Notes
    -----
    Where a method weighs the data, so does the norm of the residual: with statistical weights take ``noise=1``.

    References
    ----------
    Morozov, Soviet Math. Dokl. 7:414, 1966 (the discrepancy principle);
    Hansen, Discrete Inverse Problems, 2010, doi:10.1137/1.9780898718836
    """

    # Configs give it as a mapping, whose unknown names are refused.
    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    change: Annotated[float, Gt(0)] | None = None
    residual: Annotated[float, Gt(0)] | None = None
    noise: Annotated[float, Ge(0)] | None = None
    tau: Annotated[float, Gt(0)] = 1.0


class Problem:
    """A measurement y, its operator A and, with some methods, a weight for each datum, as iterations need them.

    Where images are constrained to be real, the adjoint is that of A on real images.

    Parameters
    ----------
    y
        Measurement (batch, ...).
    operator
        Its operator; noise in front of it is passed over.
    real
        Whether images are real.
    weights
        Weights of the data, of a shape that broadcasts to that of y.

    Raises
    ------
    UsageError
        If the operator is not linear, or measurement or weights are not finite or do not fit.
    """

    def __init__(self, y: Tensor, operator: Operator, *, real: bool = False, weights: Tensor | None = None) -> None:
        self.operator = linear(operator)
        y = y.detach()
        self.y = y.float() if y.dtype in (torch.float16, torch.bfloat16) else y
        bad = int((~torch.isfinite(self.y)).sum())
        if bad:
            raise UsageError(f"the measurement holds {bad} values that are not finite: replace them first")
        self.weights = None if weights is None else self._checked(weights.detach())
        self.real = real
        back = self.operator.adjoint(self.y)
        self.dtype = back.dtype
        self.backprojection = real_part(back) if real else back
        """A^H y."""

    def forward(self, x: Tensor) -> Tensor:
        """Apply A."""
        y: Tensor = self.operator(x.to(self.dtype))
        return y

    def adjoint(self, y: Tensor) -> Tensor:
        """Apply A^H."""
        x = self.operator.adjoint(y)
        return real_part(x) if self.real else x

    def normal(self, x: Tensor) -> Tensor:
        """Apply A^H A."""
        x = self.operator.normal(x.to(self.dtype))
        return real_part(x) if self.real else x

    def weighted(self, r: Tensor) -> Tensor:
        """Multiply data by their weights."""
        return r if self.weights is None else self.weights * r

    def norm(self, r: Tensor) -> Tensor:
        """Return the (weighted) norm of each item of the data, (batch,)."""
        return norm(r) if self.weights is None else norm(self.weights.sqrt() * r)

    @cached_property
    def measured(self) -> Tensor:
        """Number of measured real values of each item, (batch,): zeros and data of weight 0 do not count."""
        there = self.y != 0 if self.weights is None else (self.y != 0) & (self.weights > 0)
        return there.flatten(1).sum(1) * (2 if self.y.is_complex() else 1)

    def _checked(self, weights: Tensor) -> Tensor:
        try:
            weights.expand_as(self.y)
        except RuntimeError:
            shapes = f"{tuple(weights.shape)} and {tuple(self.y.shape)}"
            raise UsageError(f"the weights' shape does not fit the measurement's: {shapes}") from None
        if weights.is_complex() or not bool((torch.isfinite(weights) & (weights >= 0)).all()):
            raise UsageError("weights must be finite, real and not negative; 0 leaves a datum out")
        return weights.to(real_part(self.y))


class Step:
    """An image on the way, and its residual y - A x, computed when it is first asked for.

    Parameters
    ----------
    problem
        What is solved.
    x
        The image.
    residual
        Its residual, where the method has it for nothing.
    refused
        Items whose step was refused: that they stand still does not mean that they have converged.
    """

    def __init__(
        self, problem: Problem, x: Tensor, residual: Tensor | None = None, *, refused: Tensor | None = None
    ) -> None:
        self.problem = problem
        self.x = x
        self.refused = refused
        if residual is not None:
            self.residual = residual

    @cached_property
    @torch.no_grad()
    def residual(self) -> Tensor:
        """Residual y - A x."""
        return self.problem.y - self.problem.forward(self.x)


@dataclass(frozen=True, eq=False)
class State:
    """What an iteration shows of a step.

    Residual and objective are computed when they are asked for; most methods have the residual anyway, and those of
    ordered subsets pay one projection.
    """

    iteration: int
    """Number of steps taken; 0 is the start."""
    x: Tensor
    """The image (batch, channel, *space), before `output`; not a copy, so do not write to it."""
    elapsed: float
    """Seconds since the call, as the host sees them."""
    active: Tensor
    """Which items go on, bool (batch,); the others stand still, by a rule of `Stop`."""
    _step: Step = field(repr=False)
    _method: IterativeMethod = field(repr=False)

    @property
    def residual(self) -> Tensor:
        """|A x - y| of each item, (batch,), weighted where the method weighs."""
        return self._step.problem.norm(self._step.residual)

    @property
    def objective(self) -> Tensor:
        """What the method minimises, of each item, (batch,)."""
        return self._method._objective(self._step.problem, self.x, self._step.residual)


Callback = Callable[[State], Any]
"""Called with the state after each step; what it returns ends the iteration if it is true."""


@dataclass(frozen=True, kw_only=True)
class IterativeMethod(ABC):
    """A reconstruction method that improves an image step by step.

    ``method(y, operator)`` gives the last image, ``method.iterate(y, operator)`` a `State` for the start and for each
    step. A subclass, a frozen dataclass, yields its steps from `_steps`, without end; how many are taken, when an item
    stands still, and what is told of it is decided here.

    Shapes: y as the operator gives it -> x (batch, channel, *space).

    Parameters
    ----------
    iterations
        Most steps to take.
    stop
        Rules to stop earlier by.
    start
        Method whose image is the first; by default an image of zeros.
    constraint
        ``none``; ``real`` images; ``nonnegative`` (and real) images.
    output
        What becomes of a complex image: ``as_is``, its ``magnitude`` or its ``real`` part.
    """

    iterations: Annotated[int, Gt(0)] = 100
    stop: Stop = Stop()
    start: Annotated[Method | None, Part("method")] = None
    constraint: Constraint = "none"
    output: Output = "as_is"

    takes_weights: ClassVar[bool] = False
    """Whether data may be given weights."""

    def __call__(
        self,
        y: Tensor,
        operator: Operator,
        *,
        x0: Tensor | None = None,
        weights: Tensor | None = None,
        callback: Callback | None = None,
    ) -> Tensor:
        """Reconstruct; arguments are those of `iterate`, and `callback` sees each of its states, the start too.

        A callback that returns something true ends the iteration. The result carries no gradients.
        """
        state = None
        for state in self.iterate(y, operator, x0=x0, weights=weights):
            if callback is not None and callback(state):
                break
        assert state is not None  # noqa: S101 - the start is always shown
        return self._result(state.x, operator)

    @torch.no_grad()
    def iterate(
        self, y: Tensor, operator: Operator, *, x0: Tensor | None = None, weights: Tensor | None = None
    ) -> Iterator[State]:
        """Yield the state of the start, and of each step until the last.

        Parameters
        ----------
        y
            Measurement.
        operator
            Its operator.
        x0
            First image, instead of what `start` gives.
        weights
            Weights of the data, of a shape that broadcasts to that of y, for methods that take them.

        Raises
        ------
        UsageError
            If operator, measurement, x0 or weights do not suit the method.
        """
        began = time.perf_counter()
        problem = self._problem(y, operator, weights)
        first = self._first(problem, x0, y, operator)
        steps = itertools.islice(self._steps(problem, first), self.iterations)
        rules = _Rules(self.stop, problem)
        before, shown = None, first
        for iteration, step in enumerate(itertools.chain([first], steps)):
            if rules.resting:
                shown = Step(problem, torch.where(per_item(rules.active, step.x), step.x, shown.x))
            else:
                shown = step
            rules.apply(step, before)
            before = step.x
            yield State(iteration, shown.x, time.perf_counter() - began, rules.active, shown, self)
            if rules.finished:
                return

    @torch.no_grad()
    def objective(self, x: Tensor, y: Tensor, operator: Operator, *, weights: Tensor | None = None) -> Tensor:
        """Return what is minimised, of each item of x. Shapes: x (batch, channel, *space) -> (batch,)."""
        problem = self._problem(y, operator, weights)
        return self._objective(problem, x, Step(problem, x).residual)

    @abstractmethod
    def _steps(self, problem: Problem, step: Step) -> Iterator[Step]:
        """Yield one step after the other, without end, from the given one; a step is not changed later."""

    def _initial(self, problem: Problem) -> Tensor | None:  # noqa: ARG002 - for subclasses
        """Return the first image where none is given; None for zeros."""
        return None

    def _result(self, x: Tensor, operator: Operator) -> Tensor:  # noqa: ARG002 - for subclasses
        """Return what the call gives of the last image."""
        return finish(x, self.output)

    def _objective(self, problem: Problem, x: Tensor, residual: Tensor) -> Tensor:  # noqa: ARG002 - for subclasses
        return problem.norm(residual).square() / 2

    def _project(self, x: Tensor) -> Tensor:
        """Return the nearest image that the constraint allows."""
        return x.clamp(min=0) if self.constraint == "nonnegative" else x

    def _problem(self, y: Tensor, operator: Operator, weights: Tensor | None) -> Problem:
        if weights is not None and not self.takes_weights:
            raise UsageError(f"{type(self).__name__} takes no weights of the data: take pwls or pdhg")
        return Problem(y, operator, real=self.constraint != "none", weights=weights)

    def _first(self, problem: Problem, x0: Tensor | None, y: Tensor, operator: Operator) -> Step:
        like = problem.backprojection
        if x0 is None:
            x0 = self._initial(problem) if self.start is None else self.start(y, operator)
        if x0 is None:
            return Step(problem, torch.zeros_like(like), problem.y)
        if x0.shape != like.shape:
            raise UsageError(f"the first image must have shape {tuple(like.shape)}, not {tuple(x0.shape)}")
        return Step(problem, self._project((x0 if like.is_complex() else real_part(x0)).detach().to(like)))


class _Rules:
    """Which items go on, by the rules of a `Stop`; asks the device once a step, and only if there is a rule."""

    def __init__(self, stop: Stop, problem: Problem) -> None:
        self.change = stop.change
        y = problem.y
        self.active = torch.ones(len(y), dtype=torch.bool, device=y.device)
        self.resting = False
        """Whether an item stands still."""
        self.finished = False
        """Whether all do."""
        self._norm = problem.norm
        self._limit: Tensor | None = None
        limits = []
        if stop.residual is not None:
            limits.append(stop.residual * problem.norm(y))
        if stop.noise is not None:
            limits.append(stop.tau * stop.noise * problem.measured.sqrt())
        if limits:
            self._limit = torch.stack(limits).amax(0)

    def apply(self, step: Step, before: Tensor | None) -> None:
        """Look at a step and at the image before it."""
        done = torch.zeros_like(self.active)
        if self._limit is not None:
            done |= self._norm(step.residual) <= self._limit
        if self.change is not None and before is not None:
            still = norm(step.x - before) <= self.change * norm(step.x)
            done |= still if step.refused is None else still & ~step.refused
        if self._limit is None and self.change is None:
            return
        self.active = self.active & ~done
        active = self.active.tolist()
        self.resting, self.finished = not all(active), not any(active)


def inner(a: Tensor, b: Tensor) -> Tensor:
    """Return Re <a, b> of each item, (batch,)."""
    return (a.conj() * b).real.flatten(1).sum(1) if a.is_complex() else (a * b).flatten(1).sum(1)


def norm(x: Tensor) -> Tensor:
    """Return the norm of each item, (batch,)."""
    value: Tensor = torch.linalg.vector_norm(x.flatten(1), dim=1)
    return value


def per_item(values: Tensor, like: Tensor) -> Tensor:
    """Reshape one value per item, (batch,), for products with tensors of the dimensions of `like`."""
    return values.reshape(-1, *[1] * (like.ndim - 1))
