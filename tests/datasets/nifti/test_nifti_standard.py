"""NIfTI by the letter of the standard, and what a hostile file may not do."""

import gzip
import struct
import tracemalloc
import zlib

import nibabel as nib
import numpy as np
import pytest
import torch

import recon
from recon import Image
from recon.errors import CodedFileError, UsageError
from recon.io import stored_array
from recon_datasets.nifti import NiftiDataset, NiftiReader, NiftiWriter

AFFINE = np.array([[0, -2.0, 0, 10], [1.5, 0, 0, -20], [0, 0, 5, 30], [0, 0, 0, 1]])
RANDOM = np.random.default_rng(0)


def save(path, values, change=None):
    image = nib.Nifti1Image(values, AFFINE, dtype=values.dtype)
    if change:
        change(image)
    nib.save(image, path)
    return path


@pytest.fixture(params=["isal", "zlib"])
def packer(request, monkeypatch):
    """Run with isal and without."""
    if request.param == "zlib":
        monkeypatch.setattr(stored_array, "igzip", None)
    elif stored_array.igzip is None:
        pytest.skip("isal is not installed (extra fast)")


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize(
    ("dtype", "slope"),
    [(dtype, slope) for dtype in ("u1", "i2", ">i2", "u2", "i4", "f4", "f8") for slope in (None, (0.37, -1024.0))]
    + [("c16", None)],  # of complex values, nibabel adds an intercept to the real part alone
)
def test_float32(tmp_path, packer, suffix, dtype, slope):
    values = (100 + 30 * RANDOM.normal(size=(80, 90, 40)) * (1 + 1j if dtype == "c16" else 1)).astype(dtype)
    path = save(
        tmp_path / f"x{suffix}", values, (lambda image: image.header.set_slope_inter(*slope)) if slope else None
    )
    image = recon.read(path, reader={"use": "nifti", "dtype": "float32"})
    expected = np.asarray(nib.load(path).dataobj, dtype=np.complex128 if dtype == "c16" else np.float64)
    assert image.data.dtype == (torch.complex64 if dtype == "c16" else torch.float32)
    assert np.array_equal(image.data.numpy().T, expected.astype(np.complex64 if dtype == "c16" else np.float32))


def test_scaling_of_both_parts(tmp_path):
    values = np.array([[1 + 2j, 3 - 1j]], np.complex64)
    path = save(tmp_path / "x.nii", values)
    data = bytearray(path.read_bytes())
    struct.pack_into("<ff", data, 112, 2.0, 10.0)
    path.write_bytes(data)
    assert recon.read(path).data.T.tolist() == [[12 + 14j, 16 + 8j]]


@pytest.mark.parametrize("slope", [0.0, float("nan"), float("inf")])
def test_no_slope_means_no_intercept(tmp_path, slope):
    path = save(tmp_path / "x.nii", np.arange(12, dtype=np.int16).reshape(3, 4))
    data = bytearray(path.read_bytes())
    struct.pack_into("<ff", data, 112, slope, 7.0)
    path.write_bytes(data)
    image = recon.read(path)
    assert image.data.dtype == torch.int16
    assert image.data.flatten().sum() == 66


def test_choice_of_form(tmp_path):
    other = AFFINE.copy()
    other[:3, 3] += [0.05, 0, 0]

    def both(image):
        image.set_sform(AFFINE, 1)
        image.set_qform(other, 1)

    path = save(tmp_path / "x.nii", np.zeros((3, 4, 5), "i2"), both)
    assert recon.read(path).notes == ()  # within 0.1 mm
    assert np.allclose(recon.read(path, reader={"use": "nifti", "form": "qform"}).affine, other, atol=1e-5)
    other[0, 3] += 1
    save(path, np.zeros((3, 4, 5), "i2"), both)
    image = recon.read(path, reader={"use": "nifti", "form": "qform"})
    assert image.notes == ("RECON-NIFTI-FORMS: sform and qform disagree: the qform is used",)
    save(path, np.zeros((3, 4, 5), "i2"), lambda image: image.set_qform(None, 0))
    with pytest.raises(CodedFileError, match=r"RECON-NIFTI-AFFINE"):
        NiftiReader(form="qform").read(path)


def test_not_finite_and_trailing_are_told(tmp_path, packer):
    values = RANDOM.normal(size=(70, 80, 90)).astype(np.float32)
    values[3, 4, 5], values[60, 1, 80] = np.nan, -np.inf
    for suffix in (".nii", ".nii.gz"):
        path = save(tmp_path / f"x{suffix}", values)
        image = recon.read(path)
        assert image.notes == ("2 values are not finite",)
        assert np.array_equal(image.data.numpy().T, values, equal_nan=True)
    plain = (tmp_path / "x.nii").read_bytes()
    (tmp_path / "y.nii").write_bytes(plain + b"more")
    assert recon.read(tmp_path / "y.nii").notes[0] == "bytes behind the image were left out"
    (tmp_path / "y.nii.gz").write_bytes(gzip.compress(plain + b"more", 1))
    assert recon.read(tmp_path / "y.nii.gz").notes[0].endswith("and no checksum compared")


def test_a_bomb_behind_the_image_is_not_unpacked(tmp_path, packer):
    plain = save(tmp_path / "x.nii", np.ones((30, 40, 50), np.int16)).read_bytes()
    engine = zlib.compressobj(1, wbits=31)
    packed = [engine.compress(plain), *(engine.compress(bytes(2**24)) for _ in range(16)), engine.flush()]
    (tmp_path / "y.nii.gz").write_bytes(b"".join(packed))
    tracemalloc.start()
    image = recon.read(tmp_path / "y.nii.gz")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert int(image.data.sum()) == 60000
    assert peak < 2**24


