"""Resampling against SimpleITK, SciPy and closed forms."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates
from scipy.spatial.transform import Rotation

from recon import Image
from recon.errors import UsageError
from recon.io.geometry import ras_lps

QUICK = settings(max_examples=60, deadline=None)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def place(*angles, sizes=(1, 1, 1), origin=(0, 0, 0), shear=0.0):
    affine = np.eye(4)
    turned = Rotation.from_euler("xyz", angles or (0, 0, 0), degrees=True).as_matrix()
    affine[:3, :3] = turned @ (np.eye(3) + shear * np.eye(3, k=1)) @ np.diag(sizes)
    affine[:3, 3] = origin
    return affine


def noise(*shape, affine, dtype=torch.float64, **kwargs):
    return Image(data=torch.randn(shape, generator=generator(), dtype=dtype), affine=affine, **kwargs)


def as_itk(image):
    sitk = pytest.importorskip("SimpleITK", reason="SimpleITK is the reference here")
    affine = ras_lps(image.affine)
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    found = sitk.GetImageFromArray(image.data.numpy())
    found.SetOrigin(affine[:3, 3].tolist())
    found.SetSpacing(sizes.tolist())
    found.SetDirection((affine[:3, :3] / sizes).ravel().tolist())
    return found


@pytest.mark.parametrize("mode", ["linear", "nearest"])
@pytest.mark.parametrize("angles", [(13, -40, 71), (90, 0, 90)])  # oblique; turned, so axis by axis
def test_agrees_with_itk(angles, mode):
    image = noise(9, 11, 13, affine=place(sizes=(1.3, 1.1, 2.9), origin=(-8, -5, -11)))
    affine = place(*angles, sizes=(-1.1, 0.7, 1.9))
    affine[:3, 3] = image.to_mm([6.1, 5.15, 4.04]) - affine[:3, :3] @ [4, 6, 5]
    target = Image(data=torch.zeros(12, 13, 14), affine=affine)
    ours = image.resample(to=target, mode=mode, fill=-5)
    sitk = pytest.importorskip("SimpleITK", reason="SimpleITK is the reference here")
    way = sitk.sitkLinear if mode == "linear" else sitk.sitkNearestNeighbor
    theirs = sitk.GetArrayFromImage(sitk.Resample(as_itk(image), as_itk(target), sitk.Transform(), way, -5.0))
    assert np.array_equal(ours.affine, target.affine)
    assert (theirs == -5).any()
    assert (theirs != -5).sum() > 20
    assert np.allclose(ours.data.numpy(), theirs, atol=1e-6)


def test_agrees_with_scipy_on_sheared_grids():
    image = noise(8, 9, 10, affine=place(3, 10, -20, sizes=(1, 1.2, 2), shear=0.3))
    target = Image(
        data=torch.zeros(6, 7, 8), affine=place(30, 0, 5, sizes=(1.1, 0.8, 1.9), origin=(1, 1, 2), shear=-0.2)
    )
    ours = image.resample(to=target, fill=np.nan)
    z, y, x = np.meshgrid(*map(np.arange, target.shape), indexing="ij")
    there = (np.linalg.inv(image.affine) @ target.affine) @ np.stack([x, y, z, np.ones_like(x)]).reshape(4, -1)
    theirs = map_coordinates(image.data.numpy(), there[2::-1], order=1, mode="nearest").reshape(target.shape)
    inside = torch.isfinite(ours.data).numpy()
    limits = np.array([10, 9, 8])[:, None]
    expected = ((there[:3] >= -0.5) & (there[:3] <= limits - 0.5)).all(0).reshape(target.shape)
    assert np.array_equal(inside, expected)
    assert 20 < inside.sum() < inside.size
    assert np.allclose(ours.data.numpy()[inside], theirs[inside], atol=1e-10)


@QUICK
@given(
    st.tuples(*[st.floats(-180, 180)] * 3),
    st.tuples(*[st.floats(0.5, 3)] * 3),
    st.floats(-0.4, 0.4),
    st.sampled_from(["float64", "complex128"]),
)
def test_an_affine_image_is_reproduced(angles, sizes, shear, dtype):
    slopes, offset = np.array([1.5, -0.7, 0.3]), 2.0
    source = place(*angles, sizes=sizes, origin=(-5, -6, -7), shear=shear)
    z, y, x = np.meshgrid(*map(np.arange, (7, 8, 9)), indexing="ij")
    values = (np.stack([x, y, z], -1) @ source[:3, :3].T + source[:3, 3]) @ slopes + offset
    image = Image(
        data=torch.from_numpy(values).to(getattr(torch, dtype)) * (1 if dtype == "float64" else 1 + 2j), affine=source
    )
    centre = source @ [4, 3.5, 3, 1]
    target = Image(data=torch.zeros(3, 3, 3), affine=place(10, 20, 30, sizes=(0.2, 0.2, 0.2), origin=centre[:3] - 0.2))
    found = image.resample(to=target, fill=1e9)
    z, y, x = np.meshgrid(*[np.arange(3)] * 3, indexing="ij")
    expected = target.to_mm(np.stack([x, y, z], -1)) @ slopes + offset
    assert np.allclose(found.data.numpy(), expected * (1 if dtype == "float64" else 1 + 2j), atol=1e-9)


@pytest.mark.parametrize("mode", ["linear", "nearest"])
def test_identical_grids_are_exact(mode):
    image = noise(2, 4, 5, 6, affine=place(13, -40, 71, sizes=(1.1, 0.7, 3.2), shear=0.2), dims=("t", "z", "y", "x"))
    image = image.with_data(image.data.float())
    same = image.resample(to=image, mode=mode)
    assert torch.equal(same.data, image.data)
    assert same.dims == image.dims
    turned = image.permute("x", "z", "y").flip("z", "x")
    assert torch.equal(image.resample(to=turned, mode=mode).data, turned.data)
    assert torch.equal(image.resample(to=image[:, :, 2], mode=mode).data, image[:, :, 2].data)
    shifted = image.pad(x=(2, 1), z=(0, 3)).crop(y=(1, 4))
    assert torch.equal(image.resample(to=shifted, mode=mode).data, shifted.data)


@pytest.mark.parametrize("angles", [(0, 0, 0), (0, 0, 30)])
def test_what_is_not_finite_stays_where_it_is(angles):
    values = torch.tensor([[[0.0, float("inf"), 2.0, 3.0], [float("nan"), 1.0, 1.0, 2.0]]])
    image = Image(data=values, affine=place(*angles))
    fine = image.resample(to=Image(data=torch.zeros(1, 2, 7), affine=place(*angles, sizes=(0.5, 1, 1))))
    assert np.array_equal(fine.data[0, :, ::2], values[0], equal_nan=True)
    assert fine.data[0, :, 5].tolist() == [2.5, 1.5]
    # A slight shear takes the general way; its first row still lies on voxels.
    tilted = image.affine.copy()
    tilted[:3, 1] += 1e-3 * image.affine[:3, 0]
    assert np.array_equal(image.resample(to=Image(data=values, affine=tilted)).data[0, 0], values[0, 0])


def test_types():
    ints = Image(data=torch.tensor([[0, 1], [2, 4]], dtype=torch.int16), affine=np.eye(4))
    finer = ints.resample(spacing=0.5)
    assert finer.data.dtype == torch.float32
    assert finer.shape == (4, 4)
    assert finer.data[1].tolist() == [0.5, 0.8125, 1.4375, 1.75]
    labels = Image(data=ints.data, affine=np.eye(4), unit="1", quantity="label")
    assert labels.resample(spacing=0.5, mode="nearest").data.dtype == torch.int16
    masks = ints.with_data(ints.data > 0)
    assert masks.resample(spacing=0.5, mode="nearest").data.sum() == 12
    assert Image(data=ints.data.long(), affine=np.eye(4)).resample(spacing=0.7).data.dtype == torch.float64
    for image in (labels, masks):
        with pytest.raises(UsageError, match="labels have no means"):
            image.resample(spacing=2)
        with pytest.raises(UsageError, match="labels have no means"):
            image.downsample(2)


@QUICK
@given(st.tuples(*[st.integers(1, 9)] * 3), st.tuples(*[st.floats(0.3, 4)] * 3), st.tuples(*[st.floats(0.3, 4)] * 3))
def test_another_spacing_covers_the_same_box(shape, sizes, wanted):
    image = Image(data=torch.ones(shape), affine=place(10, 20, 30, sizes=sizes, origin=(5, 6, 7)))
    found = image.resample(spacing=wanted, fill=-9)
    assert found.voxel_size == pytest.approx(wanted)
    assert np.allclose(found.corners_mm.mean(0), image.corners_mm.mean(0))
    old, new = np.array(image.space[::-1]) * sizes, np.array(found.space[::-1]) * wanted
    assert (new >= old - 1e-4).all()
    assert (new - wanted <= old).all()  # no voxel more than it takes
    assert (found.data == 1).all()  # and all of them inside


def test_sizes_alone_are_enough_for_spacing():
    image = Image(data=torch.ones(4, 6), voxel_size=(1, 2))
    assert image.resample(spacing=2).voxel_size == (2, 2)
    assert image.resample(spacing=2).shape == (4, 3)


def test_downsampling_averages_and_moves_half_a_voxel():
    affine = place(10, 20, 30, sizes=(1, 2, 3), origin=(5, 6, 7))
    image = noise(4, 6, 8, affine=affine)
    half = image.downsample(2)
    assert torch.allclose(half.data[0, 1, 2], image.data[:2, 2:4, 4:6].mean())
    assert np.allclose(half.to_mm([2, 1, 0]), image.to_mm([4.5, 2.5, 0.5]))
    rest = image.downsample(z=3)
    assert rest.shape == (1, 6, 8)
    assert "1 along z" in rest.notes[0]
    assert half.notes == ("averaged over blocks of 2 x 2 x 2 voxels (x, y, z)",)
    assert image[0].downsample(2).notes == ("averaged over blocks of 2 x 2 voxels (x, y)",)
    assert Image(data=torch.tensor([[1, 2]], dtype=torch.int16)).downsample(x=2).data.tolist() == [[1.5]]


def test_gradients():
    image = noise(3, 4, 5, affine=place(3, 10, -20, sizes=(1, 1.2, 2), shear=0.3))
    target = Image(data=torch.zeros(2, 3, 4), affine=place(30, 0, 5, origin=(1, 1, 2)))
    data = image.data.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda values: image.with_data(values).resample(to=target).data, data)
    assert torch.autograd.gradcheck(lambda values: image.with_data(values).resample(spacing=0.8).data, data)


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr("recon.io.oblique._BLOCK", 100)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("mode", ["linear", "nearest"])
@pytest.mark.usefixtures("small_blocks")
def test_blocks_and_threads_change_nothing(threads, mode):
    """Two volumes, one with infinite values, on a grid most of whose rows are partly outside."""
    image = noise(2, 9, 11, 13, affine=place(sizes=(1.3, 1.1, 2.9)), dims=("t", "z", "y", "x"))
    image.data[1, 4, 5, 6] = np.inf
    affine = place(13, -40, 71, sizes=(0.9, 0.7, 1.1))
    affine[:3, 3] = image.to_mm([6, 5, 4]) - affine[:3, :3] @ [14, 11, 9]
    target = Image(data=torch.zeros(19, 23, 29), affine=affine)
    z, y, x = np.meshgrid(*map(np.arange, target.shape), indexing="ij")
    there = (np.linalg.inv(image.affine) @ target.affine) @ np.stack([x, y, z, np.ones_like(x)]).reshape(4, -1)
    count = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.inference_mode():
            found = image.resample(to=target, mode=mode, fill=-9).data
    finally:
        torch.set_num_threads(count)
    for theirs, ours in zip(image.data.numpy(), found.flatten(1).numpy(), strict=True):
        with np.errstate(invalid="ignore"):
            expected = map_coordinates(theirs, there[2::-1], order=int(mode == "linear"), mode="nearest")
        inside = ours != -9
        assert 0.2 < inside.mean() < 0.8
        certain = inside & np.isfinite(expected)
        assert np.allclose(ours[certain], expected[certain], atol=1e-10)
        assert np.isfinite(ours[inside]).all() == np.isfinite(theirs).all()


@pytest.mark.usefixtures("small_blocks")
def test_gradients_do_not_depend_on_blocks():
    image = noise(2, 2, 3, 4, affine=place(3, 10, -20, sizes=(1, 1.2, 2), shear=0.3), dims=("t", "z", "y", "x"))
    target = Image(data=torch.zeros(4, 5, 6), affine=place(30, 0, 5, sizes=(0.6, 0.6, 0.6)))
    data = image.data.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda values: image.with_data(values).resample(to=target).data, data)


def test_nearest_keeps_integers_that_no_float_holds():
    labels = Image(data=2**60 + torch.arange(60).reshape(3, 4, 5), affine=np.eye(4), quantity="label", unit="1")
    target = Image(data=torch.zeros(3, 4, 5), affine=place(3, 2, 1, origin=(0.1, 0.2, 0.1)))
    found = labels.resample(to=target, mode="nearest").data
    assert found.dtype == torch.int64
    assert (found == labels.data).sum() > 40


@pytest.mark.parametrize("shape", [(1, 6, 7), (6, 1, 7), (6, 7, 1), (1, 1, 4)])
def test_axes_of_one_voxel_hold_their_value(shape):
    image = noise(*shape, affine=np.eye(4))
    target = Image(data=torch.zeros(5, 5, 5), affine=place(4, 5, 6, sizes=(0.4, 0.4, 0.4), origin=(-0.2, -0.2, -0.2)))
    found = image.resample(to=target, fill=np.nan).data.numpy()
    z, y, x = np.meshgrid(*[np.arange(5)] * 3, indexing="ij")
    there = target.affine @ np.stack([x, y, z, np.ones_like(x)]).reshape(4, -1)
    expected = map_coordinates(image.data.numpy(), there[2::-1], order=1, mode="nearest").reshape(found.shape)
    inside = np.isfinite(found)
    assert inside.sum() > 10
    assert np.allclose(found[inside], expected[inside], atol=1e-10)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda image: image.resample(), "either the image"),
        (lambda image: image.resample(to=image, spacing=1), "either the image"),
        (lambda image: image.resample(to=Image(data=image.data)), "has no affine"),
        (lambda image: Image(data=image.data).resample(to=image), "has no affine"),
        (lambda image: Image(data=image.data).resample(spacing=1), "voxel size is not known"),
        (lambda image: image.resample(spacing=0), "positive"),
        (lambda image: image.resample(spacing=(1, 1)), "positive"),
        (lambda image: image.resample(spacing=float("nan")), "positive"),
        (lambda image: image.resample(spacing=1, mode="cubic"), "'linear' or 'nearest'"),
        (lambda image: image.downsample(3), "between 1 and 2"),
        (lambda image: image.downsample(0), "between 1 and"),
        (lambda image: image[0].downsample(z=1), "'z' is not a spatial axis"),
    ],
)
def test_what_means_nothing_is_refused(change, message):
    with pytest.raises(UsageError, match=message):
        change(Image(data=torch.zeros(2, 3, 4), affine=np.eye(4)))
