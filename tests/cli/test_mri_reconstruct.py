"""From raw files to images on the command line: fastMRI files, many at once, geometry, memory, bad input."""

import json
import shutil
import subprocess
import sys

import h5py
import nibabel as nib
import numpy as np
import pytest
import torch
from pydicom import dcmread

import recon
from recon import Measurement, reconstruction
from recon.cli import main
from recon.evaluation import FastMRIProtocol
from recon.io import deferred
from recon.kspace import crop_centred, fft_centred, ifft_centred, root_sum_of_squares
from recon_datasets.fastmri import write_fastmri, write_synthetic

SHAPE = (64, 48)
ROTATED = np.array([[0.0, -1.5, 0.0, 10.0], [0.0, 0.0, -4.0, 30.0], [-1.5, 0.0, 0.0, 20.0], [0.0, 0.0, 0.0, 1.0]])


def run(*words) -> int:
    return main([str(word) for word in words])


def complaint(capsys, *words):
    """Run a command that must fail, and return its one line."""
    capsys.readouterr()
    assert run(*words) == 2
    error = capsys.readouterr().err
    assert error.startswith("recon: ")
    assert error.count("\n") == 1
    return error


def coil_images(slices=3, coils=4, shape=SHAPE):
    """Return (slice, coil, y, x) of an object with a corner mark, so that no flip or turn goes unseen."""
    yy, xx = torch.meshgrid(*(torch.linspace(-1, 1, n) for n in shape), indexing="ij")
    objects = [((yy**2 + xx**2) < 0.7).float() * (1 + 0.3 * torch.sin(6 * xx + number)) for number in range(slices)]
    for image in objects:
        image[shape[0] // 4, shape[1] // 4] += 2
    angles = torch.arange(coils) * 2 * torch.pi / coils
    maps = torch.stack([torch.exp(-((yy - a.sin()) ** 2 + (xx - a.cos()) ** 2) / 2 + 1j * a * yy) for a in angles])
    return torch.stack(objects)[:, None] * maps


@pytest.fixture
def scans(tmp_path):
    """Three fully sampled fastMRI files of two sizes."""
    folder = tmp_path / "multicoil_val"
    folder.mkdir()
    for number in range(3):
        images = coil_images(slices=2 + number)
        write_fastmri(folder / f"file{number}.h5", 1e-4 * fft_centred(images), size=(48, 48), acquisition="AXT2")
    return folder


def test_a_fastmri_file_becomes_its_own_reference(scans, tmp_path):
    assert run("reconstruct", scans / "file0.h5", "--method", "rss", "-o", tmp_path / "x.nii.gz") == 0
    measurement = recon.read(scans / "file0.h5")
    image = recon.read(tmp_path / "x.nii.gz")
    assert image.shape == (2, 48, 48)
    assert torch.allclose(image.data, measurement.reference.data, rtol=1e-5)
    assert image.voxel_size == pytest.approx(measurement.voxel_size)


def test_files_become_what_the_evaluation_reads(scans, tmp_path, capsys):
    made = tmp_path / "reconstructions"
    assert run("reconstruct", *sorted(scans.iterdir()), "--method", "rss", "-o", made, "--suffix", ".h5") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "3 of 3 files reconstructed"
    for path in sorted(made.iterdir()):
        with h5py.File(path) as file, h5py.File(scans / path.name) as source:
            assert list(file) == ["reconstruction"]
            assert file["reconstruction"].dtype == np.float32
            assert np.allclose(file["reconstruction"][()], source["reconstruction_rss"][()], rtol=1e-5, atol=0)
    report = FastMRIProtocol().evaluate(made, scans)
    assert report.complete
    assert [volume.slices for volume in report.volumes] == [2, 3, 4]
    assert all(volume.values["fastmri_ssim"] > 0.99999 for volume in report.volumes)
    assert run("evaluate", made, "--protocol", "fastmri", "--targets", scans) == 0
    # A single file is named like any other.
    assert run("reconstruct", scans / "file0.h5", "--method", "rss", "-o", tmp_path / "alone.h5") == 0
    assert torch.equal(recon.read(tmp_path / "alone.h5").data, recon.read(made / "file0.h5").data)
    assert run("info", tmp_path / "alone.h5") == 0
    assert "AXT2" in capsys.readouterr().out


def test_a_bad_file_does_not_stop_the_others(scans, tmp_path, capsys):
    (scans / "broken.h5").write_bytes((scans / "file1.h5").read_bytes()[:5000])
    with h5py.File(scans / "file1.h5", "a") as file:
        file["kspace"][1, 2, 3, 4] = np.nan
    files = [scans / "none.h5", *sorted(scans.iterdir())]
    assert run("reconstruct", *files, "--method", "rss", "-o", tmp_path / "out") == 1
    output = capsys.readouterr()
    errors = output.err.splitlines()
    assert len(errors) == 3
    for line, name, message in zip(
        errors,
        ("none", "broken", "file1"),
        ("does not exist", "not a readable HDF5 file", "1 measured values of items 0 to 2 are not finite"),
        strict=True,
    ):
        assert line.startswith("recon: ")
        assert f"{scans / name}.h5" in line
        assert message in line
    assert output.out.splitlines()[-1] == "2 of 5 files reconstructed"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["file0.nii.gz", "file2.nii.gz"]


def test_an_error_of_another_library_does_not_stop_the_others(scans, tmp_path, capsys, monkeypatch):
    original = reconstruction.reconstruct

    def failing(measurement, *arguments, **options):
        if measurement.shape[0] == 3:
            raise RuntimeError("solver\nfailed")
        return original(measurement, *arguments, **options)

    monkeypatch.setattr(reconstruction, "reconstruct", failing)
    words = ["reconstruct", *sorted(scans.iterdir()), "--method", "rss", "-o", tmp_path / "out"]
    assert run(*words) == 1
    assert capsys.readouterr().err == f"recon: {scans / 'file1.h5'}: RuntimeError: solver failed\n"
    with pytest.raises(RuntimeError):
        run(*words, "--debug")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a.h5", "b/a.h5", "-o", "out"], "would both become"),
        (["a.h5", "b/a.h5", "-o", "a.h5"], "several images need a folder"),
        (["a.h5", "b/c.h5", "-o", "no/out"], "make it first"),
        (["a.h5", "-o", "out", "--suffix", "nii"], "--suffix takes an ending"),
        (["a.h5", "-o", "out", "--suffix", ".foo"], "no writer for a.foo"),
        (["a.h5", "-o", "."], "exists and is not empty"),
        (["a.h5", "-o", "a.h5"], "would take its place"),
        (["a.h5", "-o", ".", "--suffix", ".h5"], "would take its place"),
        (["none.h5", "-o", "x.nii"], "none.h5 does not exist"),
    ],
)
def test_names_that_cannot_be_are_refused_first(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "b").mkdir()
    for name in ("a.h5", "b/a.h5", "b/c.h5"):
        write_synthetic(tmp_path / name)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.h5")}
    assert message in complaint(capsys, "reconstruct", *words, "--method", "rss")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.h5")} == before
    assert not (tmp_path / "out").exists()


