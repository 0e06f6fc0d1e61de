from __future__ import annotations

import copy
import math
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

import recon
from recon.errors import ParameterError, UsageError
from recon.kspace import fft_centred

pytest.importorskip("finufft")
from recon_plugins.nufft import NUFFT
from recon_plugins.nufft import toeplitz as toeplitz_module

ORDER = 1e-10
"""Threads that share a transform add up in any order; in float64 results may differ by this much."""


def randn(*shape: int, dtype: torch.dtype = torch.complex128, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def scattered(*shape: int, size: tuple[int, ...], seed: int = 0) -> Tensor:
    """Frequencies anywhere in the range, in cycles per field of view."""
    generator = torch.Generator().manual_seed(seed)
    k = torch.rand(*shape, len(size), dtype=torch.float64, generator=generator) - 0.5
    return k * torch.tensor(size, dtype=torch.float64)


def waves(k: Tensor, size: tuple[int, ...]) -> Tensor:
    """The matrix of the transform, written out from its formula: (M, *size) in float64."""
    matrix = torch.ones(len(k), *[1] * len(size), dtype=torch.complex128)
    for d, n in enumerate(size):
        r = (torch.arange(n, dtype=torch.float64) - n // 2).reshape(-1, *[1] * (len(size) - 1 - d))
        matrix = matrix * torch.exp(-2j * math.pi * k[:, d].reshape(-1, *[1] * len(size)) * r / n)
    return matrix / math.sqrt(math.prod(size))


def off(a: Tensor, b: Tensor) -> float:
    return float(torch.linalg.vector_norm(a - b) / torch.linalg.vector_norm(b))


def grid(*size: int) -> Tensor:
    axes = [torch.arange(n, dtype=torch.float64) - n // 2 for n in size]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)


@pytest.mark.parametrize("size", [(16, 16), (17, 24), (8, 31), (6, 9, 8)])
@pytest.mark.parametrize("eps", [1e-3, 1e-6, 1e-11])
def test_direct_sum(size: tuple[int, ...], eps: float) -> None:
    k = scattered(500, size=size)
    matrix = waves(k, size).flatten(1)
    x, y = randn(2, 3, *size), randn(2, 3, 500, seed=1)
    nufft = NUFFT(size=size, trajectory=k, eps=eps)
    assert off(nufft(x), torch.einsum("mn,bcn->bcm", matrix, x.flatten(2))) <= eps
    back = torch.einsum("mn,bcm->bcn", matrix.conj(), y).reshape(x.shape)
    assert off(nufft.adjoint(y), back) <= eps


def test_direct_sum_at_a_clinical_size_in_single_precision() -> None:
    size = (320, 320)
    nufft = NUFFT(size=size, trajectory={"kind": "radial", "spokes": 50, "angles": "golden"}, eps=1e-3)
    x, y = randn(1, 2, *size, dtype=torch.complex64), randn(1, 2, 50, 640, dtype=torch.complex64, seed=1)
    some = torch.randperm(32000, generator=torch.Generator().manual_seed(0))[:60]
    matrix = waves(nufft.cycles()[some], size)
    measured = nufft(x).flatten(2)[..., some].to(torch.complex128)
    assert off(measured, torch.einsum("myx,bcyx->bcm", matrix, x.to(torch.complex128))) <= 1e-3
    back = nufft.adjoint(y)
    pixels = torch.randint(320, (60, 2), generator=torch.Generator().manual_seed(1))
    k = nufft.cycles() * (2 * math.pi / 320)
    wave = torch.exp(1j * ((pixels - 160).double() @ k.T)) / 320
    expected = torch.einsum("pm,bcm->bcp", wave, y.flatten(2).to(torch.complex128))
    assert off(back[..., pixels[:, 0], pixels[:, 1]], expected) <= 3e-3


@pytest.mark.parametrize("size", [(7, 8), (8, 9), (4, 5, 6)])
def test_full_grid_is_the_centred_transform(size: tuple[int, ...]) -> None:
    x = randn(2, 2, *size)
    nufft = NUFFT(size=size, trajectory=grid(*size), eps=1e-13)
    torch.testing.assert_close(nufft(x), fft_centred(x, len(size)), rtol=0, atol=1e-11)
    torch.testing.assert_close(nufft.adjoint(nufft(x)), x, rtol=0, atol=1e-11)


def test_axes_come_in_the_order_of_the_image() -> None:
    x = torch.zeros(1, 1, 8, 10, dtype=torch.complex128)
    x[..., 4 + 1, 5 + 2] = 1  # one below the centre, two to the right
    y = NUFFT(size=(8, 10), trajectory=[[1.0, 0.0], [0.0, 1.0], [3.0, 4.0]], eps=1e-12)(x) * math.sqrt(80)
    turns = torch.tensor([1 / 8, 2 / 10, 3 / 8 + 8 / 10], dtype=torch.float64)
    torch.testing.assert_close(y[0, 0], torch.exp(-2j * math.pi * turns), rtol=0, atol=1e-10)


@pytest.mark.parametrize("eps", [1e-2, 1e-3, 1e-6])
def test_adjoint_to_rounding_however_coarse_the_transform(eps: float) -> None:
    nufft = NUFFT(size=(96, 101), trajectory={"kind": "radial", "spokes": 40}, eps=eps)
    x, y = randn(1, 4, 96, 101, dtype=torch.complex64), randn(1, 4, 40, 202, dtype=torch.complex64, seed=1)
    ax, aty = nufft(x).to(torch.complex128), nufft.adjoint(y).to(torch.complex128)
    gap = torch.vdot(ax.flatten(), y.to(ax).flatten()) - torch.vdot(x.to(ax).flatten(), aty.flatten())
    assert float(gap.abs() / (ax.norm() * y.norm())) < 1e-7


@pytest.mark.slow  # sigpy compiles for 15 s
def test_sigpy_agrees() -> None:
    sigpy = pytest.importorskip("sigpy")
    size = (64, 60)
    k = scattered(700, size=size)
    x = randn(3, *size)
    theirs = torch.from_numpy(sigpy.nufft(x.numpy(), k.numpy(), oversamp=2, width=8))
    ours = NUFFT(size=size, trajectory=k, eps=1e-9)
    assert off(ours(x[None])[0], theirs) < 1e-6
    back = torch.from_numpy(sigpy.nufft_adjoint(theirs.numpy(), k.numpy(), x.shape, oversamp=2, width=8))
    assert off(ours.adjoint(theirs[None])[0], back) < 1e-6


@pytest.mark.parametrize("unit", ["cycles_per_pixel", "radians_per_pixel"])
def test_units(unit: str) -> None:
    size = (9, 20)
    k = scattered(3, 40, size=size)
    n = torch.tensor(size, dtype=torch.float64)
    other = k / n * (2 * math.pi if unit == "radians_per_pixel" else 1)
    x = randn(1, 1, *size)
    expected = NUFFT(size=size, trajectory=k)(x)
    made = recon.build("operator", "nufft", size=list(size), trajectory=other, unit=unit)
    torch.testing.assert_close(made(x), expected, rtol=0, atol=1e-9)
    torch.testing.assert_close(made.cycles().reshape(k.shape), k, rtol=0, atol=1e-12)


class TestMaps:
    size = (8, 9)
    maps = randn(2, 3, 4, 8, 9, seed=3)  # items, sets, coils

    def plain(self) -> NUFFT:
        return NUFFT(size=self.size, trajectory=scattered(5, 7, size=self.size), eps=1e-10)

    def test_one_set(self) -> None:
        x, maps = randn(2, 1, 8, 9), self.maps[0, 0]
        nufft = self.plain().with_maps(maps)
        assert nufft.output_shape == (4, 5, 7)
        torch.testing.assert_close(nufft(x), self.plain()(maps * x))
        y = randn(2, 4, 5, 7, seed=4)
        expected = (maps.conj() * self.plain().adjoint(y)).sum(1, keepdim=True)
        torch.testing.assert_close(nufft.adjoint(y), expected)

    def test_maps_of_each_item(self) -> None:
        x = randn(2, 1, 8, 9)
        y = self.plain().with_maps(self.maps[:, 0])(x)
        for i in range(2):
            torch.testing.assert_close(y[i : i + 1], self.plain().with_maps(self.maps[i, 0])(x[i : i + 1]))

    def test_several_sets(self) -> None:
        x = randn(2, 3, 8, 9)
        nufft = self.plain().with_maps(self.maps)
        assert nufft.input_shape == (3, 8, 9)
        torch.testing.assert_close(nufft(x), self.plain()((self.maps * x[:, :, None]).sum(1)))
        assert nufft.adjoint(nufft(x)).shape == x.shape
        torch.testing.assert_close(nufft.with_(toeplitz=True).normal(x), nufft.adjoint(nufft(x)), rtol=0, atol=1e-8)

    def test_on_the_full_grid_this_is_multicoil_fourier(self) -> None:
        maps, x = self.maps[0, 0], randn(2, 1, 8, 9)
        cartesian = recon.build("operator", "multicoil_fourier", maps=maps)
        nufft = NUFFT(size=self.size, trajectory=grid(8, 9), maps=maps, eps=1e-12)
        torch.testing.assert_close(nufft(x), cartesian(x), rtol=0, atol=1e-10)

    def test_simulated_maps_are_those_of_multicoil_fourier(self) -> None:
        cartesian = recon.build("operator", "multicoil_fourier", maps={"coils": 5})
        nufft = recon.build("operator", "nufft", size=[8, 9], trajectory=grid(8, 9), maps={"coils": 5}, eps=1e-12)
        x = randn(1, 1, 8, 9)
        torch.testing.assert_close(nufft(x), cartesian(x), rtol=0, atol=1e-10)

    def test_data_bring_them(self) -> None:
        x = randn(2, 1, 8, 9)
        nufft = self.plain().for_items({"maps": self.maps[:, 0], "target": x})
        torch.testing.assert_close(nufft(x), self.plain().with_maps(self.maps[:, 0])(x))

    def test_keep_their_imaginary_part_when_the_module_is_cast(self) -> None:
        nufft = self.plain().with_maps(self.maps[0, 0]).to(torch.float32)
        assert nufft.maps is not None and nufft.maps.dtype == torch.complex64
        assert float(nufft.maps.imag.abs().max()) > 1

    def test_of_the_wrong_size(self) -> None:
        with pytest.raises(UsageError, match=r"maps of shape \(4, 9, 8\) do not fit"):
            self.plain().with_maps(randn(4, 9, 8))
        with pytest.raises(UsageError, match="coil maps of 2 items do not fit a batch of 3"):
            self.plain().with_maps(self.maps[:, 0])(randn(3, 1, 8, 9))
        with pytest.raises(UsageError, match=r"takes a tensor \(batch, 1, 8, 9\)"):
            self.plain().with_maps(self.maps[0, 0])(randn(3, 2, 8, 9))


class TestGradients:
    size = (5, 6)
    k = scattered(11, size=size)

    def forward(self, x: Tensor, k: Tensor) -> Tensor:
        return NUFFT(size=self.size, trajectory=k, eps=1e-13, toeplitz=False)(x)

    def adjoint(self, y: Tensor, k: Tensor) -> Tensor:
        return NUFFT(size=self.size, trajectory=k, eps=1e-13).adjoint(y)

    def normal(self, x: Tensor, k: Tensor) -> Tensor:
        return NUFFT(size=self.size, trajectory=k, eps=1e-13, toeplitz=True).normal(x)

    @pytest.mark.parametrize("name", ["forward", "adjoint", "normal"])
    def test_image_and_trajectory(self, name: str) -> None:
        data = randn(2, 2, 11) if name == "adjoint" else randn(2, 2, *self.size)
        points = (data.requires_grad_(), self.k.clone().requires_grad_())
        assert torch.autograd.gradcheck(getattr(self, name), points, fast_mode=True, nondet_tol=ORDER)

    def test_second_derivatives(self) -> None:
        points = (randn(1, 1, *self.size).requires_grad_(), self.k[:4].clone().requires_grad_())
        assert torch.autograd.gradgradcheck(self.forward, points, fast_mode=True, nondet_tol=ORDER)
        assert torch.autograd.gradgradcheck(
            self.adjoint, (randn(1, 1, 4).requires_grad_(), points[1]), fast_mode=True, nondet_tol=ORDER
        )

    def test_in_space(self) -> None:
        size = (3, 4, 5)
        points = (randn(1, 1, *size).requires_grad_(), scattered(6, size=size).requires_grad_())
        function = lambda x, k: NUFFT(size=size, trajectory=k, eps=1e-13)(x)  # noqa: E731
        assert torch.autograd.gradcheck(function, points, fast_mode=True, nondet_tol=ORDER)

    @pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # torch's own, at the first use
    def test_forward_mode(self) -> None:
        points = (randn(1, 2, *self.size).requires_grad_(), self.k.clone().requires_grad_())
        for function, data in ((self.forward, points[0]), (self.adjoint, randn(1, 2, 11).requires_grad_())):
            assert torch.autograd.gradcheck(
                function,
                (data, points[1]),
                check_forward_ad=True,
                check_backward_ad=False,
                fast_mode=True,
                nondet_tol=ORDER,
            )

    def test_maps(self) -> None:
        maps = randn(1, 2, 3, *self.size).requires_grad_()
        x = randn(1, 2, *self.size).requires_grad_()

        def measure(x: Tensor, maps: Tensor) -> Tensor:
            return NUFFT(size=self.size, trajectory=self.k, maps=maps, eps=1e-13)(x)

        assert torch.autograd.gradcheck(measure, (x, maps), fast_mode=True, nondet_tol=ORDER)

    def test_functional_transforms(self) -> None:
        nufft = NUFFT(size=self.size, trajectory=self.k, eps=1e-13)
        x = randn(3, 2, 1, *self.size)
        torch.testing.assert_close(torch.vmap(nufft)(x), torch.stack([nufft(item) for item in x]))
        torch.testing.assert_close(torch.vmap(nufft.adjoint)(nufft(x[0])[:, None]), nufft.adjoint(nufft(x[0]))[:, None])

    def test_a_trajectory_that_learns_is_a_parameter(self) -> None:
        k = torch.nn.Parameter(self.k.float())
        nufft = NUFFT(size=self.size, trajectory=k)
        assert dict(nufft.named_parameters()).keys() == {"trajectory"}
        x = randn(1, 1, *self.size, dtype=torch.complex64)
        loss = nufft(x).abs().square().sum()
        loss.backward()
        assert k.grad is not None
        with torch.no_grad():
            k -= 1e-3 * k.grad / k.grad.norm()
            assert float(nufft(x).abs().square().sum()) < float(loss.detach())
        assert torch.equal(copy.deepcopy(nufft)(x), nufft(x))


class TestToeplitz:
    @pytest.mark.parametrize("size", [(12, 9), (16, 16), (5, 6, 8)])
    def test_is_the_normal_operator(self, size: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
        k, x = scattered(4, 50, size=size), randn(2, 3, *size)
        matrix = waves(k.flatten(0, 1), size).flatten(1)
        weights = torch.rand(4, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        nufft = NUFFT(size=size, trajectory=k, eps=1e-11, toeplitz=True)
        gram = matrix.mH @ matrix
        expected = torch.einsum("mn,bcn->bcm", gram, x.flatten(2)).reshape(x.shape)
        assert off(nufft.normal(x), expected) < 1e-10
        weighted = matrix.mH @ (weights.flatten()[:, None] * matrix)
        expected_weighted = torch.einsum("mn,bcn->bcm", weighted, x.flatten(2)).reshape(x.shape)
        assert off(nufft.weighted_normal(weights)(x), expected_weighted) < 1e-10
        assert off(nufft.with_(toeplitz=False).weighted_normal(weights)(x), expected_weighted) < 1e-10
        monkeypatch.setattr(toeplitz_module, "_CHUNK", 1)  # coil by coil
        assert off(nufft.normal(x), expected) < 1e-10

    def test_agrees_to_eps_in_single_precision(self) -> None:
        nufft = NUFFT(size=(64, 64), trajectory={"kind": "spiral", "interleaves": 16, "samples": 300}, eps=1e-4)
        x = randn(1, 2, 64, 64, dtype=torch.complex64)
        convolved, sampled = (nufft.with_(toeplitz=flag).normal(x) for flag in (True, False))
        assert convolved.dtype == torch.complex64
        assert off(convolved, sampled) < 2e-4

    def test_is_taken_where_samples_are_many(self) -> None:
        few, many = ({"kind": "radial", "spokes": spokes} for spokes in (8, 100))
        nufft = NUFFT(size=(64, 64), trajectory=few)
        assert not nufft.convolves and nufft.with_(trajectory=many).convolves
        assert nufft.with_(toeplitz=True).convolves

    def test_norm_follows_from_it(self) -> None:
        size = (6, 7)
        k = scattered(60, size=size)
        nufft = NUFFT(size=size, trajectory=k, eps=1e-10, toeplitz=True)
        assert nufft.norm(iterations=300) == pytest.approx(
            float(torch.linalg.matrix_norm(waves(k, size).flatten(1), 2)), rel=1e-3
        )


class TestFrames:
    size = (8, 7)
    k = scattered(3, 4, 6, size=size)

    def test_each_item_has_its_own(self) -> None:
        nufft = NUFFT(size=self.size, trajectory=self.k, frames=True, eps=1e-10)
        x = randn(3, 2, *self.size)
        weights = torch.rand(3, 1, 4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        for toeplitz in (False, True):
            series = nufft.with_(toeplitz=toeplitz)
            for i in range(3):
                one = NUFFT(size=self.size, trajectory=self.k[i], eps=1e-10, toeplitz=toeplitz)
                here = slice(i, i + 1)
                torch.testing.assert_close(series(x)[here], one(x[here]))
                torch.testing.assert_close(series.adjoint(series(x))[here], one.adjoint(one(x[here])))
                torch.testing.assert_close(series.normal(x)[here], one.normal(x[here]))
                torch.testing.assert_close(
                    series.weighted_normal(weights)(x)[here], one.weighted_normal(weights[i, 0])(x[here])
                )

    def test_data_bring_them(self) -> None:
        waiting = recon.build("operator", "nufft", size=[8, 7], frames=True)
        assert "trajectory" in waiting.awaited
        with pytest.raises(UsageError, match="NUFFT has no trajectory"):
            waiting(randn(3, 1, *self.size))
        found = waiting.for_items({"trajectory": self.k})
        x = randn(3, 1, *self.size)
        torch.testing.assert_close(found(x), NUFFT(size=self.size, trajectory=self.k, frames=True)(x))

    def test_mistakes(self) -> None:
        nufft = NUFFT(size=self.size, trajectory=self.k, frames=True)
        with pytest.raises(UsageError, match="3 trajectories do not fit a batch of 2"):
            nufft(randn(2, 1, *self.size))
        with pytest.raises(UsageError, match="frames"):
            NUFFT(size=self.size, trajectory={"kind": "radial", "spokes": 3}, frames=True)
        with pytest.raises(UsageError, match=r"\(batch, \*samples, dimensions\)"):
            NUFFT(size=self.size, trajectory=self.k[0, 0], frames=True)


def test_empty_batches_and_real_images() -> None:
    nufft = NUFFT(size=(6, 7), trajectory=scattered(5, size=(6, 7)), toeplitz=True)
    assert nufft(torch.zeros(0, 2, 6, 7)).shape == (0, 2, 5)
    assert nufft.adjoint(torch.zeros(0, 2, 5)).shape == nufft.normal(torch.zeros(0, 2, 6, 7)).shape == (0, 2, 6, 7)
    x = torch.rand(1, 1, 6, 7)
    assert nufft(x).dtype == torch.complex64
    torch.testing.assert_close(nufft(x.half().float()), nufft(x.half()))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"trajectory": torch.zeros(2, 9, 5)}, r"must end in the 2 coordinates \(y, x\).*: move axis 0 to the end"),
        ({"trajectory": torch.zeros(9, 3)}, r"shape \(9, 3\) must end in the 2 coordinates"),
        ({"trajectory": torch.zeros(9, dtype=torch.complex64)}, r"complex trajectory is ambiguous"),
        ({"trajectory": torch.zeros(9, 2, dtype=torch.int64)}, "int64 cannot be right"),
        ({"trajectory": torch.full((9, 2), torch.nan)}, "not finite"),
        ({"trajectory": torch.full((9, 2), 0.5)}, r"likely cycles per pixel: give unit='cycles_per_pixel'"),
        ({"trajectory": torch.full((9, 2), 3.1)}, r"likely radians per pixel: give unit='radians_per_pixel'"),
        ({"trajectory": torch.full((9, 2), 40.0)}, r"= 40 along y, but 64 pixels end at 32 .*image is likely larger"),
        ({"trajectory": torch.full((9, 2), 90.0)}, "likely 1/m, so multiply it by the field of view in m"),
        ({"trajectory": torch.full((9, 2), 700.0)}, "likely rad/m"),
        ({"trajectory": torch.full((9, 2), 4.0), "unit": "radians_per_pixel"}, "end at 3.142 radians per pixel"),
        ({"trajectory": {"kind": "kooshball", "spokes": 3}}, r"Kooshball is a trajectory of 3 dimensions"),
        ({"trajectory": torch.full((9, 2), 9.0), "size": [64]}, r"size is \(y, x\) or \(z, y, x\)"),
    ],
)
def test_mistakes(params: Mapping[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        recon.build("operator", "nufft", **{"size": [64, 64], **params})
    assert "\n" not in str(caught.value)


def test_ranges_that_are_right() -> None:
    x = torch.rand(1, 1, 64, 64)
    for k, unit in ((32.0, None), (32.4, None), (0.5, "cycles_per_fov"), (0.5, "cycles_per_pixel"), (0.0, None)):
        NUFFT(size=(64, 64), trajectory=torch.full((3, 2), k), unit=unit)(x)


def test_wrong_parameters_and_shapes() -> None:
    with pytest.raises(ParameterError, match="eps"):
        recon.build("operator", "nufft", size=[8, 8], eps=0)
    with pytest.raises(ParameterError, match=r"trajectory.kind: 'radail'.*did you mean 'radial'"):
        recon.build("operator", "nufft", size=[8, 8], trajectory={"kind": "radail"})
    with pytest.raises(ParameterError, match=r"trajectory\.spokes"):
        recon.build("operator", "nufft", size=[8, 8], trajectory={"kind": "radial", "spokes": 0})
    nufft = NUFFT(size=(6, 7), trajectory=scattered(3, 5, size=(6, 7)))
    with pytest.raises(UsageError, match=r"takes a tensor \(batch, any, 6, 7\)"):
        nufft(torch.rand(1, 1, 7, 6))
    with pytest.raises(UsageError, match=r"\(batch, any, 3, 5\)"):
        nufft.adjoint(torch.rand(1, 1, 15))
