"""However an image is cut and turned, each voxel keeps its value and its place in the world."""

import nibabel as nib
import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from recon import Image
from recon.errors import UsageError
from recon.io import geometry
from recon.io.metadata import check_quantity, codes
from recon.io.provenance import Provenance, hashed

AFFINE = np.array([[0, -2.0, 0.1, 10], [1.5, 0, 0, -20], [0, 0.2, 5, 30], [0, 0, 0, 1]])
QUICK = settings(max_examples=80, deadline=None)


@st.composite
def affines(draw):
    """Rotated, mirrored and sheared grids."""
    angles = [draw(st.floats(-180, 180)) for _ in range(3)]
    sizes = [draw(st.floats(0.3, 8)) * draw(st.sampled_from([-1, 1])) for _ in range(3)]
    shear = np.eye(3)
    shear[0, 1], shear[1, 2] = draw(st.floats(-0.4, 0.4)), draw(st.floats(-0.4, 0.4))
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() @ shear @ np.diag(sizes)
    affine[:3, 3] = [draw(st.floats(-500, 500)) for _ in range(3)]
    return affine


@st.composite
def images(draw):
    """Images whose values are the numbers of their voxels, with up to two axes beside space."""
    dims = draw(st.sampled_from([("y", "x"), ("z", "y", "x"), ("t", "z", "y", "x"), ("t", "channel", "y", "x")]))
    shape = [draw(st.integers(1, 6)) for _ in dims]
    data = torch.arange(np.prod(shape), dtype=torch.float64).reshape(shape)
    return Image(data=data, dims=dims, affine=draw(affines()))


def names(image):
    return image.dims[-len(image.space) :]


def sliced(draw, image):
    index = []
    for count in image.shape:
        start = draw(st.integers(-count, count - 1)) % count
        step = draw(st.sampled_from([-3, -2, -1, 1, 2, 3]))
        index.append(slice(start, None, step))
    return image[tuple(index)]


def dropped(draw, image):
    spatial = len(image.space)
    may = range(len(image.dims) - (spatial if spatial == 2 else 0))
    if not may:
        return image
    axis = draw(st.sampled_from(list(may)))
    index = [slice(None)] * len(image.dims)
    index[axis] = draw(st.integers(-image.shape[axis], image.shape[axis] - 1))
    return image[tuple(index)]


def cropped(draw, image):
    spans = {}
    for name, count in zip(names(image), image.space, strict=True):
        first = draw(st.integers(0, count - 1))
        spans[name] = (first, draw(st.integers(first + 1, count)))
    return image.crop(**spans)


def padded(draw, image):
    return image.pad(**{n: (draw(st.integers(0, 2)), draw(st.integers(0, 2))) for n in names(image)}, value=-1)


def flipped(draw, image):
    return image.flip(*draw(st.sets(st.sampled_from(names(image)))))


def permuted(draw, image):
    return image.permute(*draw(st.permutations(names(image))))


def oriented(draw, image):
    own = image.orientation
    turned = draw(st.permutations([draw(st.sampled_from(pair)) for pair in ("RL", "AP", "SI") if set(pair) & set(own)]))
    return image.oriented("".join(turned))


STEPS = [sliced, dropped, cropped, padded, flipped, permuted, oriented]


