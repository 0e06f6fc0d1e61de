"""NIfTI in and out: nibabel agrees, geometry survives, damage is refused."""

import gzip
import pickle
import struct

import nibabel as nib
import numpy as np
import pytest
import torch

import recon
from recon import Image
from recon.errors import CodedFileError, FileFormatError, UsageError
from recon_datasets.nifti import NiftiDataset, NiftiReader

AFFINE = np.array([[0.1, -2.0, 0, 10], [1.5, 0.2, 0, -20], [0, 0, 5, 30.3], [0, 0, 0, 1]])
# Rotated, without shear.
ROTATED = np.array([[0, -2.0, 0, 10], [1.5, 0, 0, -20], [0, 0, 5, 30], [0, 0, 0, 1]])
RANDOM = np.random.default_rng(0)


def save(path, shape=(5, 7, 3), dtype="i2", affine=ROTATED, kind=nib.Nifti1Image, change=None):
    values = (1000 * RANDOM.normal(size=shape)).astype(dtype)
    image = kind(values, affine, dtype=dtype)
    if change:
        change(image)
    nib.save(image, path)
    return values


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("dtype", ["i2", ">i2", "u1", "i4", "f4", "f8", "c8", "c16"])
def test_equals_nibabel(tmp_path, suffix, kind, dtype):
    path = tmp_path / f"x{suffix}"
    header = kind.header_class(endianness=">") if dtype[0] == ">" else None
    values = (100 * RANDOM.normal(size=(5, 7, 3)) * (1 + 1j if dtype[0] == "c" else 1)).astype(dtype)
    if header is not None:
        header.set_data_dtype(dtype)
    nib.save(kind(values, AFFINE, header), path)
    image = recon.read(path)
    assert torch.equal(image.data, torch.from_numpy(values.astype(values.dtype.newbyteorder("="))).permute(2, 1, 0))
    assert image.data.numpy().dtype == np.dtype(dtype).newbyteorder("=")
    assert np.array_equal(image.affine, nib.load(path).affine)
    assert image.dims == ("z", "y", "x")


@pytest.mark.parametrize("kind", [nib.Nifti1Pair, nib.Nifti2Pair])
@pytest.mark.parametrize("packed", [False, True])
def test_pairs_of_files(tmp_path, kind, packed):
    """As SPM wrote them: the header names the image."""
    ending = ".gz" if packed else ""
    values = save(tmp_path / f"x.img{ending}", kind=kind)
    image = recon.read(tmp_path / f"x.hdr{ending}")
    assert np.array_equal(image.data.numpy().T, values)
    assert np.array_equal(image.affine, nib.load(tmp_path / f"x.img{ending}").affine)
    (tmp_path / f"x.img{ending}").rename(tmp_path / "other.img")
    with pytest.raises(CodedFileError, match=r"RECON-IMAGE-TRUNCATED.*its voxels, \.img, are not beside it"):
        recon.read(tmp_path / f"x.hdr{ending}")


@pytest.mark.parametrize(("dtype", "wider"), [("u2", torch.int32), ("u4", torch.int64), ("u8", torch.int64)])
def test_unsigned_types_become_wider(tmp_path, dtype, wider):
    values = RANDOM.integers(0, 60000, (3, 4, 5)).astype(dtype)
    nib.save(nib.Nifti1Image(values, ROTATED, dtype=dtype), tmp_path / "x.nii")
    image = recon.read(tmp_path / "x.nii")
    assert image.data.dtype == wider
    assert np.array_equal(image.data.numpy().T, values)


