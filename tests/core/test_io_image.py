"""The image: its parts agree, its geometry stays, its layouts are undone."""

import pickle

import numpy as np
import pytest
import torch

from recon import Image
from recon.errors import UsageError

AFFINE = np.array([[0, -2.0, 0.1, 10], [1.5, 0, 0, -20], [0, 0.2, 5, 30], [0, 0, 0, 1]])


def volume(**kwargs):
    data = torch.arange(2 * 3 * 4, dtype=torch.float32).reshape(2, 3, 4)
    return Image(**{"data": data, "affine": AFFINE, "unit": "HU", "metadata": {"kvp": 120}} | kwargs)


def test_defaults():
    image = volume()
    assert image.dims == ("z", "y", "x")
    assert image.space == (2, 3, 4)
    assert image.voxel_size == pytest.approx(np.linalg.norm(AFFINE[:3, :3], axis=0))
    assert image.affine.dtype == np.float64
    assert Image(data=torch.zeros(3, 4)).affine is None
    assert Image(data=torch.zeros(3, 4)).voxel_size is None
    assert Image(data=torch.zeros(3, 4)).dims == ("y", "x")


def test_is_a_value():
    affine = AFFINE.copy()
    image = volume(affine=affine)
    affine[0, 0] = 99
    assert np.array_equal(image.affine, AFFINE)
    with pytest.raises(ValueError, match="read-only"):
        image.affine[0, 0] = 1
    with pytest.raises(AttributeError):
        image.unit = "x"


def test_pickles():
    image = volume()
    copy = pickle.loads(pickle.dumps(image))
    assert torch.equal(copy.data, image.data)
    assert np.array_equal(copy.affine, image.affine)
    assert (copy.dims, copy.unit, copy.metadata) == (image.dims, image.unit, image.metadata)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"affine": np.eye(3)}, "4x4 matrix of numbers"),
        ({"affine": np.full((4, 4), np.nan)}, "4x4 matrix of numbers"),
        ({"affine": np.diag([1.0, 1, 0, 1])}, "singular"),
        ({"affine": np.array([[1.0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 1]])}, "singular"),
        ({"dims": ("x", "y", "z")}, "do not name the axes"),
        ({"dims": ("y", "x")}, "do not name the axes"),
        ({"data": torch.zeros(1, 2, 3, 4)}, "do not name the axes"),
        ({"data": torch.zeros(1, 2, 3, 4), "dims": ("z", "t", "y", "x")}, "right before"),
        ({"affine": None, "voxel_size": (1.0, 1.0)}, "3 positive lengths"),
        ({"affine": None, "voxel_size": (1.0, 1.0, -1.0)}, "3 positive lengths"),
        ({"metadata": {"patient_name": "X"}}, "technical facts"),
        ({"metadata": {"kvp": {}}}, "must be a number"),
    ],
)
def test_contradictions_are_refused(change, message):
    with pytest.raises(UsageError, match=message):
        volume(**change)


def test_with_data_keeps_the_place():
    image = volume()
    other = image.with_data(image.data * 2, unit="arbitrary", note="doubled")
    assert np.array_equal(other.affine, AFFINE)
    assert other.unit == "arbitrary"
    assert other.notes == ("doubled",)
    assert other.metadata == {"kvp": 120}
    for wrong in (image.data[:1], image.data[0], image.data.mT):
        with pytest.raises(UsageError, match="do not fit the grid"):
            image.with_data(wrong)


@pytest.mark.parametrize(
    ("dims", "shape", "space", "batched"),
    [
        (("y", "x"), (3, 4), None, (1, 1, 3, 4)),
        (("z", "y", "x"), (2, 3, 4), None, (1, 1, 2, 3, 4)),
        (("z", "y", "x"), (2, 3, 4), 2, (2, 1, 3, 4)),
        (("t", "z", "y", "x"), (5, 2, 3, 4), None, (5, 1, 2, 3, 4)),
        (("t", "z", "y", "x"), (5, 2, 3, 4), 2, (10, 1, 3, 4)),
        (("channel", "y", "x"), (5, 3, 4), None, (1, 5, 3, 4)),
        (("channel", "t", "z", "y", "x"), (6, 5, 2, 3, 4), 2, (10, 6, 3, 4)),
        (("channel", "t", "z", "y", "x"), (6, 5, 2, 3, 4), 3, (5, 6, 2, 3, 4)),
    ],
)
def test_layout_round_trip(dims, shape, space, batched):
    image = Image(data=torch.randn(shape, generator=torch.Generator().manual_seed(0)), dims=dims, affine=AFFINE)
    batch = image.to_batch(space)
    assert batch.shape == batched
    again = image.from_batch(batch, note="done")
    assert again.dims == image.dims
    assert torch.equal(again.data, image.data)
    assert np.array_equal(again.affine, AFFINE)
    assert again.notes == ("done",)


def test_slices_are_the_items_of_the_batch():
    image = volume()
    assert torch.equal(image.to_batch(2)[1, 0], image.data[1])


def test_new_channels_make_an_axis():
    image = volume()
    two = image.from_batch(image.to_batch(2).repeat(1, 2, 1, 1))
    assert two.dims == ("channel", "z", "y", "x")
    assert torch.equal(two.data[1], image.data)


def test_integers_become_floats_and_complex_stays():
    assert Image(data=torch.ones(3, 4, dtype=torch.int16)).to_batch().dtype == torch.float32
    assert Image(data=torch.ones(3, 4, dtype=torch.complex64)).to_batch().dtype == torch.complex64


@pytest.mark.parametrize("shape", [(1, 1, 3, 5), (2, 1, 3, 4), (1, 1, 2, 3), (1, 3, 4)])
def test_a_batch_of_another_grid_is_refused(shape):
    with pytest.raises(UsageError, match="do not lie on the grid"):
        Image(data=torch.zeros(3, 4)).from_batch(torch.zeros(shape))


def test_volume_needs_three_dimensions():
    with pytest.raises(UsageError, match="no 3 dimensions"):
        Image(data=torch.zeros(3, 4)).to_batch(3)


def test_repr_has_no_values():
    assert repr(volume()).startswith("Image(z=2, y=3, x=4, float32, HU, 1.5 x 2.00998 x 5.001 mm")
