from __future__ import annotations

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from recon.errors import UsageError
from recon.interfaces import CoilOperator
from recon_plugins.fourier import Crop, Fourier, MulticoilFourier, folded


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.complex128, generator=torch.Generator().manual_seed(seed))


def dft(n: int) -> torch.Tensor:
    """The centred orthonormal DFT, written out from its formula."""
    k = torch.arange(n, dtype=torch.float64) - n // 2
    return torch.exp(-2j * torch.pi * k[:, None] * k / n) / n**0.5


def sense(x: torch.Tensor, maps: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The model by its formula: x (batch, set, H, W), maps (batch, set, coil, H, W)."""
    height, width = x.shape[-2:]
    y = torch.einsum("yi,xj,bscij,bsij->bcyx", dft(height), dft(width), maps, x)
    return torch.where(mask, y, 0)


@pytest.mark.parametrize("sets", [1, 2])
@pytest.mark.parametrize("shape", [(9,), (8, 9), (8, 1), (2, 1, 8, 9), (2, 1, 1, 9)])
def test_equals_its_formula(sets: int, shape: tuple[int, ...]) -> None:
    maps, x = randn(2, sets, 3, 8, 9), randn(2, sets, 8, 9, seed=1)
    mask = randn(*shape, seed=2).real > -0.3
    operator = MulticoilFourier(maps=maps, mask=mask)
    y = operator(x)
    torch.testing.assert_close(y, sense(x, maps, mask), rtol=0, atol=1e-13)
    v = randn(2, 3, 8, 9, seed=3)
    gap = torch.vdot(y.flatten(), v.flatten()) - torch.vdot(x.flatten(), operator.adjoint(v).flatten())
    assert abs(gap) < 1e-12
    torch.testing.assert_close(operator.normal(x), operator.adjoint(y), rtol=0, atol=1e-13)
    assert (operator.input_shape, operator.output_shape) == ((sets, 8, 9), (3, 8, 9))


def test_maps_join_a_coil_wise_operator() -> None:
    maps, mask = randn(3, 8, 9), randn(8, 9, seed=2).real > 0
    for fourier, given in [
        (Fourier(mask=mask), maps),
        (Fourier(mask={"acceleration": 2, "seed": 3}, resample=True), maps[None]),
        (Fourier(), maps[None, None]),
    ]:
        assert isinstance(fourier, CoilOperator)
        operator = fourier.with_maps(given)
        x = randn(2, 1, 8, 9, seed=1)
        torch.testing.assert_close(operator(x), fourier(maps * x))
        assert operator.resample == fourier.resample
        # Whoever brings its maps is used as it is.
        assert not isinstance(operator, CoilOperator)


@pytest.mark.parametrize("shape", [(3, 1, 6), (3, 5, 6), (6,), (5, 6), (2, 1, 3, 5, 6), (3, 1, 1)])
def test_frames_are_measured_one_by_one(shape: tuple[int, ...]) -> None:
    x, maps, mask = randn(2, 1, 3, 5, 6), randn(4, 5, 6, seed=1), randn(*shape, seed=2).real > 0
    coilwise, operator = Fourier(mask=mask, time=True), MulticoilFourier(maps=maps, mask=mask, time=True)
    y = operator(x)
    full = mask.expand(2, 1, 3, 5, 6)
    for t in range(3):
        frame = MulticoilFourier(maps=maps, mask=full[:, :, t])
        torch.testing.assert_close(y[:, :, t], frame(x[:, :, t]), rtol=0, atol=1e-13)
        torch.testing.assert_close(operator.adjoint(y)[:, :, t], frame.adjoint(y[:, :, t]), rtol=0, atol=1e-13)
        torch.testing.assert_close(coilwise(x)[:, 0, t], Fourier(mask=full[:, :, t])(x[:, :, t])[:, 0])
    for a in (operator, coilwise):
        torch.testing.assert_close(a.normal(x), a.adjoint(a(x)), rtol=0, atol=1e-13)
    several = MulticoilFourier(maps=randn(2, 2, 4, 5, 6), mask=mask, time=True)
    pair = randn(2, 2, 3, 5, 6)
    torch.testing.assert_close(several.normal(pair), several.adjoint(several(pair)), rtol=0, atol=1e-13)


def test_sets_of_maps_must_fit_the_images() -> None:
    operator = MulticoilFourier(maps=randn(2, 2, 3, 8, 9))
    with pytest.raises(UsageError, match="2 channels, one a set of maps, not 1"):
        operator(randn(2, 1, 8, 9))
    with pytest.raises(UsageError, match="do not fit coil maps"):
        operator(randn(3, 2, 8, 9))
    with pytest.raises(UsageError, match=r"batch, set, coil"):
        MulticoilFourier(maps=randn(1, 2, 2, 3, 8, 9))
    with pytest.raises(UsageError, match=r"batch, channel, time"):
        Fourier(time=True)(randn(1, 1, 8, 9))
    with pytest.raises(UsageError, match=r"dimensions=2 takes"):
        Fourier()(randn(1, 1, 2, 8, 9))


@pytest.mark.parametrize("room", [1, 100, 10**6])
@pytest.mark.parametrize("mask", [None, "columns", "rows", "plane", "items", "empty axes"])
@pytest.mark.parametrize("dimensions", [2, 3])
def test_a_few_coils_at_a_time_change_nothing(
    room: int, mask: str | None, dimensions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folded, "IN_CACHE", room)
    size = (3, 5, 6)[-dimensions:]
    shape = {"columns": (6,), "rows": (5, 1), "plane": (5, 6), "items": (3, 1, *size), "empty axes": (1, 1), None: ()}
    given = None if mask is None else randn(*shape[mask], seed=2).real > -0.3
    for maps in (randn(4, *size), randn(3, 4, *size), randn(1, 2, 4, *size), randn(3, 2, 4, *size)):
        operator = MulticoilFourier(maps=maps, mask=given, dimensions=dimensions)
        x = randn(3, operator.input_shape[0], *size, seed=1)
        y = randn(3, 4, *size, seed=3)
        followed = MulticoilFourier(maps=maps.clone().requires_grad_(), mask=given, dimensions=dimensions)
        for name, data in (("forward", x), ("adjoint", y), ("normal", x)):
            result = getattr(operator, name)(data)
            torch.testing.assert_close(result, getattr(followed, name)(data).detach(), rtol=0, atol=1e-13)
            strided = data.transpose(-1, -2).contiguous().transpose(-1, -2)
            torch.testing.assert_close(getattr(operator, name)(strided), result, rtol=0, atol=1e-13)


def test_what_was_not_measured_is_ignored_and_zero() -> None:
    mask = randn(8, 9).real > 0
    operator = MulticoilFourier(maps=randn(3, 8, 9), mask=mask)
    y = randn(2, 3, 8, 9)
    noisy = torch.where(mask, y, float("nan"))
    torch.testing.assert_close(operator.adjoint(noisy), operator.adjoint(y), rtol=0, atol=0)
    measured = operator(-operator.adjoint(y))
    missing = torch.view_as_real(measured)[..., ~mask, :]
    assert not missing.any() and not missing.signbit().any()
    data = y.requires_grad_()
    operator.adjoint(data).abs().sum().backward()
    missing = torch.view_as_real(data.grad)[..., ~mask, :]
    assert not missing.any() and not missing.signbit().any()


def test_transforms_stay_in_single_precision_under_autocast() -> None:
    maps, x = randn(4, 16, 15).to(torch.complex64), randn(1, 1, 16, 15).to(torch.complex64)
    for operator in (MulticoilFourier(maps=maps, mask={"acceleration": 2}), Fourier(mask={"acceleration": 2})):
        y = operator(x)
        expected = [y, operator.adjoint(y), operator.normal(x), operator.pinv(y, iterations=5)]
        for grad in (False, True):
            with torch.autocast("cpu", torch.bfloat16), torch.set_grad_enabled(grad):
                image, data = x.clone().requires_grad_(grad), y.clone().requires_grad_(grad)
                found = [operator(image), operator.adjoint(data), operator.normal(image)]
                found.append(operator.pinv(data, iterations=5))
            for a, b in zip(found, expected, strict=True):
                assert a.dtype == torch.complex64
                torch.testing.assert_close(a.detach(), b, rtol=1e-5, atol=1e-5)
        half = operator(torch.ones(1, 1, 16, 15, dtype=torch.bfloat16))
        assert half.dtype == torch.complex64


@pytest.mark.parametrize("sets", [1, 2])
def test_least_squares_recovers_what_determines_itself(sets: int) -> None:
    maps = randn(3, sets, 6, 12, 10)
    mask = torch.zeros(10, dtype=torch.bool)
    mask[::2] = True
    operator = MulticoilFourier(maps=maps, mask=mask)
    x = randn(3, sets, 12, 10, seed=1)
    y = operator(x)
    found = operator.pinv(y, iterations=200, tolerance=1e-12)
    torch.testing.assert_close(found, x, rtol=1e-7, atol=1e-7)
    item = 1
    one = MulticoilFourier(maps=maps[item : item + 1], mask=mask)
    dense = one.matrix()
    solved = torch.linalg.lstsq(dense, y[item].reshape(-1, 1)).solution
    torch.testing.assert_close(found[item].reshape(-1, 1), solved, rtol=1e-7, atol=1e-7)


def test_gradients_of_the_unrolled_solver() -> None:
    mask = torch.tensor([1, 0, 1, 1])

    def solve(y: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
        return MulticoilFourier(maps=maps, mask=mask).pinv(y, iterations=2, tolerance=0, damping=0.1)

    arguments = (randn(1, 2, 3, 4).requires_grad_(), randn(2, 3, 4, seed=1).requires_grad_())
    assert torch.autograd.gradcheck(solve, arguments)


class Largest(TorchDispatchMode):
    """Records the most elements of any tensor that is made, not of views."""

    def __init__(self) -> None:
        super().__init__()
        self.points = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor) and func._schema.returns[0].alias_info is None:
            self.points = max(self.points, result.numel())
        return result


def test_scratch_memory_is_that_of_a_few_coils(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folded, "IN_CACHE", 256 // torch.get_num_threads())
    operator = MulticoilFourier(maps=randn(32, 16, 16), mask={"acceleration": 4})
    x, y = randn(2, 1, 16, 16), randn(2, 32, 16, 16)
    for call in (lambda: operator.normal(x), lambda: operator.adjoint(y)):
        with Largest() as largest:
            call()
        assert largest.points == x.numel()


def test_what_inference_left_behind_serves_training() -> None:
    operator = MulticoilFourier(maps={"coils": 3}, mask={"acceleration": 2, "seed": "only here"})
    x = randn(1, 1, 13, 11)
    with torch.inference_mode():
        inferred = operator(x), operator.adjoint(operator(x)), operator.normal(x)
    followed = x.clone().requires_grad_()
    trained = operator(followed), operator.adjoint(operator(followed)), operator.normal(followed)
    for a, b in zip(inferred, trained, strict=True):
        torch.testing.assert_close(a, b.detach(), rtol=0, atol=1e-13)
        b.abs().sum().backward()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch, on loading its compiler
def test_transforms_of_functions_go_through() -> None:
    operator = MulticoilFourier(maps=randn(3, 5, 6), mask=[1, 0, 1, 1, 0, 1])
    x, v = randn(4, 1, 1, 5, 6), randn(4, 1, 1, 5, 6, seed=1)
    for call in (operator, operator.normal):
        rows = torch.stack([call(item) for item in x])
        torch.testing.assert_close(torch.func.vmap(call)(x), rows)
        value, tangent = torch.func.jvp(call, (x[0],), (v[0],))
        torch.testing.assert_close(value, rows[0])
        torch.testing.assert_close(tangent, call(v[0]))
        compiled = torch.compile(call, backend="eager", fullgraph=True)
        torch.testing.assert_close(compiled(x[0]), rows[0])


@pytest.mark.parametrize(("size", "part"), [((9, 8), (5, 6)), ((6, 7), (6, 3)), ((4, 7, 8), (1, 7, 3))])
def test_crop_keeps_the_centre(size: tuple[int, ...], part: tuple[int, ...]) -> None:
    operator = Crop(size=size, part=part)
    x = randn(2, 3, *size)
    y = operator(x)
    middle = tuple(slice((n - m) // 2, (n - m) // 2 + m) for n, m in zip(size, part, strict=True))
    assert torch.equal(y, x[(..., *middle)])
    back = operator.adjoint(y)
    assert torch.equal(back[(..., *middle)], y)
    assert torch.linalg.vector_norm(back) == torch.linalg.vector_norm(y)
    assert operator.norm() == 1
    with pytest.raises(UsageError, match="cannot be taken"):
        Crop(size=size, part=(99, *part[1:]))
    with pytest.raises(UsageError, match="takes a tensor"):
        operator(x[..., 1:])