def test_slope_is_applied(tmp_path):
    save(tmp_path / "x.nii", change=lambda image: image.header.set_slope_inter(0.37, -1024))
    image = recon.read(tmp_path / "x.nii")
    expected = nib.load(tmp_path / "x.nii").get_fdata()
    assert image.data.dtype == torch.float32
    assert np.array_equal(image.data.numpy().T, expected.astype(np.float32))


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("dtype", [torch.int16, torch.float32, torch.float64, torch.complex64, torch.uint8])
def test_round_trip_is_exact(tmp_path, suffix, dtype):
    save(tmp_path / f"source{suffix}", affine=AFFINE)
    first = recon.read(tmp_path / f"source{suffix}")
    image = first.with_data(torch.randint(0, 255, (3, 7, 5), generator=torch.Generator().manual_seed(0)).to(dtype))
    recon.write(image, tmp_path / f"out{suffix}")
    again = recon.read(tmp_path / f"out{suffix}")
    assert again.data.dtype == dtype
    assert torch.equal(again.data, image.data)
    assert np.array_equal(again.affine, first.affine)
    assert np.array_equal(nib.load(tmp_path / f"out{suffix}").affine, first.affine)


@pytest.mark.parametrize(
    ("dims", "shape", "stored", "back"),
    [
        (("y", "x"), (4, 5), (5, 4), ("y", "x")),
        (("t", "z", "y", "x"), (2, 3, 4, 5), (5, 4, 3, 2), ("t", "z", "y", "x")),
        (("echo", "z", "y", "x"), (2, 3, 4, 5), (5, 4, 3, 2), ("t", "z", "y", "x")),
        (("batch", "y", "x"), (2, 4, 5), (5, 4, 1, 2), ("t", "z", "y", "x")),
        (("channel", "y", "x"), (3, 4, 5), (5, 4, 1, 1, 3), ("channel", "z", "y", "x")),
        (("t", "channel", "z", "y", "x"), (2, 6, 3, 4, 5), (5, 4, 3, 2, 6), ("channel", "t", "z", "y", "x")),
    ],
)
def test_axes(tmp_path, dims, shape, stored, back):
    image = Image(data=torch.arange(np.prod(shape), dtype=torch.float32).reshape(shape), dims=dims, affine=ROTATED)
    recon.write(image, tmp_path / "x.nii")
    assert nib.load(tmp_path / "x.nii").shape == stored
    again = recon.read(tmp_path / "x.nii")
    assert again.dims == back
    named = ["t" if name in ("echo", "batch") else name for name in dims]
    order = [named.index(name) for name in back if name in named]
    assert torch.equal(again.data.squeeze(), image.data.permute(order).squeeze())
    assert np.array_equal(again.affine, ROTATED)


def test_voxel_of_the_affine_is_the_voxel_of_the_data(tmp_path):
    values = np.zeros((5, 7, 3), np.float32)
    values[4, 2, 1] = 1
    nib.save(nib.Nifti1Image(values, AFFINE), tmp_path / "x.nii")
    image = recon.read(tmp_path / "x.nii")
    z, y, x = torch.nonzero(image.data)[0].tolist()
    assert np.array_equal(image.affine @ [x, y, z, 1], nib.load(tmp_path / "x.nii").affine @ [4, 2, 1, 1])


def test_form_rules(tmp_path):
    other = ROTATED.copy()
    other[:3, 3] += 30

    def both(image):
        image.set_sform(ROTATED, 4)
        image.set_qform(other, 1)

    def only_qform(image):
        image.set_sform(None, 0)
        image.set_qform(other, 1)

    def neither(image):
        image.set_sform(None, 0)
        image.set_qform(None, 0)

    save(tmp_path / "both.nii", change=both)
    image = recon.read(tmp_path / "both.nii")
    assert np.array_equal(image.affine, ROTATED)
    assert image.notes == ("RECON-NIFTI-FORMS: sform and qform disagree: the sform is used",)
    assert image.metadata == {"coordinate_space": "mni"}
    recon.write(image, tmp_path / "again.nii")
    assert int(nib.load(tmp_path / "again.nii").header["sform_code"]) == 4

    save(tmp_path / "q.nii", change=only_qform)
    assert np.allclose(recon.read(tmp_path / "q.nii").affine, other, atol=1e-5)

    save(tmp_path / "none.nii", change=neither)
    image = recon.read(tmp_path / "none.nii")
    assert image.affine is None
    assert image.voxel_size == (1.5, 2.0, 5.0)
    assert "both form codes are 0" in image.notes[0]
    recon.write(image, tmp_path / "again.nii")
    again = recon.read(tmp_path / "again.nii")
    assert again.affine is None
    assert again.voxel_size == (1.5, 2.0, 5.0)


