"""fastMRI files: the published layout, its traps, and other HDF5 files refused."""

import multiprocessing
import pickle

import h5py
import numpy as np
import pytest
import torch

import recon
from recon.errors import FileFormatError
from recon_datasets.fastmri import FastMRI, write_fastmri, write_synthetic


def test_multicoil_items(tmp_path):
    write_synthetic(tmp_path / "b.h5", slices=2, coils=3)
    (tmp_path / "batch_1").mkdir()
    write_synthetic(tmp_path / "batch_1" / "a.h5", slices=1, coils=3, seed=1)
    for junk in (".DS_Store", "._b.h5", "manifest.txt"):
        (tmp_path / junk).write_text("junk")
    data = FastMRI(root=tmp_path)
    assert len(data) == 3
    item = data[1]
    with h5py.File(tmp_path / "b.h5") as file:
        assert np.array_equal(item["measurement"].numpy(), file["kspace"][1])
        assert np.array_equal(item["image"][0].numpy(), file["reconstruction_rss"][1])
        assert item["maximum"] == pytest.approx(file["reconstruction_rss"][()].max())
    assert item["mask"].all()
    assert [int(data[i]["volume"]) for i in range(3)] == [0, 0, 1]
    assert [int(data[i]["slice"]) for i in range(3)] == [0, 1, 0]
    with pytest.raises(IndexError):
        data[3]


def test_singlecoil_target_is_esc(tmp_path):
    path = tmp_path / "a.h5"
    write_synthetic(path, coils=None)
    with h5py.File(path, "r+") as file:
        file["reconstruction_rss"][...] = 0
        esc = file["reconstruction_esc"][()]
    item = FastMRI(root=path, challenge="singlecoil")[0]
    assert item["measurement"].shape == (1, 32, 24)
    assert np.array_equal(item["image"][0].numpy(), esc[0])
    with pytest.raises(FileFormatError, match=r"none of which is asked for: singlecoil \(1\)"):
        len(FastMRI(root=path, challenge="multicoil"))


@pytest.mark.parametrize("coils", [None, 3])
def test_coil_images_give_k_space_and_the_reference(tmp_path, coils):
    write_synthetic(tmp_path / "a.h5", coils=coils, shape=(33, 26), size=(20, 15))
    plain, item = (FastMRI(root=tmp_path, form=form, scale=1e4)[1] for form in ("kspace", "coils"))
    assert torch.equal(item["target"], plain["image"])
    fourier = recon.build("operator", "fourier")
    torch.testing.assert_close(fourier(item["image"][None])[0], plain["measurement"])
    rss = torch.linalg.vector_norm(item["image"], dim=0, keepdim=True)[:, 6:26, 5:20]
    torch.testing.assert_close(rss, item["target"])


def test_test_sets_are_reconstructed_with_their_own_masks(tmp_path):
    masks = [torch.arange(24) % 3 == 0, torch.arange(24) % 4 == 1]
    for number, mask in enumerate(masks):
        write_synthetic(tmp_path / f"{number}.h5", slices=1, mask=mask, reference=False, seed=number)
    data = FastMRI(root=tmp_path)
    operator = recon.build("operator", "fourier").for_items({"mask": torch.stack([item["mask"] for item in data])})
    assert torch.equal(operator.mask[:, 0, 0], torch.stack(masks))
    y = torch.stack([item["measurement"] for item in data])
    torch.testing.assert_close(operator(operator.adjoint(y)), y)


def test_scale(tmp_path):
    write_synthetic(tmp_path / "a.h5")
    plain, scaled = FastMRI(root=tmp_path)[0], FastMRI(root=tmp_path, scale=1e4)[0]
    for name in ("measurement", "image", "maximum"):
        assert torch.allclose(scaled[name], plain[name] * 1e4)


def test_reference_is_the_rss_of_the_cropped_coil_images(tmp_path):
    write_synthetic(tmp_path / "a.h5", coils=3, shape=(33, 26), size=(20, 15))
    measurement = recon.read(tmp_path / "a.h5")
    images = measurement.operator().adjoint(measurement.data)
    rss = images.abs().square().sum(1).sqrt()
    assert torch.allclose(rss[:, 6:26, 5:20], measurement.reference.data, atol=1e-9)


def test_reader(tmp_path):
    mask = torch.arange(24) % 2 == 0
    mask[10:14] = True
    write_synthetic(tmp_path / "a.h5", slices=2, coils=3, mask=mask)
    y = recon.read(tmp_path / "a.h5")
    assert y.data.shape == (2, 3, 32, 24)
    assert y.operator_config["use"] == "fourier"
    assert torch.equal(y.operator_config["mask"], mask)
    assert torch.equal(y.operator().mask_for((32, 24)), mask)
    assert y.affine is None
    assert y.voxel_size == pytest.approx((0.5, 0.5, 3.0))
    assert y.reference.dims == ("z", "y", "x")
    assert y.metadata["encoded_matrix"] == (32, 24, 1)
    assert y.metadata["recon_matrix"] == (20, 20, 1)
    assert y.metadata["padding"] == (0, 24)
    assert y.metadata["acquisition"] == "CORPD_FBK"
    assert y.metadata["field_strength_T"] == pytest.approx(2.8936)
    assert y.metadata["num_low_frequency"] == 5
    assert "patient" not in repr(y) + str(y.metadata)
    # Columns that were not measured hold +0: the sign of -0 would leak what was there.
    assert not torch.signbit(torch.view_as_real(y.data[..., ~mask])).any()