def test_limits_come_before_memory(tmp_path):
    head = bytearray(save(tmp_path / "x.nii", np.zeros((2, 2, 2), np.int16)).read_bytes()[:352])
    struct.pack_into("<8h", head, 40, 3, 30000, 30000, 3000, 1, 1, 1, 1)
    (tmp_path / "y.nii").write_bytes(head + bytes(16))
    with pytest.raises(CodedFileError, match=r"RECON-IMAGE-TRUNCATED.*more than it can hold"):
        recon.read(tmp_path / "y.nii")
    struct.pack_into("<8h", head, 40, 3, 500, 500, 400, 1, 1, 1, 1)
    (tmp_path / "z.nii.gz").write_bytes(gzip.compress(bytes(head) + bytes(200_000_000), 1))
    with pytest.raises(CodedFileError, match=r"RECON-IMAGE-SIZE.*raise the limit"):
        NiftiReader(limit_gb=0.1).read(tmp_path / "z.nii.gz")


@pytest.mark.parametrize(
    ("offset", "form", "value", "message"),
    [
        (0, "<i", 349, "sizeof_hdr|no 'n\\+1'"),
        (72, "<h", 8, "bitpix is 8"),
        (70, "<h", 1, "datatype"),
        (108, "<f", 348.0, "vox_offset"),
        (108, "<f", 352.5, "vox_offset"),
        (108, "<f", float("nan"), "vox_offset"),
        (42, "<h", 0, "declares the shape"),
        (116, "<f", float("inf"), "scl_inter"),
    ],
)
def test_headers_against_the_standard(tmp_path, offset, form, value, message):
    path = save(tmp_path / "x.nii", np.zeros((3, 4, 5), "i2"), lambda image: image.header.set_slope_inter(2, 1))
    data = bytearray(path.read_bytes())
    struct.pack_into(form, data, offset, value)
    path.write_bytes(data)
    with pytest.raises(CodedFileError, match=message) as error:
        NiftiReader().read(path)
    assert error.value.code == "RECON-NIFTI-HEADER"


def test_every_byte_of_the_header_flipped(tmp_path):
    """A right result or a coded refusal, whatever byte of the header is wrong."""
    path = save(tmp_path / "x.nii", RANDOM.integers(0, 99, (5, 6, 7)).astype(np.int16))
    good = path.read_bytes()
    reader, refused = NiftiReader(), 0
    for offset in range(352):
        data = bytearray(good)
        data[offset] ^= 1 << int(RANDOM.integers(8))
        path.write_bytes(data)
        try:
            image = reader.read(path)
        except CodedFileError:
            refused += 1
        else:
            assert image.affine is None or np.isfinite(image.affine).all()
    assert 15 < refused < 200


def test_large_plain_files_are_mapped_and_stay_as_they_are(tmp_path):
    values = RANDOM.integers(-999, 999, (100, 110, 70)).astype(np.int16)
    path = save(tmp_path / "x.nii", values)
    before = path.read_bytes()
    tracemalloc.start()
    image = recon.read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < values.nbytes / 4
    image.data.zero_()
    assert path.read_bytes() == before
    recon.write(recon.read(path), path)  # onto itself
    assert np.array_equal(nib.load(path).get_fdata(), values)


def test_int16_on_request(tmp_path):
    values = torch.randn(3, 40, 50, generator=torch.Generator().manual_seed(0)) * 300 - 200
    image = Image(data=values, affine=AFFINE)
    recon.write(image, tmp_path / "x.nii.gz", writer={"use": "nifti", "dtype": "int16"})
    stored = nib.load(tmp_path / "x.nii.gz")
    assert stored.get_data_dtype() == np.int16
    step = float(values.max() - values.min()) / 65534
    assert float((recon.read(tmp_path / "x.nii.gz").data - values).abs().max()) <= 0.51 * step
    whole = Image(data=values.round(), affine=AFFINE)
    recon.write(whole, tmp_path / "x.nii.gz", writer={"use": "nifti", "dtype": "int16"})
    again = recon.read(tmp_path / "x.nii.gz")
    assert again.data.dtype == torch.int16
    assert torch.equal(again.data.float(), whole.data)
    for wrong in (torch.tensor([[1.0, float("nan")]]), torch.zeros(2, 2, dtype=torch.complex64)):
        with pytest.raises(UsageError, match="do not fit int16"):
            NiftiWriter(dtype="int16").write(Image(data=wrong), tmp_path / "y.nii")


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("axis", ["x", "y", "z"])
def test_dataset_of_scaled_volumes(tmp_path, suffix, axis):
    values = RANDOM.integers(-999, 999, (6, 7, 5, 3)).astype(np.int16)
    path = save(tmp_path / f"x{suffix}", values, lambda image: image.header.set_slope_inter(0.5, 3))
    data = NiftiDataset(root=path, axis=axis)
    expected = np.moveaxis(nib.load(path).get_fdata(), (3, "xyz".index(axis)), (0, 1))
    expected = expected.reshape(-1, *expected.shape[2:])
    assert len(data) == len(expected)
    for number in (0, 4, len(data) - 1):
        assert np.array_equal(data[number]["image"][0].numpy().T, expected[number])