def test_sheared_affine_is_not_in_the_qform(tmp_path):
    sheared = AFFINE.copy()
    sheared[0, 2] = 3
    recon.write(Image(data=torch.zeros(3, 4, 5), affine=sheared), tmp_path / "x.nii")
    header = nib.load(tmp_path / "x.nii").header
    assert (int(header["qform_code"]), int(header["sform_code"])) == (0, 1)
    assert np.allclose(recon.read(tmp_path / "x.nii").affine, sheared, atol=1e-6)
    recon.write(Image(data=torch.zeros(3, 4, 5), affine=ROTATED), tmp_path / "y.nii")
    header = nib.load(tmp_path / "y.nii").header
    assert int(header["qform_code"]) == 1
    assert np.allclose(header.get_qform(), ROTATED, atol=1e-5)
    assert np.allclose(header.get_zooms(), (1.5, 2, 5))


@pytest.mark.parametrize(("unit", "factor"), [("micron", 1e-3), ("meter", 1e3), ("mm", 1)])
def test_units(tmp_path, unit, factor):
    save(tmp_path / "x.nii", change=lambda image: image.header.set_xyzt_units(unit))
    image = recon.read(tmp_path / "x.nii")
    assert np.allclose(image.affine[:3], ROTATED[:3] * factor)
    assert (unit == "mm") == (image.notes == ())


def test_colours(tmp_path):
    rgb = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
    values = RANDOM.integers(0, 255, (4, 5, 2, 3), dtype=np.uint8)
    nib.save(nib.Nifti1Image(values.copy().view(rgb).reshape(4, 5, 2), ROTATED), tmp_path / "x.nii")
    image = recon.read(tmp_path / "x.nii")
    assert image.dims == ("channel", "z", "y", "x")
    assert np.array_equal(image.data.permute(3, 2, 1, 0).numpy(), values)


def test_not_a_number_is_kept(tmp_path):
    values = np.array([[1, np.nan], [np.inf, -np.inf]], np.float32)
    nib.save(nib.Nifti1Image(values, ROTATED), tmp_path / "x.nii")
    assert np.array_equal(recon.read(tmp_path / "x.nii").data.numpy().T, values, equal_nan=True)


def test_content_decides_not_the_suffix(tmp_path):
    values = save(tmp_path / "x.nii")
    (tmp_path / "y.nii.gz").write_bytes((tmp_path / "x.nii").read_bytes())
    (tmp_path / "z.nii").write_bytes(gzip.compress((tmp_path / "x.nii").read_bytes()))
    for name in ("y.nii.gz", "z.nii"):
        assert np.array_equal(recon.read(tmp_path / name).data.numpy().T, values)


def patch(offset, form, value):
    def change(data):
        struct.pack_into(form, data, offset, value)
        return data

    return change


def flip_checksum(data):
    data[-8] ^= 0xFF
    return data


