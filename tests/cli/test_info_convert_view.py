"""The verbs info, convert and view, from the command line's door."""

import json

import h5py
import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image as Pillow

import recon
from recon import Image, Measurement
from recon.cli import main
from recon_datasets.dicom_series import write_slices
from recon_datasets.fastmri import write_synthetic

RAS = np.diag([2.0, 3.0, 4.0, 1.0])


@pytest.fixture
def volume(tmp_path):
    """A NIfTI volume (5, 4, 3) whose values are 100 z + 10 y + x."""
    x, y, z = np.meshgrid(range(5), range(4), range(3), indexing="ij")
    path = tmp_path / "volume.nii.gz"
    nib.save(nib.Nifti1Image((100 * z + 10 * y + x).astype(np.int16), RAS), path)
    return path


@pytest.fixture
def series(tmp_path):
    values = np.random.default_rng(0).integers(0, 2000, (4, 6, 8))
    write_slices(tmp_path / "series", values, spacing=(1.0, 1.0))
    return tmp_path / "series"


@pytest.fixture
def kspace(tmp_path):
    write_synthetic(tmp_path / "knee.h5", mask=torch.arange(24) % 2 == 0)
    return tmp_path / "knee.h5"


def lines(capsys):
    return capsys.readouterr().out.splitlines()


def test_info_of_an_image(volume, capsys):
    assert main(["info", str(volume)]) == 0
    out = capsys.readouterr().out
    for part in ("image", "z 3, y 4, x 5", "int16", "0 to 234", "2 x 3 x 4 mm", "RAS", "coordinate_space"):
        assert part in out


def test_info_of_a_series_names_nobody(series, capsys):
    assert main(["info", str(series)]) == 0
    out = capsys.readouterr().out
    assert "HU" in out
    assert "LPS" in out
    assert "Nobody" not in out


def test_info_of_a_measurement(kspace, capsys):
    assert main(["info", str(kspace)]) == 0
    out = capsys.readouterr().out
    for part in ("measurement", "2 x 3 x 32 x 24", "complex64", "(magnitude)", "use: fourier", "bool array (24,)"):
        assert part in out
    assert "unknown: the file does not say where" in out
    assert "patient_id" not in out


