"""What all iterative methods share: states, callbacks, stopping rules, batches."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice, pairwise

import pytest
import torch

import recon
from recon.differences import differences, differences_adjoint, total_variation, total_variation_proximal
from recon.errors import UsageError
from recon.iteration import IterativeMethod, Problem, State, Step, Stop
from recon.operators import Identity, LinearOperator, Operator
from recon.schema import validate
from recon.solvers import squared_norm


def randn(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


class Dense(LinearOperator):
    """A matrix on images; counts its uses."""

    def __init__(self, matrix: torch.Tensor, size: tuple[int, ...]) -> None:
        super().__init__()
        self.entries, self.size = matrix, size
        self.uses = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.uses += 1
        return x.flatten(1) @ self.entries.T

    def adjoint(self, y: torch.Tensor) -> torch.Tensor:
        return (y @ self.entries.conj()).reshape(-1, *self.size)


@dataclass(frozen=True, kw_only=True)
class Landweber(IterativeMethod):
    """x <- x + A^H (y - A x) / 2."""

    def _steps(self, problem: Problem, step: Step) -> Iterator[Step]:
        while True:
            step = Step(problem, self._project(step.x + problem.adjoint(step.residual) / 2))
            yield step


def problem(rows: int = 9, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, Dense]:
    matrix = randn(rows, 6, dtype=dtype, seed=1)
    matrix = matrix / torch.linalg.matrix_norm(matrix, 2)
    return randn(3, rows, dtype=dtype, seed=2), Dense(matrix, (1, 2, 3))


def test_states_are_the_start_and_each_step() -> None:
    y, a = problem()
    method = Landweber(iterations=4)
    states = list(method.iterate(y, a))
    assert [s.iteration for s in states] == [0, 1, 2, 3, 4]
    x = torch.zeros(3, 6, dtype=torch.float64)
    for state in states:
        torch.testing.assert_close(state.x.flatten(1), x)
        r = y - x @ a.entries.T
        torch.testing.assert_close(state.residual, r.norm(dim=1))
        torch.testing.assert_close(state.objective, r.square().sum(1) / 2)
        assert state.active.tolist() == [True] * 3
        x = x + r @ a.entries / 2
    assert all(b.elapsed >= a.elapsed > 0 for a, b in pairwise(states))
    assert torch.equal(method(y, a), states[-1].x)
    torch.testing.assert_close(method.objective(states[2].x, y, a), states[2].objective)


def test_a_residual_is_computed_once_and_the_last_one_only_if_it_is_looked_at() -> None:
    y, a = problem()
    Landweber(iterations=5)(y, a)
    assert a.uses == 4  # the start's is known, the last one is not needed
    a.uses = 0
    Landweber(iterations=5)(y, a, callback=lambda state: print(state.residual, state.objective))
    assert a.uses == 5


def test_callback_sees_the_states_and_may_end() -> None:
    y, a = problem()
    seen: list[State] = []

    def callback(state: State) -> bool:
        seen.append(state)
        return state.iteration == 2

    x = Landweber(iterations=10)(y, a, callback=callback)
    assert [s.iteration for s in seen] == [0, 1, 2]
    assert torch.equal(x, seen[-1].x)
    first = list(islice(Landweber().iterate(y, a), 3))
    assert torch.equal(first[-1].x, x)


@pytest.mark.parametrize("rule", ["change", "residual", "noise"])
def test_items_stop_by_themselves(rule: str) -> None:
    y, a = problem(6)
    y = a(randn(3, 1, 2, 3, seed=5)) * torch.tensor([[1.0], [1.0], [1e-3]], dtype=torch.float64)
    stop = {"change": Stop(change=0.01), "residual": Stop(residual=0.3), "noise": Stop(noise=0.05, tau=1.1)}[rule]
    method = Landweber(iterations=500, stop=stop)
    states = list(method.iterate(y, a))
    last = [next(s.iteration for s in states if not s.active[item]) for item in range(3)]
    assert len(set(last)) > 1
    assert len(states) == max(last) + 1 < 500
    free = list(Landweber(iterations=500).iterate(y, a))
    for item, k in enumerate(last):
        alone = list(method.iterate(y[item : item + 1], a))
        assert len(alone) == k + 1
        torch.testing.assert_close(states[-1].x[item], alone[-1].x[0])
        torch.testing.assert_close(states[-1].residual[item], alone[-1].residual[0])
        torch.testing.assert_close(states[-1].x[item], free[k].x[item])
        x, before, r = free[k].x[item], free[max(k - 1, 0)].x[item], free[k].residual[item]
        earlier = free[max(k - 1, 0)].residual[item]
        if rule == "change":
            assert (x - before).norm() <= 0.01 * x.norm()
        elif rule == "residual":
            assert r <= 0.3 * y[item].norm() < earlier
        else:
            assert r <= 1.1 * 0.05 * 6**0.5
            assert k == 0 or earlier > 1.1 * 0.05 * 6**0.5


def test_discrepancy_counts_what_was_measured() -> None:
    y, a = problem(dtype=torch.complex128)
    y[0, 3:] = 0
    assert Problem(y, a).measured.tolist() == [6, 18, 18]
    weights = torch.ones(9, dtype=torch.float64)
    weights[0] = 0
    assert Problem(y, a, weights=weights).measured.tolist() == [4, 16, 16]


def test_zeros_are_at_rest_from_the_start() -> None:
    y, a = problem()
    y[1] = 0
    states = list(Landweber(iterations=50, stop=Stop(residual=1e-2)).iterate(y, a))
    assert states[0].active.tolist() == [True, False, True]
    assert (states[-1].x[1] == 0).all()


def test_refused_steps_do_not_count_as_still() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Hesitant(IterativeMethod):
        def _steps(self, problem: Problem, step: Step) -> Iterator[Step]:
            x = step.x + 1
            yield Step(problem, x)
            yield Step(problem, x, refused=torch.tensor([True, False, True]))
            while True:
                yield Step(problem, x)

    y, a = problem()
    states = list(Hesitant(stop=Stop(change=0.1)).iterate(y, a))
    assert [s.active.tolist() for s in states[2:]] == [[True, False, True], [False] * 3]


def test_first_image() -> None:
    y, a = problem()
    x0 = randn(3, 1, 2, 3, seed=3)
    assert torch.equal(next(Landweber().iterate(y, a, x0=x0)).x, x0)
    start = Landweber(iterations=3)
    warm = Landweber(iterations=2, start=start)
    torch.testing.assert_close(warm(y, a), Landweber(iterations=5)(y, a))
    assert torch.equal(next(warm.iterate(y, a, x0=x0)).x, x0)
    assert (next(Landweber(constraint="nonnegative").iterate(y, a, x0=x0)).x == x0.clamp(min=0)).all()
    with pytest.raises(UsageError, match="first image must have shape"):
        Landweber()(y, a, x0=x0[:1])


def test_constraints_and_output() -> None:
    y, a = problem(dtype=torch.complex128)
    assert Landweber()(y, a).dtype == torch.complex128
    assert torch.equal(Landweber(output="magnitude")(y, a), Landweber()(y, a).abs())
    real = Landweber(iterations=4000, constraint="real")(y, a).flatten(1)
    stacked = torch.cat([a.entries.real, a.entries.imag])
    expected = torch.linalg.lstsq(stacked, torch.cat([y.real, y.imag], 1).T).solution.T
    torch.testing.assert_close(real, expected)
    assert Landweber(constraint="nonnegative")(y, a).min() == 0
    assert Landweber()(y.to(torch.complex64), Dense(a.entries.to(torch.complex64), a.size)).dtype == torch.complex64


def test_half_precision_is_computed_in_single() -> None:
    y = randn(1, 1, 3, 3).half()
    assert Landweber()(y, Identity()).dtype == torch.float32


def test_gradients_are_not_kept_and_the_measurement_stays() -> None:
    y, a = problem()
    y.requires_grad_()
    before = y.detach().clone()
    for state in Landweber(iterations=2).iterate(y, a):
        assert torch.is_grad_enabled()
        assert not state.x.requires_grad
        assert not state.objective.requires_grad
    assert torch.equal(y, before)


def test_what_cannot_be_is_refused_in_a_line() -> None:
    y, a = problem()
    broken = y.clone()
    broken[0, 1] = torch.nan
    broken[2, 0] = torch.inf
    cases = [
        ("2 values that are not finite", lambda: Landweber()(broken, a)),
        ("takes no weights", lambda: Landweber()(y, a, weights=torch.ones(9))),
        ("do not|does not fit", lambda: Problem(y, a, weights=torch.ones(4))),
        ("not negative", lambda: Problem(y, a, weights=-torch.ones(9))),
        ("linear", lambda: Landweber()(y, recon.build("operator", "gaussian_noise", sigma=0.1) @ Square())),
    ]
    for message, call in cases:
        with pytest.raises(UsageError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)


class Square(Operator):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x**2


def test_rules_in_configs() -> None:
    assert validate(Landweber, {"stop": {"change": 1e-3, "tau": 1.2}}, "it")["stop"] == Stop(change=1e-3, tau=1.2)
    for wrong in ({"chnage": 1e-3}, {"change": 0}, {"noise": -1.0}):
        with pytest.raises(recon.errors.ParameterError, match="stop"):
            validate(Landweber, {"stop": wrong}, "it")
    method = Landweber(stop=Stop(noise=0.1))
    assert pickle.loads(pickle.dumps(method)) == method != replace(method, iterations=3)


# Differences and total variation


def test_proximal_map_with_a_weight_for_each_pixel() -> None:
    """Checked by the optimality condition: (v - x) / weight is a subgradient of TV at x, and its dual certifies it."""
    v = randn(2, 1, 6, 5)
    weight = 0.2 + torch.rand(1, 1, 6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    dual = torch.zeros(2, *v.shape, dtype=torch.float64)
    x, dual = total_variation_proximal(v, weight, dual, project=lambda x: x, iterations=4000)
    torch.testing.assert_close(x, v - weight * differences_adjoint(dual))
    assert dual.square().sum(0).max() <= 1 + 1e-12
    inner = (dual * differences(x)).sum((0, 2, 3, 4))
    torch.testing.assert_close(inner, total_variation(x), rtol=1e-5, atol=1e-8)


def test_squared_norm_is_that_of_each_item() -> None:
    _, a = problem(dtype=torch.complex128)
    scales = torch.tensor([1.0, 3.0], dtype=torch.float64).reshape(2, 1, 1, 1)
    like = torch.zeros(2, 1, 2, 3, dtype=torch.complex128)
    value = squared_norm(lambda x: scales * a.normal(x), like, 300)
    torch.testing.assert_close(value, scales.flatten())
