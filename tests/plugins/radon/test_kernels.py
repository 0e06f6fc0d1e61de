"""The compiled kernels against the sparse reference, and where they have to run: workers, threads, fresh processes."""

from __future__ import annotations

import math
import os
import pickle
import subprocess
import sys
import threading

import pytest
import torch

pytest.importorskip("numba")

from recon.errors import UsageError
from recon_plugins.radon import FanBeamRadon, Radon
from recon_plugins.radon.lanes import LanesProjector, _blocks
from recon_plugins.radon.machine import has_feature
from recon_plugins.radon.scratch import scratch
from recon_plugins.radon.sparse import SparseProjector
from recon_plugins.radon.symmetry import Turn, orbit_choices
from recon_plugins.radon.transpose import transpose
from recon_plugins.radon.turned import add_back, show, shown

FAN = {"source_distance": 60.0, "detector_distance": 40.0}
CASES = [
    Radon(size=(24, 24), angles=12),  # eight turns
    Radon(size=(25, 25), angles=10, bins=20),
    Radon(size=(33, 20), angles=13, pixel=0.7, bin_size=0.9),
    Radon(size=(16, 16), angles=8, bin_size=2.5, offset=0.4),
    Radon(size=(17, 17), angles=[0.1, 2.0, 3.3, 0.1]),
    Radon(size=(1, 40), angles=7, bin_size=0.3),
    FanBeamRadon(size=(24, 24), angles=16, **FAN),
    FanBeamRadon(size=(19, 30), angles=9, **FAN, detector="curved"),
    FanBeamRadon(size=(18, 18), angles=[0.3, 1.0], **FAN, offset=1.0, rays_per_bin=3),
]
cases = pytest.mark.parametrize("radon", CASES, ids=[f"{type(case).__name__} {case.size}" for case in CASES])


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(torch.linalg.vector_norm(a.double() - b) / torch.linalg.vector_norm(b))


@cases
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 4e-7), (torch.float64, 1e-12)])
def test_equal_to_the_sparse_reference_in_double_precision(radon: Radon, dtype: torch.dtype, tolerance: float) -> None:
    reference = radon.with_(backend="sparse")
    assert isinstance(radon._projector(dtype, torch.device("cpu")), LanesProjector)
    for batch in (1, 2, 3, 5, 8, 13, 16, 17, 33):
        x, y = randn(batch, 1, *radon.size).to(dtype), randn(batch, 1, *radon.sinogram_size).to(dtype)
        assert relative(radon(x), reference(x.double())) < tolerance
        assert relative(radon.adjoint(y), reference.adjoint(y.double())) < tolerance


@cases
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-7), (torch.float64, 1e-15)])
def test_adjoint_is_matched(radon: Radon, dtype: torch.dtype, tolerance: float) -> None:
    for batch, channels in ((1, 1), (2, 3), (5, 1), (16, 1), (19, 1)):
        x = randn(batch, channels, *radon.size).to(dtype)
        y = randn(batch, channels, *radon.sinogram_size, seed=1).to(dtype)
        ax, aty = radon(x).double(), radon.adjoint(y).double()
        gap = abs((ax * y).sum() - (x * aty).sum())
        assert gap <= tolerance * torch.linalg.vector_norm(ax) * torch.linalg.vector_norm(y)


def test_turns_are_found_where_they_are() -> None:
    def groups(radon: Radon) -> list[int]:
        return [len(found.turns) for found in orbit_choices(radon.geometry, radon.grid)]

    expected = [[8, 4, 2, 1], [8, 4, 2, 1], [4, 2, 1], [1], [1], [4, 2, 1], [8, 4, 2, 1], [2, 1]]
    assert [groups(case) for case in CASES[:8]] == expected
    # A full turn with the detector off its axis: quarter turns, but no mirror.
    shifted = Radon(size=(16, 16), angles=[k * math.pi / 4 for k in range(8)], offset=0.4)
    assert groups(shifted) == [4, 2, 1]
    # Turns of an image in the lanes: about an eighth of the rays is traced.
    radon = Radon(size=(64, 64), angles=60)
    found = orbit_choices(radon.geometry, radon.grid)[0]
    assert len(found.traced) / len(found.place) < 0.14