def places(image):
    """Return the place of each voxel of all items, (voxels, 3), in the order of the data."""
    z, y, x = np.meshgrid(*(np.arange(n) for n in (1, *image.space)[-3:]), indexing="ij")
    where = image.to_mm(np.stack([x, y, z], -1).reshape(-1, 3))
    return np.tile(where, (int(np.prod(image.shape)) // len(where), 1))


@QUICK
@given(st.data(), images(), st.lists(st.sampled_from(STEPS), min_size=1, max_size=5))
def test_voxels_keep_value_and_place(data, image, steps):
    first = image
    for step in steps:
        image = step(data.draw, image)
    values = image.data.flatten().long().numpy()
    assert (values >= 0).any() or padded in steps
    held = values >= 0
    assert len(set(values[held])) == held.sum()  # none twice
    assert np.allclose(places(image)[held], places(first)[values[held]], rtol=0, atol=1e-8)


@QUICK
@given(st.data(), images(), st.sampled_from([flipped, permuted, oriented]))
def test_turning_loses_nothing(data, image, step):
    turned = step(data.draw, image)
    assert sorted(turned.data.flatten().tolist()) == image.data.flatten().tolist()
    assert np.allclose(sorted(map(tuple, turned.corners_mm.round(6))), sorted(map(tuple, image.corners_mm.round(6))))


@QUICK
@given(affines(), st.permutations("xyz"), st.tuples(*[st.booleans()] * 3))
def test_orientation_is_nibabels(affine, order, signs):
    axes = geometry.check_affine(affine)[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    left, _, right = np.linalg.svd(axes)
    near = np.abs(left @ right)
    clear = np.sort(near, axis=0)
    strength = np.sort(clear[2])
    assume((clear[2] - clear[1]).min() > 1e-6)  # at 45 degrees rounding decides
    assume(len(set(near.argmax(axis=0))) == 3 or np.diff(strength).min() > 1e-6)
    image = Image(data=torch.arange(24.0).reshape(2, 3, 4), affine=affine)
    assert image.orientation == "".join(nib.aff2axcodes(affine))
    theirs = nib.as_closest_canonical(nib.Nifti1Image(image.data.numpy().T, affine))
    ours = image.oriented("RAS")
    assert np.array_equal(ours.data.numpy().T, theirs.get_fdata())
    assert np.allclose(ours.affine, theirs.affine, atol=1e-9)
    code = "".join("RAS"["xyz".index(n)] if s else "LPI"["xyz".index(n)] for n, s in zip(order, signs, strict=True))
    assert image.oriented(code).orientation == code


def test_slices_are_nibabels():
    image = Image(data=torch.arange(4 * 5 * 6.0).reshape(4, 5, 6), affine=AFFINE)
    # Reversed slices with a start: without one, nibabel 5.4.2 takes 0 for it and misplaces the image.
    theirs = nib.Nifti1Image(image.data.numpy().T, AFFINE).slicer[1:5:2, 4::-1, 2:]
    ours = image[2:, ::-1, 1:5:2]
    assert np.array_equal(ours.data.numpy().T, theirs.get_fdata())
    assert np.allclose(ours.affine, theirs.affine)


def test_an_integer_leaves_a_plane():
    image = Image(data=torch.arange(4 * 5 * 6.0).reshape(4, 5, 6), affine=AFFINE)
    axial, coronal, sagittal = image[1], image[:, 2], image[..., -1]
    assert (axial.shape, coronal.shape, sagittal.shape) == ((5, 6), (4, 6), (4, 5))
    assert {plane.dims for plane in (axial, coronal, sagittal)} == {("y", "x")}
    assert torch.equal(coronal.data, image.data[:, 2])
    assert np.allclose(coronal.to_mm([3, 1, 0]), image.to_mm([3, 2, 1]))  # (x, z) of the plane y = 2
    assert np.allclose(sagittal.to_mm([3, 1, 0]), image.to_mm([5, 3, 1]))
    assert coronal.voxel_size == pytest.approx((image.voxel_size[0], image.voxel_size[2]))
    assert torch.equal(image[np.int64(1)].data, image[torch.tensor(-3)].data)
    assert image[1:2].shape == (1, 5, 6)
    assert image[1:2].voxel_size == image.voxel_size
    assert image[0:1:3].voxel_size == image.voxel_size  # a step over one voxel is none


def test_items_of_other_axes_take_their_facts_along():
    metadata = {"b_values_s_mm2": (0, 500, 1000), "kvp": 80}
    image = Image(data=torch.zeros(3, 2, 4, 5), dims=("t", "z", "y", "x"), metadata=metadata)
    assert image[1].metadata == {"b_values_s_mm2": 500, "kvp": 80}
    assert image[::-2].metadata["b_values_s_mm2"] == (1000, 0)
    assert image[:, 1].metadata == metadata
    assert [frame.metadata["b_values_s_mm2"] for frame in image] == [0, 500, 1000]
    fewer = image.with_data(torch.zeros(1, 2, 4, 5))
    assert "b_values_s_mm2" not in fewer[0].metadata  # which of the three it is, nobody knows


def test_sizes_without_affine_follow():
    image = Image(data=torch.zeros(4, 5, 6), voxel_size=(1, 2, 3))
    assert image.permute("x", "z", "y").voxel_size == (2, 3, 1)
    assert image[:, 1].voxel_size == (1, 3)
    assert image[::2].voxel_size == (1, 2, 6)
    assert image.flip("z").affine is None
    assert image[0].pad(y=(1, 1)).voxel_size == (1, 2)
    bare = Image(data=torch.zeros(4, 5, 6)).permute("x", "z", "y").pad(z=(1, 0))
    assert (bare.affine, bare.voxel_size, bare.shape) == (None, None, (7, 4, 5))


def test_padding_holds_air():
    hounsfield = Image(data=torch.zeros(2, 2), unit="HU").pad(x=(1, 0))
    assert hounsfield.data.tolist() == [[-1000, 0, 0]] * 2
    assert Image(data=torch.ones(2, 2)).pad(y=(0, 1)).data.tolist() == [[1, 1], [1, 1], [0, 0]]
    assert Image(data=torch.ones(1, 1)).pad(x=(0, 1), value=7).data.tolist() == [[1, 7]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda image: image[5:], "picks nothing"),
        (lambda image: image[0, 0], "leave no|drop one axis"),
        (lambda image: image[0, 0, 0], "drop one axis"),
        (lambda image: image[0][0], "none of a plane"),
        (lambda image: image[..., ...], "too many"),
        (lambda image: image[0, :, :, :], "too many"),
        (lambda image: image[torch.ones(2) > 0], "integers, slices"),
        (lambda image: image[[0, 1]], "integers, slices"),
        (lambda image: image[True], "integers, slices"),
        (lambda image: image.crop(x=(0, 5)), "within the 4 voxels"),
        (lambda image: image.crop(x=(2, 2)), "within the 4 voxels"),
        (lambda image: image[0].crop(z=(0, 1)), "'z' is not a spatial axis"),
        (lambda image: image.pad(x=(0, -1)), "must not be negative"),
        (lambda image: image[0].pad(z=(0, 1)), "'z' is not a spatial axis"),
        (lambda image: image.flip("t"), "'t' is not a spatial axis"),
        (lambda image: image.permute("z", "y"), "each of z, y, x once"),
        (lambda image: image.oriented("RAR"), "three letters"),
        (lambda image: image.oriented("XYZ"), "three letters"),
        (lambda image: image.oriented("RA"), "three letters"),
        (lambda image: image[0].oriented("RS"), "not in the plane|three letters"),
        (lambda image: Image(data=image.data).oriented("RAS"), "has no affine"),
        (lambda image: Image(data=image.data).corners_mm, "has no affine"),
    ],
)
def test_what_means_nothing_is_refused(change, message):
    with pytest.raises(UsageError, match=message):
        change(Image(data=torch.zeros(2, 3, 4), affine=AFFINE))


def test_an_index_beyond_ends_iteration():
    image = Image(data=torch.zeros(2, 3, 4), affine=AFFINE)
    assert [plane.affine[2, 3] for plane in image] == [30, 35]
    with pytest.raises(IndexError, match="beyond axis 'x' of 4"):
        image[..., -5]


def test_same_grid():
    image = Image(data=torch.zeros(2, 3, 4), affine=AFFINE)
    near, far = AFFINE.copy(), AFFINE.copy()
    near[0, 3] += 9e-4
    far[1, 0] += 4e-4  # times three columns
    assert image.same_grid(Image(data=torch.ones(5, 2, 3, 4), dims=("t", "z", "y", "x"), affine=near))
    assert not image.same_grid(Image(data=image.data, affine=far))
    assert not image.same_grid(image[:1])
    assert not image.same_grid(image.flip("x"))
    assert not Image(data=image.data).same_grid(Image(data=image.data))


def test_shear():
    tilted = np.diag([0.5, 0.5, 5, 1.0])
    assert not Image(data=torch.zeros(2, 2, 2), affine=tilted).is_sheared
    tilted[1, 2] = 5 * np.tan(np.deg2rad(15))
    assert Image(data=torch.zeros(2, 2, 2), affine=tilted).is_sheared
    assert not Image(data=torch.zeros(2, 2)).is_sheared


def test_quantity_and_unit_agree():
    data = torch.zeros(2, 2)
    assert Image(data=data, unit="HU").quantity == "attenuation"
    assert Image(data=data).quantity == "unknown"
    assert Image(data=data, unit="HU").with_data(data, unit="1/mm").quantity == "attenuation"
    assert Image(data=data, quantity="magnitude").with_data(data).quantity == "magnitude"
    assert Image(data=data, quantity="magnitude").with_data(data, unit="rad").quantity == "phase"
    with pytest.raises(UsageError, match="attenuation are in HU or 1/mm, not in 'rad'"):
        Image(data=data, unit="rad", quantity="attenuation")
    with pytest.raises(UsageError, match="did you mean 'HU'"):
        check_quantity(None, "hu")
    with pytest.raises(UsageError, match="unknown quantity") as caught:
        Image(data=data, quantity="PLANTED^NAME")
    assert "PLANTED" not in str(caught.value)


def test_provenance_holds_hashes_only():
    kept = Provenance(reader="dicom_series", identifiers={"series": hashed("1.2.3")}, files=3)
    image = Image(data=torch.zeros(2, 3, 4), provenance=kept)
    assert image[0].flip("x").provenance is kept
    assert hashed("1.2.3") == hashed(b"1.2.3") != hashed("1.2.4")
    assert hashed("1.2.3", salt=b"a") != hashed("1.2.3", salt=b"b")
    for wrong in ({"series": "1.2.840.113619"}, {"patient": hashed("x")}):
        with pytest.raises(UsageError, match="hashes"):
            Provenance(reader="dicom_series", identifiers=wrong)
    with pytest.raises(UsageError, match="name of a component"):
        Provenance(reader="/home/Smith")


def test_codes_of_notes():
    assert codes(
        ("RECON-DICOM-TILT: sheared", "smoothed", "RECON-DICOM-TILT: again", "RECON-NIFTI-FORM disagrees")
    ) == (
        "RECON-DICOM-TILT",
        "RECON-NIFTI-FORM",
    )