def undersampled(path, images, affine=None):
    """Write the k-space of coil images, every second column and 16 in the middle."""
    columns = images.shape[-1]
    mask = torch.arange(columns) % 2 == 0
    mask[columns // 2 - 8 : columns // 2 + 8] = True
    y = torch.where(mask, fft_centred(images), 0)
    facts = {"modality": "MR", "echo_time_ms": 27.0, "field_strength_T": 2.8936}
    config = {"use": "fourier", "mask": mask}
    measurement = Measurement(data=y, operator_config=config, affine=affine, dims=("z", "y", "x"), metadata=facts)
    recon.write(measurement, path)
    return y, mask


@pytest.mark.parametrize("maps", ["espirit", "walsh", "{use: espirit, kernel: 5}"])
def test_maps_are_an_option_of_their_own(maps, tmp_path):
    images = coil_images()
    undersampled(tmp_path / "scan.h5", images)
    words = ["reconstruct", tmp_path / "scan.h5", "--method", "cg_sense", "--maps", maps, "--iterations", 30]
    assert run(*words, "-o", tmp_path / "x.nii") == 0
    image, truth = recon.read(tmp_path / "x.nii").data, root_sum_of_squares(images)[:, 0]
    zero_filled = root_sum_of_squares(ifft_centred(recon.read(tmp_path / "scan.h5").data))[:, 0]
    error, before = (float((x - truth).norm() / truth.norm()) for x in (image, zero_filled))
    assert error < 0.03
    assert error < 0.3 * before


@pytest.mark.parametrize("suffix", [".nii.gz", "/"])
def test_place_in_the_patient_survives(suffix, tmp_path):
    images = coil_images()
    undersampled(tmp_path / "scan.h5", images, ROTATED)
    assert run("reconstruct", tmp_path / "scan.h5", "--method", "rss", "-o", tmp_path / "out", "--suffix", suffix) == 0
    if suffix == "/":
        slices = sorted((tmp_path / "out" / "scan").iterdir())
        assert len(slices) == 3
        header = dcmread(slices[0])
        assert (header.Modality, header.EchoTime, header.SOPClassUID.name) == ("MR", 27.0, "MR Image Storage")
        path = tmp_path / "out" / "scan"
    else:
        path = tmp_path / "out" / "scan.nii.gz"
        assert np.allclose(nib.load(path).affine, ROTATED)
    image = recon.read(path)
    expected = root_sum_of_squares(ifft_centred(recon.read(tmp_path / "scan.h5").data))[:, 0]
    # Where the corner mark of each slice is, in millimetres: a reader may turn the order of slices about.
    for number in range(3):
        x, y, z = SHAPE[1] // 4, SHAPE[0] // 4, number
        wanted = ROTATED @ [x, y, z, 1]
        voxel = np.rint(np.linalg.inv(image.affine) @ wanted).astype(int)[:3]
        plane = image.data[voxel[2]].float()
        assert plane[voxel[1], voxel[0]] == plane.max()
        assert float((plane - expected[number]).abs().max()) < 1e-4 * float(expected.max())


def test_calibration_data_are_used(tmp_path, monkeypatch):
    """A reader that tells calibration data; the measurement itself has too few lines in the middle to calibrate."""
    images = coil_images()
    full = fft_centred(images)
    columns = images.shape[-1]
    mask = torch.arange(columns) % 2 == 0
    middle = (torch.arange(columns) - columns // 2).abs() < 10
    measurement = Measurement(
        data=torch.where(mask, full, 0),
        operator_config={"use": "fourier", "mask": mask},
        calibration=torch.where(middle, full, 0),
        dims=("z", "y", "x"),
    )
    (tmp_path / "scan.h5").touch()
    monkeypatch.setattr("recon.cli.reconstruct.measurement_from", lambda path, reader: measurement)
    monkeypatch.setattr(reconstruction, "PART_BYTES", 1)  # slice by slice
    words = ["reconstruct", tmp_path / "scan.h5", "--method", "cg_sense", "--iterations", 30]
    assert run(*words, "-o", tmp_path / "x.nii") == 0
    image, truth = recon.read(tmp_path / "x.nii").data, root_sum_of_squares(images)[:, 0]
    assert float((image - truth).norm() / truth.norm()) < 0.03


def test_a_real_scan_of_a_scanner(shared_data, tmp_path):
    """Three times undersampled raw data of a phantom, with noise and calibration lines: two methods see one thing."""
    (scan,) = (shared_data / "mri_kspace" / "nhlbi_ismrmrd_R3").glob("*.h5")
    for method in ("cg_sense", "grappa"):
        assert run("reconstruct", scan, "--method", method, "-o", tmp_path / f"{method}.nii.gz") == 0
        assert run("reconstruct", scan, "--method", method, "-o", tmp_path / method) == 0
    sense, grappa = (recon.read(tmp_path / f"{method}.nii.gz") for method in ("cg_sense", "grappa"))
    assert sense.shape == (1, 144, 192)
    assert sense.voxel_size == pytest.approx((280 / 192, 210 / 144, 8), rel=1e-4)
    inside = grappa.data > 0.2 * grappa.data.max()
    a, b = sense.data[inside].double(), grappa.data[inside].double()
    assert float(torch.corrcoef(torch.stack([a, b]))[0, 1]) > 0.98
    series = recon.read(tmp_path / "cg_sense")
    assert series.metadata["modality"] == "MR"
    # One slice has no order: its normal may be told either way, the plane is the same.
    assert np.allclose(series.affine[:, [0, 1, 3]], sense.affine[:, [0, 1, 3]], atol=1e-3)
    assert float((series.data - sense.data).abs().max()) < 1e-4 * float(sense.data.max())


def test_full_files_are_sampled_again_as_fastmri_validates(scans, tmp_path, capsys):
    """Each file by its own mask, which its name draws, the same as the data set's; the image tells its acceleration."""
    mask = {"kind": "fastmri_random", "acceleration": 4, "center_fraction": 0.08}
    items = recon.build("dataset", "fastmri", root=scans, mask=mask)
    item, path = items[0], items.files[0]
    measurement = recon.read(path, reader={"use": "fastmri", "mask": mask})
    assert torch.equal(measurement.operator_config["mask"].reshape(-1), item["mask"].reshape(-1))
    assert torch.equal(measurement.items(0, 1)[0], item["measurement"])
    zeros = measurement.data[measurement.data == 0]
    assert len(zeros) > 1000
    assert not torch.signbit(torch.view_as_real(zeros)).any()
    assert "a true acceleration of " in measurement.notes[-1]
    other = recon.read(items.files[1], reader={"use": "fastmri", "mask": mask})
    assert not torch.equal(other.operator_config["mask"], measurement.operator_config["mask"])
    words = ["--reader", json.dumps({"use": "fastmri", "mask": mask}), "--method", "rss", "-o", tmp_path / "made"]
    assert run("reconstruct", *items.files, *words, "--suffix", ".h5") == 0
    assert run("evaluate", tmp_path / "made", "--protocol", "fastmri", "--targets", scans, "--acceleration", "4") == 0
    assert "AXT2              3      9" in capsys.readouterr().out


def test_large_files_are_read_slice_by_slice(scans, tmp_path, monkeypatch):
    import recon_datasets.fastmri.reader as reader

    reads = []
    original = reader._slices

    def counted(path, mask, start, stop):
        reads.append((start, stop))
        return original(path, mask, start, stop)

    words = ["reconstruct", scans / "file2.h5", "--method", "rss", "-o"]
    assert run(*words, tmp_path / "whole.nii") == 0
    monkeypatch.setattr(deferred, "AT_ONCE", 1)
    monkeypatch.setattr(reconstruction, "PART_BYTES", 1)
    monkeypatch.setattr(reader, "_slices", counted)
    assert run(*words, tmp_path / "parts.nii") == 0
    assert reads == [(0, 1), (1, 2), (2, 3), (3, 4)]
    assert torch.equal(recon.read(tmp_path / "whole.nii").data, recon.read(tmp_path / "parts.nii").data)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("chunks", "method"),
    [
        (None, ["rss"]),
        ((1, 1, 640, 368), ["rss"]),
        (None, ["cg_sense", "--iterations", "3", "--maps", "low_resolution_maps"]),
    ],
)
def test_a_volume_of_a_gigabyte_takes_less_than_one_and_a_half(chunks, method, tmp_path):
    """36 slices of 15 coils and 640 x 368, 1.02 GB as complex64, whether they lie in one piece or in chunks."""
    if shutil.disk_usage(tmp_path).free < 3e9:
        pytest.skip("needs 3 GB of disk")
    images = 1e-4 * coil_images(1, 15, (640, 368))
    mask = (torch.arange(368) % 4 == 0) | ((torch.arange(368) - 184).abs() < 15)
    kspace = torch.where(mask, fft_centred(images), 0)[0].to(torch.complex64).numpy()
    with h5py.File(tmp_path / "big.h5", "w") as file:
        stored = file.create_dataset("kspace", (36, *kspace.shape), np.complex64, chunks=chunks)
        for number in range(36):
            stored[number] = kspace
        file["mask"] = mask.float().numpy()
        file.attrs["acquisition"] = "AXT2"
    peak = "import resource, sys; from recon.cli import main; code = main(sys.argv[1:]); "
    peak += "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss); sys.exit(code)"
    words = ["reconstruct", tmp_path / "big.h5", "-o", tmp_path / "x.nii", "--method", *method]
    result = subprocess.run(
        [sys.executable, "-c", peak, *map(str, words)], capture_output=True, text=True, timeout=900, check=True
    )
    assert int(result.stdout.split()[-1]) * 1024 < 1.5e9, f"{method} took {result.stdout.split()[-1]} KiB"
    assert recon.read(tmp_path / "x.nii").shape == (36, 640, 368)


def ismrmrd_like(path):
    with h5py.File(path, "w") as file:
        group = file.create_group("dataset")
        group["xml"] = "<ismrmrdHeader/>"
        group["data"] = np.zeros(3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda x: x.write_bytes(b""), "is empty"),
        (lambda x: x.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100)), "not a readable HDF5 file"),
        (lambda x: h5py.File(x, "w").close(), "do not recognise its content"),
        (ismrmrd_like, "not a fastMRI file"),
        (lambda x: kspace_file(x, np.zeros((2, 8, 8), np.float32)), "fastMRI has complex"),
        (lambda x: kspace_file(x, np.zeros((8, 8), np.complex64)), "fastMRI has complex"),
        (lambda x: kspace_file(x, np.zeros((0, 2, 8, 8), np.complex64)), "fastMRI has complex"),
        (lambda x: kspace_file(x, np.zeros((1, 2, 8, 8), np.complex64), mask=np.ones(7)), "does not fit 8 columns"),
    ],
)
def test_files_that_are_something_else(make, message, tmp_path, capsys):
    path = tmp_path / "x.h5"
    make(path)
    words = ["reconstruct", path, "--method", "rss", "-o", tmp_path / "x.nii"]
    words += ["--reader", "fastmri"] if make is ismrmrd_like else []
    assert message in complaint(capsys, *words)
    assert not (tmp_path / "x.nii").exists()