def test_backward_is_the_adjoint_and_twice() -> None:
    radon = CASES[0]
    x, y = randn(2, 1, *radon.size).requires_grad_(), randn(2, 1, *radon.sinogram_size)
    (gradient,) = torch.autograd.grad((radon(x) ** 2 * y).sum() / 2, x, create_graph=True)
    assert torch.equal(gradient, radon.adjoint(radon(x) * y))
    v = randn(2, 1, *radon.size, seed=3)
    (second,) = torch.autograd.grad((gradient * v).sum(), x)
    torch.testing.assert_close(second, radon.adjoint(radon(v) * y))


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_under_torch_compile(backend: str) -> None:
    torch._dynamo.reset()
    radon = Radon(size=(12, 11), angles=7)
    x = randn(2, 1, 12, 11).requires_grad_()
    compiled = torch.compile(lambda x: (radon(x) ** 2).sum(), backend=backend, fullgraph=True)
    (gradient,) = torch.autograd.grad(compiled(x), x)
    torch.testing.assert_close(gradient, 2 * radon.adjoint(radon(x)))
    torch._dynamo.reset()


def test_inputs_of_any_strides_and_empty_batches() -> None:
    radon = CASES[2]
    x = randn(3, 2, 20, 33).transpose(-1, -2)
    assert torch.equal(radon(x), radon(x.contiguous()))
    assert radon(x[:0]).shape == (0, 2, *radon.sinogram_size)
    assert radon.adjoint(radon(x[:0])).shape == (0, 2, 33, 20)
    z = torch.complex(randn(1, 1, 33, 20), randn(1, 1, 33, 20, seed=1))
    torch.testing.assert_close(radon(z), torch.complex(radon(z.real), radon(z.imag)))


def test_nothing_of_the_kernels_goes_into_pickles() -> None:
    radon = Radon(size=(64, 64), angles=30)
    x = randn(1, 1, 64, 64)
    y = radon(x)
    data = pickle.dumps(radon)
    assert len(data) < 10_000
    assert torch.equal(pickle.loads(data)(x), y)


def test_the_result_does_not_depend_on_threads() -> None:
    radon = Radon(size=(70, 61), angles=90)
    x, threads = randn(5, 1, 70, 61), torch.get_num_threads()
    y = radon(x)
    back = radon.adjoint(y)
    try:
        torch.set_num_threads(3)
        assert torch.equal(radon(x), y)
        assert torch.equal(radon.adjoint(y), back)
    finally:
        torch.set_num_threads(threads)


def test_errors_of_tasks_reach_the_caller() -> None:
    from recon_plugins.radon.pool import run_all

    done, threads = [], torch.get_num_threads()
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            run_all([])
            run_all(lambda i=i: done.append(i) for i in range(20))
            assert sorted(done) == list(range(20))
            done.clear()
            with pytest.raises(ZeroDivisionError):
                run_all([lambda: 1 / 0] * 5)
    finally:
        torch.set_num_threads(threads)


def test_two_callers_at_once() -> None:
    radon = Radon(size=(40, 40), angles=60)
    inputs = [randn(3, 1, 40, 40, seed=i) for i in range(4)]
    expected = [radon(x) for x in inputs]
    fresh, results, threads = radon.with_(), [None] * 4, torch.get_num_threads()

    def work(i: int) -> None:
        for _ in range(5):
            results[i] = fresh(inputs[i])

    try:
        torch.set_num_threads(2)
        workers = [threading.Thread(target=work, args=(i,)) for i in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for a, b in zip(results, expected, strict=True))


class Sinograms(torch.utils.data.Dataset):
    def __init__(self, radon: Radon) -> None:
        self.radon = radon

    def __len__(self) -> int:
        return 6

    def __getitem__(self, i: int) -> torch.Tensor:
        torch.set_num_threads(2)
        return self.radon(randn(1, 1, 24, 24, seed=i))[0]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_forked_workers_after_use_in_the_parent() -> None:
    data, threads = Sinograms(CASES[0]), torch.get_num_threads()
    try:
        expected = torch.stack([data[i] for i in range(6)])  # the parent's pool has threads now
        loader = torch.utils.data.DataLoader(
            data, batch_size=3, num_workers=2, multiprocessing_context="fork", timeout=60
        )
        assert torch.equal(torch.cat(list(loader)), expected)
    finally:
        torch.set_num_threads(threads)