def test_info_as_json(volume, kspace, capsys):
    assert main(["info", str(volume), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["affine"] == RAS.tolist()
    assert main(["info", str(kspace), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["operator"] == {"use": "fourier", "mask": "bool array (24,)"}


def test_info_counts_what_is_not_finite(tmp_path, capsys):
    recon.write(Image(data=torch.tensor([[1.0, float("nan")], [2.0, float("inf")]])), tmp_path / "x.nii")
    assert main(["info", str(tmp_path / "x.nii")]) == 0
    assert "1 to 2, 2 not finite" in capsys.readouterr().out


def test_convert_dicom_to_nifti(series, tmp_path, capsys):
    assert main(["convert", str(series), str(tmp_path / "out.nii.gz")]) == 0
    assert lines(capsys) == [str(tmp_path / "out.nii.gz")]
    image, file = recon.read(series), nib.load(tmp_path / "out.nii.gz")
    assert np.allclose(file.affine, image.affine, atol=1e-5)
    assert np.array_equal(file.get_fdata().T, image.data.numpy())


def test_convert_keeps_a_nifti(volume, tmp_path):
    assert main(["convert", str(volume), str(tmp_path / "out.nii")]) == 0
    before, after = nib.load(volume), nib.load(tmp_path / "out.nii")
    assert np.array_equal(before.affine, after.affine)
    assert np.array_equal(np.asarray(before.dataobj), np.asarray(after.dataobj))
    assert after.get_data_dtype() == np.int16


def test_convert_measurements(kspace, tmp_path, capsys):
    assert main(["convert", str(kspace), str(tmp_path / "own.h5")]) == 0
    assert torch.equal(recon.read(tmp_path / "own.h5").data, recon.read(kspace).data)
    assert main(["convert", str(kspace), str(tmp_path / "ref.nii.gz"), "--reference"]) == 0
    with h5py.File(kspace) as file:
        assert np.array_equal(nib.load(tmp_path / "ref.nii.gz").get_fdata().T, file["reconstruction_rss"][()])
    capsys.readouterr()
    assert main(["convert", str(kspace), str(tmp_path / "x.nii.gz")]) == 2
    assert "is a measurement: reconstruct it first" in capsys.readouterr().err
    assert not (tmp_path / "x.nii.gz").exists()


def test_view_turns_slices_as_radiologists_look_at_them(volume, tmp_path, capsys):
    """The affine is RAS, so the array as stored would be shown turned by 180 degrees."""
    assert main(["view", str(volume), "-o", str(tmp_path / "x.png"), "--percentiles", "0", "100"]) == 0
    picture = np.array(Pillow.open(tmp_path / "x.png"))
    # Voxels of 2 x 3 mm: rows are stretched by 1.5.
    assert picture.shape == (6, 5)
    # x grows to the patient's right, so large x is on the left; y grows to the front, so large y is on top.
    assert picture[0, 0] == picture.max() == 255
    assert picture[-1, -1] == picture.min() == 0


def test_view_leaves_dicom_as_it_is(series, tmp_path):
    assert main(["view", str(series), "-o", str(tmp_path / "x.png"), "--window", "0", "2048", "--slice", "1"]) == 0
    values = recon.read(series).data[1].numpy()
    expected = np.rint(np.clip((values + 1024) / 2048, 0, 1) * 255)
    assert np.array_equal(np.array(Pillow.open(tmp_path / "x.png")), expected)


def test_view_montage(series, tmp_path):
    assert main(["view", str(series), "-o", str(tmp_path / "x.png"), "--montage", "3"]) == 0
    picture = np.array(Pillow.open(tmp_path / "x.png"))
    assert picture.shape == (12, 16)
    assert not picture[6:, 8:].any()
    assert main(["view", str(series), "-o", str(tmp_path / "y.png"), "--montage", "99"]) == 0
    assert np.array(Pillow.open(tmp_path / "y.png")).shape == (12, 16)


def test_view_kspace(kspace, tmp_path, capsys):
    assert main(["view", str(kspace), "-o", str(tmp_path / "x.png")]) == 0
    picture = np.array(Pillow.open(tmp_path / "x.png"))
    assert picture.shape == (32, 24)
    assert not picture[:, 1::2].any()  # columns that were not measured
    assert picture[:, ::2].mean() > 50


def test_view_sinogram(tmp_path):
    data = torch.arange(12.0).reshape(1, 1, 3, 4)
    recon.write(Measurement(data=data), tmp_path / "y.h5")
    assert main(["view", str(tmp_path / "y.h5"), "-o", str(tmp_path / "x.png"), "--percentiles", "0", "100"]) == 0
    assert np.array_equal(np.array(Pillow.open(tmp_path / "x.png")), np.rint(data[0, 0].numpy() / 11 * 255))


def test_view_colour_and_odd_images(tmp_path):
    colours = np.random.default_rng(0).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    Pillow.fromarray(colours).save(tmp_path / "c.png")
    assert main(["view", str(tmp_path / "c.png"), "-o", str(tmp_path / "x.png")]) == 0
    assert np.array_equal(np.array(Pillow.open(tmp_path / "x.png")), colours)
    for values in (torch.full((4, 4), 7.0), torch.full((4, 4), float("nan")), torch.ones(4, 4, dtype=torch.complex64)):
        recon.write(Image(data=values), tmp_path / "odd.nii")
        assert main(["view", str(tmp_path / "odd.nii"), "-o", str(tmp_path / "x.png")]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["info", "none.nii"], "none.nii does not exist"),
        (["convert", "none.nii", "x.nii"], "none.nii does not exist"),
        (["convert", "volume.nii.gz", "x.xyz"], "no writer for x.xyz"),
        (["convert", "volume.nii.gz", "x.png"], "recon view"),
        (["convert", "volume.nii.gz", "no/x.nii"], "does not exist; make it first"),
        (["convert", "volume.nii.gz", "x.nii", "--reference"], "has no reference image"),
        (["convert", "volume.nii.gz", "x.nii", "--reader", "nifty"], "did you mean 'nifti'"),
        (["view", "volume.nii.gz", "-o", "x.jpg"], "written as .png"),
        (["view", "volume.nii.gz", "-o", "x.png", "--slice", "3"], "has slices 0 to 2"),
        (["view", "volume.nii.gz", "-o", "x.png", "--percentiles", "99", "1"], "the smaller one first"),
        (["view", "volume.nii.gz", "-o", "x.png", "--window", "40", "0"], "positive width"),
        (["view", "volume.nii.gz", "-o", "x.png", "--montage", "0"], "at least one"),
        (["info", "other.h5"], " and measurement_file do not recognise its content"),
        (["info", "cut.nii.gz"], "damaged or cut off"),
        (["info", "empty"], "holds no series"),
    ],
)
def test_bad_input_is_one_line(volume, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "cut.nii.gz").write_bytes(volume.read_bytes()[:-30])
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["dataset/xml"] = b"<x/>"
    before = sorted(tmp_path.iterdir())
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("verb", ["info", "convert", "view"])
def test_help_has_an_example(verb, capsys):
    with pytest.raises(SystemExit) as stop:
        main([verb, "--help"])
    assert stop.value.code == 0
    assert f"recon {verb} " in capsys.readouterr().out
