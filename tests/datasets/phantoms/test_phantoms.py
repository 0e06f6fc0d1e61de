"""Phantoms against their closed forms and independent renderings."""

import pickle

import pytest
import torch

from recon import build
from recon_datasets.phantoms import (
    Ellipses,
    MulticoilPhantom,
    RandomEllipses,
    SheppLogan,
    coil_maps,
    modified_shepp_logan,
)


def test_values_at_known_points():
    picture = SheppLogan(size=(401, 401), oversampling=1)[0]["image"][0]

    def at(x, y):
        return float(picture[round(200 - y * 200.5), round(200 + x * 200.5)])

    assert at(0, 0.89) == pytest.approx(1.0)  # skull
    assert at(0, 0.7) == pytest.approx(0.2)  # brain
    assert at(0.22, 0) == pytest.approx(0.0)  # right ventricle
    assert at(-0.22, 0) == pytest.approx(0.0)
    assert at(0, 0.35) == pytest.approx(0.3)
    assert at(0, 0.1) == pytest.approx(0.3)
    assert at(-0.08, -0.605) == pytest.approx(0.3)
    assert at(0.95, 0.95) == 0.0
    # The left ventricle is the larger one: an image that is mirrored would fail here.
    assert at(-0.34, -0.05) == pytest.approx(0.0)
    assert at(0.34, -0.05) == pytest.approx(0.2)


def test_shepp_logan_against_scikit_image():
    data = pytest.importorskip("skimage.data")
    reference = torch.from_numpy(data.shepp_logan_phantom()).float()
    picture = SheppLogan(size=(400, 400))[0]["image"][0]
    # Same ellipses, another grid (corners at +-1) and no averaging: only edge pixels may differ.
    assert ((picture - reference).abs() > 0.02).float().mean() < 0.06
    assert torch.corrcoef(torch.stack([picture.flatten(), reference.flatten()]))[0, 1] > 0.97
    mirrored = torch.corrcoef(torch.stack([picture.flip(-1).flatten(), reference.flatten()]))[0, 1]
    assert mirrored < torch.corrcoef(torch.stack([picture.flatten(), reference.flatten()]))[0, 1] - 0.01


@pytest.mark.parametrize("size", [(96, 96), (97, 65), (64, 90)])
def test_integral_is_that_of_the_ellipses(size):
    ellipses = modified_shepp_logan()
    picture = ellipses.image(size, oversampling=8)
    area = (2 / min(size)) ** 2
    value, a, b = ellipses.parameters[:, :3].T
    assert float(picture.sum() * area) == pytest.approx(float((torch.pi * value * a * b).sum()), rel=2e-3)
    assert ellipses.fourier(torch.zeros(1), torch.zeros(1)).real.item() == pytest.approx(
        float((torch.pi * value * a * b).sum()), rel=1e-12
    )


def test_line_integrals_against_sums_over_pixels():
    ellipses = modified_shepp_logan()
    n = 256
    picture = ellipses.image((n, n), oversampling=4)
    offsets = (torch.arange(n).double() - (n - 1) / 2) * 2 / n
    columns, rows = picture.sum(0) * 2 / n, picture.sum(1) * 2 / n
    exact = ellipses.line_integrals(torch.tensor([0.0, torch.pi / 2]), offsets)
    for a, b in ((exact[0], columns), (exact[1], rows.flip(0))):  # y runs upwards
        assert (a - b).abs().mean() < 2e-3
        assert (a - b).abs().max() < 0.06  # where a line touches an edge
    # Turning an ellipse and the line together changes nothing.
    one = Ellipses(torch.tensor([[1.0, 0.5, 0.2, 0.3, 0.1, 0.4]]))
    turn, c, s = 0.7, torch.tensor(0.7).cos(), torch.tensor(0.7).sin()
    turned = Ellipses(torch.tensor([[1.0, 0.5, 0.2, 0.3 * c - 0.1 * s, 0.3 * s + 0.1 * c, 0.4 + turn]]))
    angles = torch.linspace(0, 3, 5)
    assert torch.allclose(one.line_integrals(angles, offsets), turned.line_integrals(angles + turn, offsets), atol=1e-6)


def test_fourier_slice_theorem():
    ellipses = modified_shepp_logan()
    angle = 0.6
    n, step = 4000, 2.4 / 4000
    t = (torch.arange(n).double() + 0.5) * step - 1.2
    k = torch.tensor([0.0, 0.4, 1.3, 3.1], dtype=torch.float64)
    projection = ellipses.line_integrals(torch.tensor([angle]), t)[0]
    by_projection = (projection * torch.exp(-2j * torch.pi * k[:, None] * t)).sum(-1) * step
    c, s = torch.tensor(angle).double().cos(), torch.tensor(angle).double().sin()
    assert torch.allclose(by_projection, ellipses.fourier(k * c, k * s), atol=1e-5)


def test_random_ellipses_depend_on_seed_and_index_alone():
    data = RandomEllipses(size=(24, 32), count=5, seed=3)
    assert data[2]["image"].shape == (1, 24, 32)
    assert torch.equal(data[2]["image"], RandomEllipses(size=(24, 32), count=99, seed=3)[2]["image"])
    assert torch.equal(data[2]["image"], pickle.loads(pickle.dumps(data))[2]["image"])
    assert torch.equal(data[-1]["image"], data[4]["image"])
    others = [data[1], data[3], RandomEllipses(size=(24, 32), count=5, seed=4)[2]]
    assert all(not torch.equal(data[2]["image"], other["image"]) for other in others)
    for index in range(5):
        assert data[index]["image"].min() >= 0
        assert 0.2 < data[index]["image"].max() <= 1
    for index in (5, -6):
        with pytest.raises(IndexError):
            data[index]


def test_coil_maps_are_smooth_and_normalised():
    maps = coil_maps((40, 60), 6, rotation=0.3)
    assert torch.allclose(maps.abs().square().sum(0), torch.ones(40, 60), atol=1e-6)
    y, x = torch.meshgrid(torch.linspace(-1, 1, 40), torch.linspace(-1, 1, 60), indexing="ij")
    body = torch.hypot(x, y) < 0.95
    for axis in (-1, -2):
        assert maps.diff(dim=axis, append=maps.narrow(axis, -1, 1)).abs()[:, body].max() < 0.12
    # Each coil sees its own side best.
    right, top = coil_maps((41, 41), 4)[:2].abs()
    assert right[20, 40] > 2 * right[20, 0]
    assert top[0, 20] > 2 * top[40, 20]


@pytest.mark.parametrize("phantom", ["random_ellipses", "shepp_logan"])
def test_multicoil_measurement_is_that_of_the_operator(phantom):
    data = MulticoilPhantom(size=(33, 24), coils=3, count=2, phantom=phantom)
    item = data[1]
    operator = build("operator", "multicoil_fourier", maps=item["maps"])
    assert torch.allclose(operator(item["image"][None])[0], item["measurement"], atol=1e-6)
    assert item["image"].is_complex()
    assert item["image"].imag.abs().max() > 0.01
    assert not torch.equal(data[0]["measurement"], item["measurement"])


def test_wrong_parameters():
    with pytest.raises(Exception, match="smallest number 5 is above the largest 2"):
        build("dataset", "random_ellipses", ellipses=(5, 2))
    with pytest.raises(Exception, match="greater than 0"):
        build("dataset", "shepp_logan", size=(0, 8))
