from __future__ import annotations

import pytest
import torch

import recon
from recon.errors import ParameterError, UsageError
from recon_plugins.mask import BoxMask, Mask, RandomMask


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_keeps_what_the_mask_keeps_and_truly_zeroes_the_rest() -> None:
    x = torch.tensor([[-1.0, 2.0, torch.nan], [torch.inf, -3.0, -0.5]]).expand(2, 3, 2, 3)
    y = Mask(mask=[[1, 1, 0], [0, 0, 1]])(x)
    assert torch.equal(y[1, 2], torch.tensor([[-1.0, 2.0, 0.0], [0.0, 0.0, -0.5]]))
    assert not torch.signbit(y[..., 1, 1]).any(), "no -0.0: it would tell the sign of a lost sample"
    lost = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(Mask(mask=[[1, 1, 0], [0, 0, 1]])(lost).sum(), lost)
    assert torch.equal(gradient[0, 0], torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]))


def test_matrix_is_a_diagonal_projection() -> None:
    mask = torch.rand(2, 3, 4, generator=generator()) > 0.5
    operator = Mask(mask=mask)
    assert torch.equal(operator.matrix(), torch.diag(mask.flatten().double()))
    assert torch.equal(operator.N.matrix(), operator.matrix())
    assert operator.input_shape == (2, 3, 4)
    assert operator.norm() == pytest.approx(1)


def test_two_axes_serve_all_channels_three_name_them() -> None:
    flat = torch.rand(4, 5, generator=generator()) > 0.5
    x = torch.randn(2, 3, 4, 5, generator=generator(1))
    assert torch.equal(Mask(mask=flat)(x), x * flat + 0.0)
    assert torch.equal(Mask(mask=flat[None])(x), Mask(mask=flat)(x))
    assert torch.equal(Mask(mask=flat.float() * 0.3)(x), Mask(mask=flat)(x)), "non-zero is kept, not weighted"
    with pytest.raises(UsageError, match=r"Mask takes a tensor \(batch, any, 4, 5\), got \(2, 3, 5, 4\)"):
        Mask(mask=flat)(x.mT)
    with pytest.raises(ParameterError, match="needs the axes"):
        Mask(mask=[True, False])
    with pytest.raises(UsageError, match=r"\(batch, 2, 4, 5\)"):
        Mask(mask=flat.expand(2, 4, 5))(x)


@pytest.mark.parametrize("fraction", [0.0, 0.1, 1 / 3, 1.0])
def test_random_mask_keeps_exactly_its_fraction(fraction: float) -> None:
    operator = RandomMask(size=(7, 9), fraction=fraction)
    assert int(operator.mask.sum()) == round(fraction * 63)
    assert int(operator.sample(generator(5)).mask.sum()) == round(fraction * 63)


def test_random_mask_is_a_family() -> None:
    operator = RandomMask(size=(8, 8), fraction=0.5, seed=3)
    assert torch.equal(operator.mask, RandomMask(size=(8, 8), fraction=0.5, seed=3).mask)
    assert not torch.equal(operator.mask, RandomMask(size=(8, 8), fraction=0.5, seed=4).mask)
    before = operator.mask.clone()
    a, b = operator.sample(generator(1)), operator.sample(generator(2))
    assert torch.equal(a.mask, operator.sample(generator(1)).mask)
    assert not torch.equal(a.mask, b.mask)
    assert torch.equal(operator.mask, before)
    assert operator.with_(fraction=0.25).mask.sum() == 16
    # Every pixel is as likely as any other.
    g = generator(0)
    counts = sum(operator.sample(g).mask.double() for _ in range(1000))
    assert (counts - 500).abs().max() < 5 * (1000 * 0.25) ** 0.5


def test_box_mask_cuts_its_box() -> None:
    middle = BoxMask(size=(6, 7), box=(2, 3))
    expected = torch.ones(6, 7, dtype=torch.bool)
    expected[2:4, 2:5] = False
    assert torch.equal(middle.mask[0], expected)
    corner = BoxMask(size=(6, 7), box=(2, 3), corner=(4, 0))
    assert not corner.mask[0, 4:, :3].any()
    assert int((~corner.mask).sum()) == 6
    assert corner.sample(generator()) is corner
    places = set()
    g = generator()
    for _ in range(300):
        drawn = middle.sample(g).mask[0]
        rows, columns = torch.nonzero(~drawn, as_tuple=True)
        places.add((int(rows.min()), int(columns.min())))
        assert int((~drawn).sum()) == 6
    assert places == {(r, c) for r in range(5) for c in range(5)}


@pytest.mark.parametrize(
    "params", [{"box": [7, 2]}, {"box": [2, 2], "corner": [5, 0]}, {"box": [2, 2, 2]}, {"box": [2, 2], "corner": [1]}]
)
def test_boxes_outside_the_image_are_refused(params: dict) -> None:
    with pytest.raises(ParameterError, match="does not lie in an image"):
        recon.build("operator", "box_mask", size=[6, 7], **params)


def test_builds_from_plain_values() -> None:
    assert recon.build("operator", "mask", mask=[[1, 0], [0, 1]]).mask.tolist() == [[True, False], [False, True]]
    with pytest.raises(ParameterError, match="fraction"):
        recon.build("operator", "random_mask", size=[4, 4], fraction=1.5)
