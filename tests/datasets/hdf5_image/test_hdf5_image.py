"""Images in HDF5 files: values and place, and refusals of what leads out of the file."""

import h5py
import numpy as np
import pytest

import recon
from recon.errors import CodedFileError
from recon.testing import conformance_tests

VALUES = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)
AFFINE = np.array([[0, -2.0, 0, 10], [1.5, 0, 0, -20], [0, 0, 5, 30], [0, 0, 0, 1]])

test_conformance = conformance_tests("hdf5_image")


def named(name, **more):
    return {"use": "hdf5_image", "dataset": name, **more}


def test_place_and_unit(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        data = file.create_dataset("image", data=VALUES, compression="gzip")
        data.attrs["affine"] = AFFINE
        data.attrs["unit"] = "HU"
        data.attrs["patient"] = "SMITH^JOHN"
        file["other/volume"] = VALUES[0].astype(np.complex64)
        file["other/volume"].attrs["voxel_size"] = [0.5, 0.7]
    image = recon.read(tmp_path / "x.h5")
    assert np.array_equal(image.data.numpy(), VALUES)
    assert np.array_equal(image.affine, AFFINE)
    assert (image.unit, image.dims) == ("HU", ("z", "y", "x"))
    assert "SMITH" not in repr(image) + str(image.metadata) + str(image.notes)
    other = recon.read(tmp_path / "x.h5", reader=named("other/volume"))
    assert np.array_equal(other.data.numpy(), VALUES[0])
    assert other.data.is_complex()
    assert (other.affine, other.voxel_size) == (None, (0.5, 0.7))


def test_what_leads_out_of_the_file(tmp_path):
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["image"] = VALUES
    (tmp_path / "raw").write_bytes(bytes(1000))
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["external"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "image")
        file["real"] = VALUES
        file["soft"] = h5py.SoftLink("/real")
        file.create_dataset("raw", shape=(5, 5), dtype="u1", external=[(str(tmp_path / "raw"), 0, 25)])
        layout = h5py.VirtualLayout(shape=VALUES.shape, dtype="f4")
        layout[:] = h5py.VirtualSource(tmp_path / "secret.h5", "image", shape=VALUES.shape)
        file.create_virtual_dataset("virtual", layout)
        file.create_dataset("huge", shape=(2**20, 2**20), dtype="f8", chunks=(64, 64))
    for name in ("external", "soft", "raw", "virtual", "huge"):
        with pytest.raises(CodedFileError) as error:
            recon.read(tmp_path / "x.h5", reader=named(name))
        assert error.value.code == "RECON-HDF5-UNSAFE"
    assert np.array_equal(recon.read(tmp_path / "x.h5", reader=named("real")).data.numpy(), VALUES)


def test_an_external_link_called_image_is_not_followed(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["image"] = h5py.ExternalLink("/etc/passwd", "image")
    with pytest.raises(CodedFileError, match=r"RECON-HDF5-UNSAFE"):
        recon.read(tmp_path / "x.h5")


def test_what_is_no_image(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["text"] = "SMITH"
        file["line"] = np.zeros(5)
        file["image"] = VALUES
        file["image"].attrs["affine"] = np.zeros((4, 4))
    for name in ("text", "line", "none"):
        with pytest.raises(CodedFileError, match=r"RECON-HDF5-KIND"):
            recon.read(tmp_path / "x.h5", reader=named(name))
    with pytest.raises(CodedFileError, match=r"RECON-IMAGE-AFFINE"):
        recon.read(tmp_path / "x.h5")
    with pytest.raises(CodedFileError, match=r"RECON-IMAGE-SIZE"):
        recon.read(tmp_path / "x.h5", reader=named("image", limit_gb=1e-9))
    (tmp_path / "y.h5").write_bytes((tmp_path / "x.h5").read_bytes()[:300])
    with pytest.raises(CodedFileError, match=r"RECON-HDF5-DAMAGED"):
        recon.read(tmp_path / "y.h5")
