from __future__ import annotations

import importlib
import multiprocessing
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from recon.errors import MissingDependencyError

pytest.importorskip("finufft")
from recon_plugins.nufft import NUFFT, clear_plans
from recon_plugins.nufft import plans as plans_module
from recon_plugins.nufft.plans import PlanCache, in_use, transform

SIZE = (24, 25)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """The plans made from here on."""
    plans: list[Any] = []

    class Counted(plans_module._Plan):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            plans.append(self)

    monkeypatch.setattr(plans_module, "_Plan", Counted)
    clear_plans()
    yield plans
    clear_plans()


def problem(seed: int = 0, count: int = 300) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(2, *SIZE, dtype=torch.complex64, generator=generator)
    return x, 6 * torch.rand(count, 2, generator=generator) - 3


def test_one_plan_serves_both_directions_again_and_again(made: list[Any]) -> None:
    x, points = problem()
    y = transform("samples", x, points, SIZE, 1e-4)
    for _ in range(3):
        assert torch.equal(transform("samples", x, points, SIZE, 1e-4), y)
        transform("image", y, points, SIZE, 1e-4)
    assert len(made) == 1
    transform("samples", x.to(torch.complex128), points, SIZE, 1e-4)
    transform("samples", x[:1], points, SIZE, 1e-4)
    transform("samples", x, points, SIZE, 1e-3)
    assert len(made) == 4


def test_operators_of_one_trajectory_share_nothing_wrong(made: list[Any]) -> None:
    """Storage that is freed and taken again must not bring back the plan of the trajectory before."""
    x, _ = problem()
    for seed in range(20):
        k = torch.rand(300, 2, generator=torch.Generator().manual_seed(seed)) * 10
        y = NUFFT(size=SIZE, trajectory=k)(x[None])
        clear = NUFFT(size=SIZE, trajectory=k.double().clone(), eps=1e-6)(x[None])
        assert float((y - clear).norm() / clear.norm()) < 1e-3


def test_points_changed_in_place_get_a_new_plan(made: list[Any]) -> None:
    x, points = problem()
    before = transform("samples", x, points, SIZE, 1e-4)
    points *= 0.5
    after = transform("samples", x, points, SIZE, 1e-4)
    assert len(made) == 2 and not torch.equal(before, after)
    assert torch.equal(after, transform("samples", x, points.clone(), SIZE, 1e-4))


def test_inference_tensors_are_taken() -> None:
    with torch.inference_mode():
        x, points = problem()
        y = transform("samples", x, points, SIZE, 1e-4)
    x, points = problem()
    assert torch.equal(y, transform("samples", x, points, SIZE, 1e-4))


class Held:
    def __init__(self, size: int) -> None:
        self.bytes = size


def test_the_cache_is_bounded() -> None:
    cache = PlanCache(most=3, most_bytes=100)
    for i in range(5):
        cache.put((i,), Held(1))
    assert len(cache) == 3 and cache.take((0,)) is None and cache.take((4,)) is not None
    cache.put((6,), Held(99))
    assert len(cache) == 2  # 1 + 99
    cache.put((7,), Held(500))
    assert len(cache) == 1 and cache.take((7,)) is not None


def test_threads_do_not_share_a_plan_at_work() -> None:
    x, points = problem(count=5000)
    expected = transform("samples", x, points, SIZE, 1e-4)
    wrong: list[int] = []

    def work(seed: int) -> None:
        mine, factor = x * 2**seed, 2**seed  # exact in floating point
        for _ in range(20):
            if not torch.equal(transform("samples", mine, points, SIZE, 1e-4), expected * factor):
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong and not any(thread.is_alive() for thread in threads)


def _in_a_child(queue: Any, x: Tensor, points: Tensor) -> None:
    queue.put(transform("image", transform("samples", x, points, SIZE, 1e-4), points, SIZE, 1e-4).numpy())


def test_forked_processes_work_after_their_parent_did() -> None:
    if "fork" not in multiprocessing.get_all_start_methods():
        pytest.skip("no fork here")
    x, points = problem(count=30000)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)  # OpenMP's threads, which the child does not have
        expected = transform("image", transform("samples", x, points, SIZE, 1e-4), points, SIZE, 1e-4)
    finally:
        torch.set_num_threads(threads)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_in_a_child, args=(queue, x, points))
    child.start()
    result = torch.from_numpy(queue.get(timeout=60))
    child.join(60)
    assert child.exitcode == 0
    assert float((result - expected).norm() / expected.norm()) < 1e-4  # finufft picks its grid by the threads


def test_deterministic_algorithms() -> None:
    x, points = problem(count=40000)
    y = transform("samples", x, points, SIZE, 1e-4)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(4)
        torch.use_deterministic_algorithms(True)
        first = transform("image", y, points, SIZE, 1e-4)
        assert all(torch.equal(transform("image", y, points, SIZE, 1e-4), first) for _ in range(10))
    finally:
        torch.use_deterministic_algorithms(False)
        torch.set_num_threads(threads)


def test_scale_is_applied_once_on_either_side() -> None:
    for count in (30, 3000):
        x, points = problem(count=count)
        before = x.clone()
        y = transform("samples", x, points, SIZE, 1e-4)
        torch.testing.assert_close(transform("samples", x, points, SIZE, 1e-4, 0.25), 0.25 * y, rtol=1e-5, atol=1e-4)
        back = transform("image", y, points, SIZE, 1e-4)
        torch.testing.assert_close(
            transform("image", y, points, SIZE, 1e-4, 0.25), 0.25 * back, rtol=1e-5, atol=1e-5 * float(back.abs().max())
        )
        assert torch.equal(x, before)


def test_conjugated_views_are_resolved() -> None:
    x, points = problem()
    expected = transform("samples", x.conj().resolve_conj(), points, SIZE, 1e-4)
    assert torch.equal(transform("samples", x.conj(), points, SIZE, 1e-4), expected)


def test_without_the_library_one_line_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ImportError(name)

    clear_plans()
    x, points = problem()
    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(MissingDependencyError, match=r"pip install 'recon-toolkit\[noncart\]'"):
        transform("samples", x, points, SIZE, 1e-4)


def test_doctor_says_what_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    assert in_use()["NUFFT, cpu"].startswith("finufft 2.")
    monkeypatch.setattr(plans_module, "_has", lambda name: False)
    assert "recon-toolkit[noncart]" in in_use()["NUFFT, cpu"]


@pytest.mark.cuda
def test_cuda_agrees_with_the_cpu() -> None:
    x, points = problem()
    y = transform("samples", x, points, SIZE, 1e-4)
    there = transform("samples", x.cuda(), points.cuda(), SIZE, 1e-4)
    assert there.is_cuda
    torch.testing.assert_close(there.cpu(), y, rtol=1e-3, atol=1e-3 * float(y.abs().max()))
    back = transform("image", there, points.cuda(), SIZE, 1e-4)
    gap = torch.vdot(there.flatten(), there.flatten()) - torch.vdot(x.cuda().flatten(), back.flatten())
    assert float(gap.abs()) < 1e-5 * float(there.norm() ** 2)
