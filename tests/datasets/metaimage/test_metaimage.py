"""MetaImage: what ITK itself writes is read to the same values and places; refusals with codes."""

import numpy as np
import pytest
import torch

import recon
from recon.errors import CodedFileError
from recon.io.geometry import ras_lps
from recon.testing import conformance_tests
from recon_datasets.metaimage import MetaImageReader
from recon_datasets.metaimage.examples import _HEADER, _save

RANDOM = np.random.default_rng(0)

test_conformance = conformance_tests("metaimage")


@pytest.mark.parametrize("name", ["x.mha", "x.mhd"])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "i4", "i8", "f4", "f8"])
def test_equals_itk(tmp_path, name, packed, dtype):
    sitk = pytest.importorskip("SimpleITK", reason="needs SimpleITK, which writes the files")
    values = (100 * RANDOM.random(size=(3, 4, 5))).astype(dtype)
    written = sitk.GetImageFromArray(values)
    turned, _ = np.linalg.qr(RANDOM.normal(size=(3, 3)))
    written.SetDirection(turned.ravel().tolist())
    written.SetSpacing((1.5, 2.0, 5.0))
    written.SetOrigin((10.0, -20.0, 30.5))
    sitk.WriteImage(written, str(tmp_path / name), packed)
    image = recon.read(tmp_path / name)
    assert np.array_equal(image.data.numpy(), values)
    for x, y, z in ((0, 0, 0), (4, 0, 0), (0, 3, 0), (4, 3, 2)):
        lps = ras_lps(image.affine) @ [x, y, z, 1]
        assert np.allclose(lps[:3], written.TransformIndexToPhysicalPoint((x, y, z)), atol=1e-6)
    assert image.notes == ()


def test_channels_and_time(tmp_path):
    sitk = pytest.importorskip("SimpleITK", reason="needs SimpleITK, which writes the files")
    colours = RANDOM.integers(0, 255, (3, 4, 5, 3), dtype=np.uint8)
    sitk.WriteImage(sitk.GetImageFromArray(colours, isVector=True), str(tmp_path / "c.mha"))
    image = recon.read(tmp_path / "c.mha")
    assert image.dims == ("channel", "z", "y", "x")
    assert np.array_equal(image.data.movedim(0, -1).numpy(), colours)
    moving = RANDOM.normal(size=(2, 3, 4, 5)).astype(np.float32)
    sitk.WriteImage(sitk.GetImageFromArray(moving, isVector=False), str(tmp_path / "t.mha"))
    image = recon.read(tmp_path / "t.mha")
    assert image.dims == ("t", "z", "y", "x")
    assert np.array_equal(image.data.numpy(), moving)
    assert np.allclose(image.affine, np.diag([-1, -1, 1, 1]))  # ITK's identity is LPS
    flat = RANDOM.normal(size=(4, 5)).astype(np.float32)
    sitk.WriteImage(sitk.GetImageFromArray(flat), str(tmp_path / "f.mha"))
    image = recon.read(tmp_path / "f.mha")
    assert (image.dims, image.affine, image.voxel_size) == (("y", "x"), None, (1.0, 1.0))
    assert np.array_equal(image.data.numpy(), flat)


def change(path, old, new):
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new))
    return path


def test_without_a_place(tmp_path):
    path = change(_save(tmp_path, packed=False, source="LOCAL"), b"Offset = 10 -20 30\n", b"")
    image = recon.read(path)
    assert (image.affine, image.voxel_size, image.notes) == (None, (1.5, 2.0, 5.0), ("no position in the file",))


def test_big_endian_and_units(tmp_path):
    values = RANDOM.integers(-1000, 1000, (3, 4, 5)).astype(">i2")
    head = _HEADER.format(packed=False, source="LOCAL").replace("MSB = False", "MSB = True")
    (tmp_path / "x.mha").write_bytes(head.replace("Offset", "DistanceUnits = cm\nOffset").encode() + values.tobytes())
    image = recon.read(tmp_path / "x.mha")
    assert torch.equal(image.data, torch.from_numpy(values.astype("i2")))
    assert image.voxel_size == (15.0, 20.0, 50.0)
    assert np.allclose(image.affine[:3, 3], [-100, 200, 300])


@pytest.mark.parametrize("target", ["../secret", "/etc/hostname", "LIST", "slice%03d.raw 1 3 1", "C:\\x.raw"])
def test_data_elsewhere_are_refused(tmp_path, target):
    (tmp_path / "in").mkdir()
    (tmp_path / "secret").write_bytes(bytes(500))
    path = _save(tmp_path / "in", packed=False, source="a.raw")
    change(path, b"ElementDataFile = a.raw", f"ElementDataFile = {target}".encode())
    with pytest.raises(CodedFileError) as error:
        recon.read(path)
    assert error.value.code == "RECON-IMAGE-OUTSIDE"
    assert target not in str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        (b"DimSize = 5 4 3", b"DimSize = 5 4 3000", "TRUNCATED"),
        (b"DimSize = 5 4 3", b"DimSize = 5 4", "HEADER"),
        (b"DimSize = 5 4 3", b"DimSize = 5 0 3", "HEADER"),
        (b"DimSize = 5 4 3", b"DimSize = 5 4 1e300", "HEADER"),
        (b"NDims = 3", b"NDims = 9", "HEADER"),
        (b"Offset = 10", b"Offset = nan", "HEADER"),
        (b"0 0 -1", b"0 0 0", "AFFINE"),
        (b"MET_SHORT", b"MET_STRING", "CODEC"),
        (b"BinaryData = True", b"BinaryData = False", "CODEC"),
        (b"ElementSpacing = 1.5", b"ElementSpacing = -1.5", "HEADER"),
    ],
)
def test_damage(tmp_path, old, new, code):
    path = change(_save(tmp_path, packed=False, source="LOCAL"), old, new)
    with pytest.raises(CodedFileError) as error:
        recon.read(path)
    assert error.value.code == f"RECON-IMAGE-{code}"
    assert "\n" not in str(error.value)


def test_cut_and_packed_damage(tmp_path):
    path = _save(tmp_path, packed=True, source="LOCAL")
    data = path.read_bytes()
    for damaged in (data[:-30], data[:-1], data[:-2] + b"\0\0"):
        path.write_bytes(damaged)
        with pytest.raises(CodedFileError, match=r"RECON-IMAGE-(TRUNCATED|CHECKSUM)"):
            recon.read(path)
    path.write_bytes(data + b"more")
    assert recon.read(path).notes == ()  # behind the packed stream, nothing belongs to it
    with pytest.raises(CodedFileError, match=r"RECON-IMAGE-SIZE"):
        MetaImageReader(limit_gb=1e-8).read(path)
