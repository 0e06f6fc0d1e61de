from __future__ import annotations

import math

import pytest
import torch

import recon
from recon.errors import UsageError
from recon.operators import Composition, Identity, LinearComposition, Operator
from recon_plugins.radon import FBP, FanBeamRadon, LimitedAngle, Radon, SparseViews
from recon_plugins.radon.sampling import as_ray_transform


class Noisy(Operator):
    stochastic = True

    def forward(self, x: torch.Tensor, *, generator: torch.Generator | None = None) -> torch.Tensor:
        return x + torch.randn(x.shape, generator=generator)

    @property
    def noiseless(self) -> Operator:
        return Identity()


@pytest.fixture
def radon() -> Radon:
    return Radon(size=(12, 14), angles=10)


@pytest.mark.parametrize(
    ("arguments", "index"),
    [
        ({"every": 3}, [0, 3, 6, 9]),
        ({"count": 4}, [0, 2, 5, 7]),
        ({"count": 10}, list(range(10))),
        ({"index": [7, 0, 3]}, [7, 0, 3]),
    ],
)
def test_views_kept(arguments: dict[str, object], index: list[int]) -> None:
    sampling = SparseViews(views=10, **arguments)
    y = torch.arange(60.0).reshape(1, 1, 10, 6)
    assert torch.equal(sampling(y), y[:, :, index])
    back = sampling.adjoint(sampling(y))
    assert torch.equal(back[:, :, index], y[:, :, index])
    assert back.count_nonzero() <= len(index) * 6


def test_limited_angle_keeps_the_arc() -> None:
    theta = [i * 2 * math.pi / 36 for i in range(36)]
    sampling = LimitedAngle(angles=theta, start=-math.pi / 6, stop=math.pi / 6)
    assert sampling.kept == (0, 1, 2, 3, 33, 34, 35)
    assert LimitedAngle(angles=36, span=2 * math.pi, start=-math.pi / 6, stop=math.pi / 6).kept == sampling.kept
    assert LimitedAngle(angles=10, start=0.0, stop=math.pi / 2).kept == (0, 1, 2, 3, 4, 5)


def test_composed_with_a_projector_it_is_a_projector_of_fewer_views(radon: Radon) -> None:
    x = torch.rand(2, 1, 12, 14, generator=torch.Generator().manual_seed(0))
    few = SparseViews(views=10, every=2) @ radon
    assert type(few) is Radon
    assert few.sinogram_size[0] == 5
    torch.testing.assert_close(few(x), radon(x)[:, :, ::2])
    fewer = SparseViews(views=5, index=[4, 1]) @ few
    torch.testing.assert_close(fewer(x), radon(x)[:, :, [8, 2]])
    assert isinstance(SparseViews(views=5, index=[4, 1]) @ SparseViews(views=10, every=2), SparseViews)
    noisy = Noisy() @ SparseViews(views=10, every=2) @ radon
    assert noisy(x, generator=torch.Generator().manual_seed(0)).shape[2] == 5
    assert as_ray_transform(noisy).sinogram_size[0] == 5
    between = SparseViews(views=10, every=2) @ Noisy() @ radon
    assert isinstance(between, Composition)
    assert as_ray_transform(between).sinogram_size[0] == 5


def test_compositions_made_by_hand_are_understood(radon: Radon) -> None:
    apart = LinearComposition(operators=[SparseViews(views=10, every=2), radon])
    y = radon(torch.rand(1, 1, 12, 14, generator=torch.Generator().manual_seed(0)))[:, :, ::2]
    torch.testing.assert_close(FBP()(y, apart), FBP()(y, radon.views(range(0, 10, 2))))


def test_fbp_of_a_limited_angle_composition() -> None:
    fan = FanBeamRadon(size=(24, 24), angles=120, source_distance=60.0, detector_distance=30.0)
    forward = LimitedAngle(angles=120, span=2 * math.pi, start=0.0, stop=4.2) @ fan
    yy, xx = torch.meshgrid(torch.arange(24) - 11.5, torch.arange(24) - 11.5, indexing="ij")
    x = torch.exp(-(xx**2 + yy**2) / 30)[None, None]
    error = (FBP()(forward(x), forward) - x).norm() / x.norm()
    assert error < 0.02


def test_what_cannot_be(radon: Radon) -> None:
    for arguments in ({}, {"every": 2, "count": 3}):
        with pytest.raises(UsageError, match="exactly one"):
            SparseViews(views=10, **arguments)
    with pytest.raises(UsageError, match="different indices"):
        SparseViews(views=10, index=[1, 1])
    with pytest.raises(UsageError, match="different indices"):
        SparseViews(views=10, index=[10])
    with pytest.raises(UsageError, match="cannot keep 11"):
        SparseViews(views=10, count=11)
    with pytest.raises(UsageError, match="does not fit a projector of 10"):
        SparseViews(views=9, every=2) @ radon
    with pytest.raises(UsageError, match="9 views"):
        SparseViews(views=9, every=2)(torch.zeros(1, 1, 10, 4))
    with pytest.raises(UsageError, match="no view lies"):
        LimitedAngle(angles=4, start=0.1, stop=0.2)
    with pytest.raises(UsageError, match="within one turn"):
        LimitedAngle(angles=4, start=2.0, stop=1.0)
    with pytest.raises(UsageError, match="line integrals"):
        as_ray_transform(recon.build("operator", "fourier"))