@pytest.mark.parametrize(
    ("suffix", "damage", "message"),
    [
        (".nii", lambda data: data[: len(data) // 2], "more than it can hold"),
        (".nii", lambda data: data[:-1], "more than it can hold|damaged or cut off"),
        (".nii.gz", lambda data: data[: len(data) // 2], "damaged or cut off"),
        (".nii.gz", flip_checksum, "damaged or cut off"),
        (".nii", patch(42, "<h", 30000), "more than it can hold"),
        (".nii", patch(42, "<h", -5), "damaged|declares the shape"),
        (".nii", patch(40, "<h", 100), "damaged|declares the shape"),
        (".nii", patch(70, "<h", 12345), "damaged"),
        (".nii", patch(280, "<f", float("nan")), "not finite"),
        (".nii", patch(108, "<f", 100.0), "damaged"),
        (".nii", patch(108, "<f", 3e38), "damaged"),
        (".nii", patch(254, "<h", 77), "against the standard.*sform_code"),
        (".nii", patch(252, "<h", -3), "against the standard.*qform_code"),
        (".nii", lambda data: data[:100], "does not recognise"),
        (".nii", lambda data: b"hello" * 100, "does not recognise"),
    ],
)
def test_damage_is_refused(tmp_path, suffix, damage, message):
    path = tmp_path / f"x{suffix}"
    save(path, shape=(20, 30, 10), change=lambda image: image.set_sform(ROTATED, 1))
    path.write_bytes(damage(bytearray(path.read_bytes())))
    with pytest.raises(FileFormatError, match=message) as error:
        recon.read(path)
    assert "\n" not in str(error.value)


def test_missing_file(tmp_path):
    with pytest.raises(FileFormatError, match="does not exist"):
        NiftiReader().read(tmp_path / "x.nii")


def test_what_a_nifti_cannot_hold(tmp_path):
    for image, message in (
        (recon.Measurement(data=torch.zeros(1, 1, 2)), "not a measurement"),
        (Image(data=torch.zeros(2, 2, 2, 2, 2), dims=("t", "echo", "z", "y", "x")), "write parts"),
        (Image(data=torch.full((2, 2), 2**40)), "more than 32 bits"),
    ):
        with pytest.raises(UsageError, match=message):
            recon.write(image, tmp_path / "x.nii")
    assert list(tmp_path.iterdir()) == []


def test_equal_images_give_equal_files(tmp_path):
    image = Image(data=torch.zeros(2, 3, 4), affine=ROTATED)
    for name in ("a.nii.gz", "b.nii.gz"):
        recon.write(image, tmp_path / name)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_dataset(tmp_path, suffix):
    one = save(tmp_path / f"a{suffix}", (5, 7, 3), "i2")
    two = save(tmp_path / f"b{suffix}", (5, 7, 3, 2), "f4")
    slices = NiftiDataset(root=tmp_path)
    assert len(slices) == 9
    assert np.array_equal(slices[1]["image"][0].numpy(), one[:, :, 1].T)
    assert np.array_equal(slices[8]["image"][0].numpy(), two[:, :, 2, 1].T)
    assert slices[0]["image"].dtype == torch.float32
    across_y = NiftiDataset(root=tmp_path, axis="y")
    assert np.array_equal(across_y[2]["image"][0].numpy(), one[:, 2].T)
    volumes = NiftiDataset(root=tmp_path, items="volumes", divide_by="maximum")
    assert len(volumes) == 3
    expected = two[..., 1].T / np.float32(np.abs(two[..., 1]).max())
    assert np.allclose(volumes[2]["image"][0].numpy(), expected)
    slices[0]["image"].zero_()
    assert np.array_equal(slices[0]["image"][0].numpy(), one[:, :, 0].T)
    assert torch.equal(pickle.loads(pickle.dumps(slices))[8]["image"], slices[8]["image"])
    with pytest.raises(IndexError):
        slices[9]


def test_dataset_of_nothing(tmp_path):
    with pytest.raises(FileFormatError, match=r"holds no file ending in \.nii"):
        len(NiftiDataset(root=tmp_path))
    (tmp_path / "x.nii").write_text("hello")
    with pytest.raises(FileFormatError, match=r"x\.nii is not a NIfTI image"):
        len(NiftiDataset(root=tmp_path))


def test_real_files(shared_data, tmp_path):
    paths = sorted((shared_data / "nifti").rglob("*.nii.gz")) + sorted((shared_data / "nifti").rglob("*.nii"))
    assert paths
    for path in paths:
        image, expected = recon.read(path), nib.load(path)
        assert np.array_equal(image.affine, expected.affine)
        assert np.allclose(image.data.numpy().T, expected.get_fdata(dtype=np.float32))
        recon.write(image, tmp_path / "x.nii.gz")
        again = nib.load(tmp_path / "x.nii.gz")
        assert np.allclose(again.affine, expected.affine, atol=1e-4)
        assert np.allclose(again.get_fdata(), expected.get_fdata(), rtol=1e-6)
