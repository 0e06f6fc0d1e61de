"""NRRD: values as pynrrd has them, places as SimpleITK has them, refusals with codes."""

import nrrd
import numpy as np
import pytest
import torch

import recon
from recon.errors import CodedFileError
from recon.io.geometry import ras_lps
from recon.testing import conformance_tests
from recon_datasets.nrrd import NrrdReader

RANDOM = np.random.default_rng(0)
DIRECTIONS = np.array([[0.3, 1.5, 0.1], [2.0, -0.4, 0], [0, 0.2, -5]])

test_conformance = conformance_tests("nrrd")


def save(path, values, **header):
    fields = {"space": "left-posterior-superior", "space directions": DIRECTIONS, "space origin": [10.0, -20.0, 30.5]}
    fields |= {"kinds": ["domain"] * 3, "encoding": "raw"} | header
    nrrd.write(str(path), values, {name: value for name, value in fields.items() if value is not None})
    return path


@pytest.mark.parametrize("encoding", ["raw", "gzip", "bzip2"])
@pytest.mark.parametrize("dtype", ["u1", "i2", "i4", "f4", "f8"])
def test_values(tmp_path, encoding, dtype):
    values = (100 * RANDOM.normal(size=(5, 4, 3))).astype(dtype)
    image = recon.read(save(tmp_path / "x.nrrd", values, encoding=encoding))
    assert image.dims == ("z", "y", "x")
    assert image.data.numpy().dtype == np.dtype(dtype)
    assert np.array_equal(image.data.numpy().T, values)


@pytest.mark.parametrize("space", ["left-posterior-superior", "right-anterior-superior", "left-anterior-superior"])
def test_place_equals_simpleitk(tmp_path, space):
    sitk = pytest.importorskip("SimpleITK", reason="needs SimpleITK as a second reader")
    turned, _ = np.linalg.qr(RANDOM.normal(size=(3, 3)))  # SimpleITK takes no shear
    directions = turned * np.array([[1.5], [2.0], [5.0]])
    path = save(tmp_path / "x.nrrd", np.zeros((5, 4, 3), "i2"), space=space, **{"space directions": directions})
    image, other = recon.read(path), sitk.ReadImage(str(path))
    for x, y, z in ((0, 0, 0), (4, 0, 0), (0, 3, 0), (4, 3, 2)):
        lps = ras_lps(image.affine) @ [x, y, z, 1]
        assert np.allclose(lps[:3], other.TransformIndexToPhysicalPoint((x, y, z)), atol=1e-9)


def test_sheared_and_converted(tmp_path):
    path = save(tmp_path / "x.nrrd", np.zeros((5, 4, 3), "i2"), **{"space units": ["um"] * 3})
    image = recon.read(path)
    assert np.allclose(image.affine[:3, :3], np.diag([-1, -1, 1]) @ DIRECTIONS.T * 1e-3)
    assert image.notes == ("lengths multiplied by 0.001 to mm",)


def test_axes_that_are_not_of_space(tmp_path):
    values = RANDOM.integers(0, 255, (3, 5, 4, 2), dtype=np.uint8)
    rows = np.vstack([np.full(3, np.nan), DIRECTIONS])
    colours = save(tmp_path / "c.nrrd", values, kinds=["RGB-color", *["domain"] * 3], **{"space directions": rows})
    image = recon.read(colours)
    assert image.dims == ("channel", "z", "y", "x")
    assert np.array_equal(image.data.permute(0, 3, 2, 1).numpy(), values)
    assert np.allclose(image.affine[:3, 0], [-0.3, -1.5, 0.1])

    moving = np.moveaxis(values, 0, -1)
    rows = np.vstack([DIRECTIONS, np.full(3, np.nan)])
    image = recon.read(save(tmp_path / "t.nrrd", moving, kinds=[*["domain"] * 3, "time"], **{"space directions": rows}))
    assert image.dims == ("t", "z", "y", "x")
    assert np.array_equal(image.data.numpy().T, moving)

    parts = RANDOM.normal(size=(2, 5, 4)).astype(np.float32)
    none = {"space": None, "space directions": None, "space origin": None}
    image = recon.read(save(tmp_path / "z.nrrd", parts, kinds=["complex", "space", "space"], **none))
    assert torch.equal(image.data, torch.complex(*torch.from_numpy(parts.transpose(0, 2, 1).copy())))


def test_without_a_place(tmp_path):
    values = np.zeros((5, 4, 3), "i2")
    none = {"space": None, "space directions": None, "space origin": None}
    image = recon.read(save(tmp_path / "a.nrrd", values, spacings=[1.0, 2.0, 3.0], **none))
    assert (image.affine, image.voxel_size) == (None, (1.0, 2.0, 3.0))
    image = recon.read(save(tmp_path / "b.nrrd", values, **{"space origin": None}))
    assert image.affine is None
    assert np.allclose(image.voxel_size, np.linalg.norm(DIRECTIONS, axis=1))
    assert image.notes == ("no position in the file",)


def test_data_beside_and_elsewhere(tmp_path):
    values = RANDOM.integers(0, 99, (5, 4, 3)).astype("i2")
    (tmp_path / "in").mkdir()
    path = save(tmp_path / "in" / "x.nhdr", values)
    text = path.read_text(errors="replace")
    name = next(line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith("data file"))
    assert np.array_equal(recon.read(path).data.numpy().T, values)
    (tmp_path / "secret").write_bytes(bytes(200))
    for target in ("../secret", str(tmp_path / "secret"), "LIST", "x%03d.raw 1 3 1"):
        path.write_text(text.replace(f"data file: {name}", f"data file: {target}"))
        with pytest.raises(CodedFileError) as error:
            recon.read(path)
        assert error.value.code == "RECON-IMAGE-OUTSIDE"
        assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        (b"sizes: 5 4 3", b"sizes: 5 4 900", "TRUNCATED"),
        (b"sizes: 5 4 3", b"sizes: 5 -4 3", "HEADER"),
        (b"sizes: 5 4 3", b"sizes: 5 4", "HEADER"),
        (b"type: int16", b"type: block", "CODEC"),
        (b"encoding: raw", b"encoding: hex", "CODEC"),
        (b"endian: little", b"endian: middle", "HEADER"),
        (b"space origin: (10", b"space origin: (nan", "AFFINE"),
        (b"space directions: (0.29999999999999999,", b"space directions: (nan,", "HEADER"),
        (b"dimension: 3", b"dimension: x", "HEADER"),
    ],
)
def test_damage(tmp_path, old, new, code):
    path = save(tmp_path / "x.nrrd", np.ones((5, 4, 3), "i2"))
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new))
    with pytest.raises(CodedFileError) as error:
        recon.read(path)
    assert error.value.code == f"RECON-IMAGE-{code}"
    assert "\n" not in str(error.value)


def test_packed_damage_and_bombs(tmp_path):
    path = save(tmp_path / "x.nrrd", np.zeros((100, 100, 100), "i2"), encoding="gzip")
    with pytest.raises(CodedFileError, match=r"RECON-IMAGE-SIZE"):
        NrrdReader(limit_gb=0.001).read(path)
    data = bytearray(path.read_bytes())
    data[-6] ^= 0xFF  # in the checksum
    path.write_bytes(data)
    with pytest.raises(CodedFileError, match=r"RECON-IMAGE-CHECKSUM"):
        recon.read(path)
    path.write_bytes(data[:-200])
    with pytest.raises(CodedFileError, match=r"RECON-IMAGE-(TRUNCATED|CHECKSUM)"):
        recon.read(path)