def test_a_missing_raw_file_is_not_made(tmp_path, capsys):
    """ISMRMRD's own library makes a file of any name that it is asked to open."""
    for words in ([], ["--reader", "ismrmrd"]):
        line = complaint(
            capsys, "reconstruct", tmp_path / "none.h5", *words, "--method", "rss", "-o", tmp_path / "x.nii"
        )
        assert "none.h5 does not exist" in line
    assert list(tmp_path.iterdir()) == []


def test_a_fastmri_file_is_no_ismrmrd_file(scans, tmp_path, capsys):
    words = ["reconstruct", scans / "file0.h5", "--reader", "ismrmrd", "--method", "rss", "-o", tmp_path / "x.nii"]
    assert "a fastMRI file needs the reader 'fastmri'" in complaint(capsys, *words)


@pytest.mark.parametrize(
    ("reach", "message"),
    [
        (0.5, "its unit is likely cycles per pixel"),
        (np.pi, "its unit is likely radians per pixel"),
        (500.0, "the trajectory reaches |k| = 500"),
    ],
)
def test_trajectories_of_another_unit(reach, message, tmp_path, capsys):
    pytest.importorskip("finufft", reason="the extra noncart is not installed")
    angles, radii = torch.arange(8) * torch.pi / 8, torch.linspace(-reach, reach, 32)
    spokes = torch.stack([radii * angles.cos()[:, None], radii * angles.sin()[:, None]], -1)
    config = {"use": "nufft", "trajectory": spokes, "size": [32, 32]}
    y = torch.zeros(1, 2, 8, 32, dtype=torch.complex64)
    recon.write(Measurement(data=y, operator_config=config), tmp_path / "scan.h5")
    line = complaint(capsys, "reconstruct", tmp_path / "scan.h5", "--method", "gridding", "-o", tmp_path / "x.nii")
    assert message in line
    assert str(tmp_path / "scan.h5") in line


def kspace_file(path, kspace, **others):
    with h5py.File(path, "w") as file:
        file["kspace"] = kspace
        for name, value in others.items():
            file[name] = value


def test_maps_of_another_size(tmp_path, capsys):
    undersampled(tmp_path / "scan.h5", coil_images())
    maps = json.dumps(torch.ones(4, 8, 8).tolist())
    (tmp_path / "sense.yaml").write_text(f"{{use: multicoil_fourier, maps: {maps}}}")
    words = ["reconstruct", tmp_path / "scan.h5", "--method", "cg_sense", "-o", tmp_path / "x.nii"]
    error = complaint(capsys, *words, "--operator", tmp_path / "sense.yaml")
    assert "the data have the shape (4, 64, 48) an item, the operator measures (4, 8, 8)" in error


def test_the_middle_of_a_reconstruction_is_kept(scans):
    measurement = recon.read(scans / "file0.h5")
    assert measurement.crop == (48, 48)
    image = reconstruction.reconstruct(measurement, recon.build("method", "rss"))
    whole = root_sum_of_squares(ifft_centred(measurement.data))
    assert torch.allclose(image.data, crop_centred(whole, (48, 48))[:, 0])
