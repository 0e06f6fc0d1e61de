"""Images handed to numpy, nibabel, MONAI and TorchIO, and back."""

import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest
import torch

from recon import Image
from recon.errors import UsageError
from recon.io.convert import (
    from_metatensor,
    from_nibabel,
    from_numpy,
    from_torchio,
    to_metatensor,
    to_nibabel,
    to_numpy,
    to_torchio,
)

AFFINE = np.array([[0, -2.0, 0.1, 10], [1.5, 0, 0, -20], [0, 0.2, 5, 30], [0, 0, 0, 1]])
SHAPES = [(("y", "x"), (3, 4)), (("z", "y", "x"), (2, 3, 4)), (("channel", "z", "y", "x"), (5, 2, 3, 4)),
          (("channel", "y", "x"), (5, 3, 4)), (("t", "z", "y", "x"), (5, 2, 3, 4))]  # fmt: skip


def image(dims=("z", "y", "x"), shape=(2, 3, 4), **kwargs):
    data = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    return Image(**({"data": data, "dims": dims, "affine": AFFINE, "unit": "HU"} | kwargs))


def assert_same(one, other):
    assert one.dims == other.dims
    assert one.data.dtype == other.data.dtype
    assert torch.equal(one.data, other.data)
    assert (one.affine is None) == (other.affine is None)
    assert one.affine is None or np.allclose(one.affine, other.affine, rtol=0, atol=1e-12)
    assert one.voxel_size == pytest.approx(other.voxel_size)


def test_numpy():
    volume = image()
    values, affine = to_numpy(volume)
    assert values.shape == (4, 3, 2)
    assert np.shares_memory(values, volume.data.numpy())
    assert affine is volume.affine
    assert_same(from_numpy(values, affine, unit="HU"), volume)
    assert_same(from_numpy(np.asarray(volume), affine, dims=("z", "y", "x")), volume)
    frames = image(("t", "z", "y", "x"), (5, 2, 3, 4))
    assert to_numpy(frames)[0].shape == (4, 3, 2, 5)
    assert_same(from_numpy(*to_numpy(frames), dims=("x", "y", "z", "t")), frames)
    assert from_numpy(np.zeros((3, 4)), dims=("y", "x")).affine is None


def test_arrays_of_any_kind():
    for kind in (">i2", "<u2", ">f4", "longdouble", "?", ">c8", "u1"):
        values = np.arange(6).reshape(2, 3).astype(kind)[::-1]
        values.flags.writeable = False
        found = from_numpy(values, dims=("y", "x"))
        assert np.array_equal(found.data.numpy(), values), kind
    with pytest.raises(UsageError, match="does not hold numbers"):
        from_numpy(np.zeros((2, 2), dtype=[("R", "u1"), ("G", "u1")]), dims=("y", "x"))
    for dims in (("x", "y"), ("x", "y", "y"), ("x", "t", "z"), ()):
        with pytest.raises(UsageError, match="do not name the axes"):
            from_numpy(np.zeros((2, 2, 2)), dims=dims)


def test_complex_never_becomes_real_by_itself():
    complex_image = image(data=torch.randn(2, 3, 4, dtype=torch.complex64), unit="arbitrary")
    assert np.asarray(complex_image).dtype == np.complex64
    assert np.asarray(complex_image, dtype=np.complex128).dtype == np.complex128
    with pytest.raises(UsageError, match="complex values do not become real"):
        np.asarray(complex_image, dtype=np.float32)
    with pytest.raises(UsageError, match="TorchIO takes real values"):
        to_torchio(complex_image)
    assert_same(from_nibabel(to_nibabel(complex_image)), complex_image)
    assert_same(from_metatensor(to_metatensor(complex_image)), complex_image)
    assert np.asarray(image(), dtype=np.float64).dtype == np.float64
    assert np.array_equal(np.asarray(image().with_data(image().data[..., :].requires_grad_())), image().data)


@pytest.mark.parametrize(("dims", "shape"), SHAPES)
def test_nibabel(dims, shape, tmp_path):
    ours = image(dims, shape)
    file = to_nibabel(ours)
    assert np.allclose(file.affine, AFFINE)
    if "z" in dims:
        assert file.get_fdata().ravel().tolist() == ours.data.numpy().T.ravel().tolist()
        assert_same(from_nibabel(file, unit="HU"), ours)
    file.to_filename(tmp_path / "x.nii.gz")
    assert np.allclose(from_nibabel(nib.load(tmp_path / "x.nii.gz")).data.squeeze(), ours.data)


def test_nibabel_guesses_are_not_taken():
    file = nib.Nifti1Image(np.zeros((4, 3, 2), dtype=np.float32), None)
    file.header.set_zooms((1, 2, 3))
    found = from_nibabel(nib.Nifti1Image.from_bytes(file.to_bytes()))
    assert found.affine is None
    assert found.voxel_size == (1, 2, 3)
    sized = to_nibabel(Image(data=torch.zeros(2, 3, 4), voxel_size=(1, 2, 3)))
    assert (int(sized.header["sform_code"]), int(sized.header["qform_code"])) == (0, 0)
    assert from_nibabel(sized).voxel_size == (1, 2, 3)