def test_the_compiler_is_imported_at_first_use_only_and_numba_never() -> None:
    code = (
        "import sys; from recon_plugins.radon import Radon; import torch; r = Radon(size=(4, 4), angles=3);"
        "r.with_(backend='sparse')(torch.zeros(1, 1, 4, 4)); assert 'llvmlite' not in sys.modules;"
        "r(torch.zeros(1, 1, 4, 4)); assert 'llvmlite' in sys.modules; assert 'numba' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_numba_the_sparse_matrices_take_over(monkeypatch: pytest.MonkeyPatch) -> None:
    x = randn(2, 1, 24, 24)
    y = CASES[0](x)
    monkeypatch.setattr("recon_plugins.radon.backends._has_numba", lambda: False)
    operator = CASES[0].with_()
    torch.testing.assert_close(operator(x), y, rtol=1e-4, atol=1e-4)
    assert isinstance(operator._projector(x.dtype, x.device), SparseProjector)
    with pytest.raises(UsageError, match="pip install"):
        operator.with_(backend="numba")


def test_without_avx2_single_images_go_through_lanes(monkeypatch: pytest.MonkeyPatch) -> None:
    from recon_plugins.radon import bundles

    radon, x = CASES[3], randn(1, 1, 16, 16)
    y = radon(x)
    monkeypatch.setattr(bundles, "has_feature", lambda name: False)
    plain = radon.with_()
    torch.testing.assert_close(plain(x), y, rtol=1e-5, atol=1e-5)
    assert not plain._projector(torch.float32, torch.device("cpu"))._bundles.fits


def test_bundles_are_taken_for_single_images_where_rays_lie_close() -> None:
    def taken(radon: Radon, batch: int) -> list[str]:
        projector = radon._projector(torch.float32, torch.device("cpu"))
        return [type(plan).__name__ for _, plan in projector._split(batch, bundles=True)]

    close = Radon(size=(40, 40), angles=[0.1, 0.5, 1.2], offset=0.3)
    bundled = "Bundles" if has_feature("avx2") else "_Plan"
    assert taken(close, 1) == [bundled]
    assert taken(close, 3) == [bundled] * (3 if bundled == "Bundles" else 1)
    assert taken(close, 4) == ["_Plan"]
    assert taken(Radon(size=(40, 40), angles=40), 1) == ["_Plan"]  # eight turns
    # A short focal length spreads the rays beyond what a bundle may span.
    wide = FanBeamRadon(
        size=(60, 50), angles=[0.1, 0.9, 3.3], source_distance=45.0, detector_distance=0.0, bin_size=2.5, rays_per_bin=1
    )
    assert taken(wide, 1) == ["_Plan"]


@pytest.mark.parametrize("radon", [CASES[2], CASES[3], CASES[4], CASES[8]], ids=["33x20", "16x16", "17x17", "fan"])
def test_bundles_equal_the_reference(radon: Radon) -> None:
    from recon_plugins.radon.bundles import Bundles

    bundles = Bundles(radon.rays(), radon.size)
    if not bundles.fits:
        pytest.skip("needs AVX2")
    x = randn(2, *radon.size)
    y = torch.empty(2, math.prod(radon.sinogram_size))
    bundles.forward(x, y)
    expected = radon.with_(backend="sparse")(x.double()[:, None]).flatten(1)
    assert relative(y, expected) < 4e-7


@cases
@pytest.mark.parametrize("itemsize", [4, 8])
def test_no_ray_leaves_the_array(radon: Radon, itemsize: int) -> None:
    """What the tables say of each ray's first and last line, in exact integers: the two cells lie within the line."""
    from recon_plugins.radon import kernels
    from recon_plugins.radon.lanes import _fixed_point

    rays = radon.rays()
    for along_rows, (lines, cells) in ((True, radon.size), (False, radon.size[::-1])):
        mask = rays.along_rows == along_rows
        bits = kernels.fraction(itemsize, sum(radon.size))
        columns = (rays.alpha[mask], rays.gamma[mask], rays.weight[mask], torch.arange(int(mask.sum())))
        alpha, gamma, _, first, stop, _ = _fixed_point(*columns, lines, cells, bits)
        for a, g, low, high in zip(alpha.tolist(), gamma.tolist(), first.tolist(), stop.tolist(), strict=True):
            assert 0 <= low <= lines
            assert high <= lines
            for line in (low, high - 1) if low < high else ():
                assert 0 <= (a + g * line) >> bits <= cells
            outside = [line for line in (low - 1, high) if 0 <= line < lines and low < high]
            assert all(not 0 <= (a + g * line) >> bits <= cells for line in outside)


def test_scratch_memory_is_one_users_at_a_time() -> None:
    with scratch(3, 4, dtype=torch.float32, zero=True) as a, scratch(3, 4, dtype=torch.float32) as b:
        b.fill_(7)
        assert not a.any()
    with scratch(2, 5, dtype=torch.float64, zero=True) as c:
        assert c.shape == (2, 5)
        assert not c.any()
    with torch.inference_mode(), scratch(5, dtype=torch.float32) as d:
        d.fill_(1)
    with scratch(5, dtype=torch.float32) as d:
        d.fill_(2)  # no tensor of inference mode is left over


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(8, 1000), (16, 77), (32, 70001), (4, 100), (24, 64), (3, 50), (8, 5), (8, 0)])
def test_transposing_moves_every_entry(shape: tuple[int, int], dtype: torch.dtype) -> None:
    a = torch.arange(math.prod(shape)).view(shape).to(dtype)
    b, c = torch.empty(shape[::-1], dtype=dtype), torch.empty(shape, dtype=dtype)
    transpose(a, b)
    assert torch.equal(b, a.T)
    transpose(b, c)
    assert torch.equal(c, a)