def header(path, text):
    with h5py.File(path, "r+") as file:
        file.pop("ismrmrd_header", None)
        if text is not None:
            file["ismrmrd_header"] = text


def test_lenient_headers(tmp_path):
    path = tmp_path / "a.h5"
    write_synthetic(path)
    header(path, b'<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD"><encoding/></ismrmrdHeader>')
    y = recon.read(path)
    assert y.voxel_size is None
    assert "encoded_matrix" not in y.metadata
    header(path, None)
    assert recon.read(path).notes == ("no header in the file",)
    header(path, b"not xml")
    with pytest.raises(FileFormatError, match="is not XML"):
        recon.read(path)
    header(path, b'<!DOCTYPE x [<!ENTITY a "b">]><ismrmrdHeader/>')
    with pytest.raises(FileFormatError, match="XML entities"):
        recon.read(path)


@pytest.mark.parametrize(("center", "last", "expected"), [(12, 19, (0, 20)), (8, 15, (4, 20)), (20, 30, (0, 23))])
def test_padding_is_clipped(tmp_path, center, last, expected):
    path = tmp_path / "a.h5"
    write_synthetic(path)
    with h5py.File(path) as file:
        text = file["ismrmrd_header"][()].decode()
    text = text.replace("<center>12<", f"<center>{center}<").replace("<maximum>23<", f"<maximum>{last}<")
    header(path, text.encode())
    assert recon.read(path).metadata["padding"] == expected


def test_files_without_reference(tmp_path):
    mask = torch.arange(24) % 3 == 0
    write_synthetic(tmp_path / "a.h5", mask=mask, reference=False)
    item = FastMRI(root=tmp_path)[0]
    assert "image" not in item
    assert torch.equal(item["mask"], mask[None, None])
    with pytest.raises(FileFormatError, match="is undersampled: form 'coils' needs fully sampled files"):
        len(FastMRI(root=tmp_path, form="coils"))
    write_synthetic(tmp_path / "b.h5")
    with pytest.raises(FileFormatError, match=r"some files .* have a reference and some do not"):
        len(FastMRI(root=tmp_path))


def take(data, queue):
    queue.put(float(data[1]["measurement"].abs().sum()))


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_open_files_do_not_cross_processes(tmp_path, method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} here")
    write_synthetic(tmp_path / "a.h5")
    data = FastMRI(root=tmp_path)
    expected = float(data[1]["measurement"].abs().sum())
    if method == "spawn":  # what a spawned worker gets
        copy = pickle.loads(pickle.dumps(data))
        assert not copy._open
        assert float(copy[1]["measurement"].abs().sum()) == expected
        return
    data._process = -1  # what a forked worker finds: handles of another process
    opened = data._open
    assert float(data[1]["measurement"].abs().sum()) == expected
    assert data._open is not opened


def test_few_files_stay_open(tmp_path):
    for number in range(4):
        write_synthetic(tmp_path / f"{number}.h5", slices=1, seed=number)
    data = FastMRI(root=tmp_path, keep_open=2)
    values = [float(data[i]["measurement"].abs().sum()) for i in (0, 1, 2, 3, 0)]
    assert len(data._open) == 2
    assert values[0] == values[4] != values[1]


def other_layout(path, **datasets):
    with h5py.File(path, "w") as file:
        for name, value in datasets.items():
            file[name] = value


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"dataset/xml": b"<x/>"}, "no dataset 'kspace' but dataset; an ISMRMRD file"),
        ({}, "no dataset 'kspace' but nothing"),
        ({"kspace": np.zeros((2, 3, 4))}, "'kspace' is float64"),
        ({"kspace": np.zeros((3, 4), "c8")}, "complex \\(slice, H, W\\)"),
        ({"kspace/x": 1}, "is a group"),
        ({"kspace": np.zeros((2, 3, 4), "c8"), "mask": np.ones(3)}, "does not fit 4 columns"),
        ({"kspace": np.zeros((2, 3, 4), "c8"), "reconstruction_esc": np.ones((1, 3, 4))}, "does not fit 2 slices"),
    ],
)
def test_other_hdf5_files_are_refused(tmp_path, content, message):
    other_layout(tmp_path / "a.h5", **content)
    with pytest.raises(FileFormatError, match=message) as error:
        len(FastMRI(root=tmp_path))
    assert "\n" not in str(error.value)


def test_damaged_and_missing_files(tmp_path):
    with pytest.raises(FileFormatError, match="does not exist"):
        len(FastMRI(root=tmp_path / "none"))
    with pytest.raises(FileFormatError, match=r"holds no file ending in \.h5"):
        len(FastMRI(root=tmp_path))
    path = tmp_path / "a.h5"
    write_synthetic(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(FileFormatError, match=r"a\.h5 is not a readable HDF5 file"):
        len(FastMRI(root=tmp_path))
    path.write_text("hello")
    with pytest.raises(FileFormatError, match=r"a\.h5 is not a readable HDF5 file"):
        len(FastMRI(root=tmp_path))


def test_writer_refuses_nonsense(tmp_path):
    with pytest.raises(recon.ReconError, match="must be complex"):
        write_fastmri(tmp_path / "a.h5", torch.zeros(2, 3, 4), size=(2, 2))
    with pytest.raises(recon.ReconError, match="cannot be cropped"):
        write_fastmri(tmp_path / "a.h5", torch.zeros(2, 3, 4, dtype=torch.complex64), size=(5, 2))
    assert list(tmp_path.iterdir()) == []