def test_nibabel_lengths_and_slopes():
    file = nib.Nifti1Image(np.arange(24, dtype=np.int16).reshape(4, 3, 2), AFFINE)
    assert from_nibabel(file).data.dtype == torch.int16
    file.header.set_xyzt_units("meter")
    assert np.allclose(from_nibabel(file).affine[:3], AFFINE[:3] * 1000)
    file.header.set_xyzt_units("mm")
    file.header.set_slope_inter(0.5, 3)
    stored = nib.Nifti1Image.from_bytes(file.to_bytes())
    assert from_nibabel(stored).data.dtype == torch.float32
    assert np.allclose(to_numpy(from_nibabel(stored))[0], stored.get_fdata())
    for dtype, kept in ((torch.bool, torch.uint8), (torch.bfloat16, torch.float32), (torch.int64, torch.int64)):
        assert from_nibabel(to_nibabel(image(data=torch.ones(2, 3, 4).to(dtype)))).data.dtype == kept
    with pytest.raises(UsageError, match="pick parts"):
        to_nibabel(image(("t", "echo", "y", "x"), (2, 2, 3, 4)))


@pytest.mark.parametrize(("dims", "shape"), SHAPES)
def test_monai(dims, shape):
    from monai.data import MetaTensor

    ours = image(dims, shape)
    theirs = to_metatensor(ours)
    assert isinstance(theirs, MetaTensor)
    assert theirs.shape[1:] == ours.space[::-1]
    assert np.allclose(theirs.affine, AFFINE)
    back = from_metatensor(theirs)
    assert_same(back, ours)
    assert (back.unit, back.quantity) == ("HU", "attenuation")


def test_monai_moves_what_we_move():
    from monai.transforms import Orientation, Spacing

    ours = image(shape=(6, 7, 8), affine=np.diag([-1.0, 2, 3, 1]) + np.eye(4, k=3) * 5)
    turned = from_metatensor(Orientation(axcodes="RAS", labels=None)(to_metatensor(ours)))
    assert_same(turned, ours.oriented("RAS"))
    spaced = from_metatensor(Spacing(pixdim=(1.5, 1.5, 2), padding_mode="border")(to_metatensor(ours)))
    again = ours.with_data(ours.data.double()).resample(to=spaced)
    inner = np.s_[1:-1, 1:-1, 1:-1]
    assert np.allclose(spaced.data[inner], again.data[inner], atol=1e-4)


def test_monai_made_up_or_of_another_space():
    from monai.data import MetaTensor

    plain = MetaTensor(torch.zeros(1, 4, 3, 2))
    found = from_metatensor(plain)
    assert (found.affine, found.voxel_size) == (None, None)
    assert "makes one up" in found.notes[0]
    assert from_metatensor(
        MetaTensor(torch.zeros(2, 4, 3), affine=torch.from_numpy(AFFINE)), dims=("x", "y", "z")
    ).shape == (3, 4, 2)
    left = MetaTensor(torch.zeros(1, 4, 3, 2), affine=torch.from_numpy(AFFINE), meta={"space": "LPS"})
    assert np.allclose(from_metatensor(left).affine, np.diag([-1, -1, 1, 1]) @ AFFINE)
    for unplaced in (Image(data=torch.zeros(2, 3, 4)), Image(data=torch.zeros(3, 4), voxel_size=(1.5, 2))):
        assert_same(from_metatensor(to_metatensor(unplaced)), unplaced)
    simulated = image(affine=np.eye(4))
    assert_same(from_metatensor(to_metatensor(simulated)), simulated)
    with pytest.raises(UsageError, match="name the axes"):
        from_metatensor(MetaTensor(torch.zeros(4, 3, 2)))
    batch = MetaTensor(torch.zeros(1, 1, 4, 3, 2))
    batch.is_batch = True
    with pytest.raises(UsageError, match="several images"):
        from_metatensor(batch)
    named = MetaTensor(
        torch.zeros(1, 4, 3, 2), meta={"filename_or_obj": "/data/PLANTED^NAME.nii", "recon_unit": "PLANTED"}
    )
    assert "PLANTED" not in repr(from_metatensor(named)) + str(from_metatensor(named).metadata)


@pytest.mark.parametrize(("dims", "shape"), SHAPES[:3])
def test_torchio_style(dims, shape):
    ours = image(dims, shape)
    item = to_torchio(ours)
    assert item["tensor"].shape == (shape[0] if dims[0] == "channel" else 1, 4, 3, 2 if "z" in dims else 1)
    assert np.allclose(item["affine"], AFFINE)
    assert item["type"] == "intensity"
    back = from_torchio({"data": item["tensor"], "affine": item["affine"]}, unit="HU")
    assert torch.equal(back.data.squeeze(), ours.data)
    assert np.allclose(back.affine, AFFINE)


def test_torchio_labels_and_faults():
    labels = image(data=torch.ones(2, 3, 4, dtype=torch.uint8), unit="1", quantity="label")
    assert_same(from_torchio(to_torchio(labels)), labels)
    assert from_torchio(to_torchio(labels)).quantity == "label"
    assert from_torchio(to_torchio(Image(data=torch.zeros(2, 3, 4)))).affine is None
    for wrong in (
        {"data": torch.zeros(1, 2, 3, 4)},
        {"affine": AFFINE},
        {"data": torch.zeros(2, 3, 4), "affine": AFFINE},
    ):
        with pytest.raises(UsageError, match="TorchIO's"):
            from_torchio(wrong)


def test_torchio_itself():
    torchio = pytest.importorskip("torchio", reason="torchio is not installed")
    ours = image()
    theirs = torchio.ScalarImage(tensor=to_torchio(ours)["tensor"], affine=to_torchio(ours)["affine"])
    assert_same(from_torchio(theirs), ours)
    assert_same(from_torchio(torchio.ToCanonical()(theirs)), ours.oriented("RAS"))


def test_nothing_is_imported_before_it_is_used():
    code = "import sys, recon.io.convert; assert not {'monai', 'nibabel', 'torchio'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
    code = "import sys, recon.io.geometry, recon.io.metadata, recon.io.provenance; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