@pytest.mark.parametrize(("size", "lanes", "dtype"), [
    ((24, 24), 32, torch.float32), ((13, 13), 32, torch.float32), ((5, 5), 16, torch.float64),
    ((20, 20), 8, torch.float64),
])  # fmt: skip
@pytest.mark.parametrize("columns", [False, True])
def test_images_are_shown_turned_and_added_back(
    size: tuple[int, int], lanes: int, dtype: torch.dtype, columns: bool
) -> None:
    turns = tuple(Turn(quarters, mirror) for mirror in (False, True) for quarters in range(4))
    x = randn(lanes // 8, *size).to(dtype)
    image = torch.full((size[0], size[1] + 2, lanes), math.nan, dtype=dtype)
    with shown(x, turns, [columns]) as sources:
        show(sources, turns, image, columns=columns)
    for k, turn in enumerate(turns):
        expected = turn(x).mT if columns else turn(x)
        assert torch.equal(image[:, 1:-1, k * len(x) : (k + 1) * len(x)].permute(2, 0, 1), expected)
    assert not image[:, [0, -1]].any()

    back = torch.ones_like(x)
    add_back(image, turns, back, columns=columns)
    torch.testing.assert_close(back, 1 + 8 * x)


def test_lanes_left_over_hold_nothing() -> None:
    x, image = randn(3, 7, 10).contiguous(), torch.full((7, 12, 4), math.nan)
    turns = (Turn(0, mirror=False),)
    with shown(x, turns, [False]) as sources:
        show(sources, turns, image, columns=False)
    assert torch.equal(image[:, 1:-1, :3].permute(2, 0, 1), x)
    assert not image[..., 3].any()


def test_scratch_memory_begins_with_a_line_of_the_cache() -> None:
    for size in (1, 1000, 100_000_000):
        with scratch(size, dtype=torch.float32) as a:
            assert a.data_ptr() % 64 == 0


def test_threads_of_torch_are_as_before_whatever_happens() -> None:
    from recon_plugins.radon.pool import alone, run_all

    threads, seen = torch.get_num_threads(), []

    def work() -> None:
        with alone():
            seen.append(torch.get_num_threads())
            # Two threads of our own all the same: each waits until the other is there.
            barrier = threading.Barrier(2, timeout=30)
            run_all([barrier.wait, barrier.wait])
            seen.append("both")
            raise ZeroDivisionError

    try:
        torch.set_num_threads(2)
        with pytest.raises(ZeroDivisionError):
            work()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert seen == [1, "both"]


@pytest.mark.parametrize("lines", [1, 7, 33, 64, 255, 256, 512, 513, 1000])
def test_blocks_of_lines_are_all_lines_once(lines: int) -> None:
    blocks = _blocks(lines, 32)
    assert [line for begin, end in blocks for line in range(begin, end)] == list(range(lines))
    assert all(end - begin <= 32 for begin, end in blocks)
    assert lines < 256 or blocks[-1][1] - blocks[-1][0] <= 8  # the last are small
