"""From a scan to a derived series beside that of the scanner: CT in HU, MR, refusals before the work."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

import recon
from recon import Measurement
from recon.cli import main
from recon_datasets.dicom_series import write_slices

SIZE = 48
STUDY = generate_uid(entropy_srcs=["like"])


def run(*words: object) -> int:
    return main([str(word) for word in words])


def complaint(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    capsys.readouterr()
    assert run(*words) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def complete(dataset: Dataset, number: int) -> None:
    dataset.StudyInstanceUID, dataset.SeriesNumber, dataset.PatientID = STUDY, 4, f"P{number // 100}"
    dataset.PatientBirthDate = dataset.PatientSex = dataset.StudyDate = dataset.StudyTime = dataset.StudyID = ""
    dataset.AccessionNumber = dataset.ReferringPhysicianName = ""
    dataset.KVP = "120"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A disc of soft tissue with bone off its middle, in HU, two slices."""
    yy, xx = np.mgrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j]
    disc = np.where(yy**2 + xx**2 < 0.7, 1064, 24) + 500 * ((yy - 0.3) ** 2 + (xx + 0.2) ** 2 < 0.03)
    write_slices(tmp_path / "study", np.stack([disc, disc[::-1]]).astype(np.int16), spacing=(0.8, 0.8), change=complete)
    return tmp_path / "study"


@pytest.fixture
def scan(source: Path, tmp_path: Path) -> Path:
    assert run("simulate", "ct", source, "-o", tmp_path / "scan.h5", "--views", 120) == 0
    return tmp_path / "scan.h5"


def test_ct_joins_its_study_in_hu(source, scan, tmp_path):
    out = tmp_path / "derived"
    assert run("reconstruct", scan, "--method", "fbp", "-o", out, "--like", source) == 0
    originals = {pydicom.dcmread(path).SOPInstanceUID: path for path in source.iterdir()}
    before, after = recon.read(source), recon.read(out)
    assert after.unit == "HU"
    assert after.same_grid(before)
    assert abs(float((after.data - before.data)[:, 12:-12, 12:-12].median())) < 15
    assert float((after.data - before.data).abs().median()) < 30
    for path in sorted(out.iterdir()):
        header = pydicom.dcmread(path)
        assert (header.StudyInstanceUID, header.SeriesNumber, header.PatientName) == (STUDY, 1004, "Nobody^Synthetic")
        (reference,) = header.SourceImageSequence
        original = pydicom.dcmread(originals[reference.ReferencedSOPInstanceUID])
        assert header.ImagePositionPatient == original.ImagePositionPatient
        if shutil.which("dciodvfy"):
            found = subprocess.run(["dciodvfy", path], capture_output=True, text=True, check=False).stderr
            assert "CTImage" in found
            assert [line for line in found.splitlines() if line.startswith("Error")] == []


def test_a_wider_field_of_view_still_fits_its_source(source, tmp_path):
    """Of a targeted source off centre, the reconstruction's first pixels and its centre lie outside."""
    image = recon.read(source)
    wide = image.pad(x=(2 * SIZE, 0), y=(2 * SIZE, 0))
    recon.write(wide, tmp_path / "wide.hdf5")
    assert run("simulate", "ct", tmp_path / "wide.hdf5", "-o", tmp_path / "wide.h5", "--views", 8) == 0
    out = tmp_path / "derived"
    assert run("reconstruct", tmp_path / "wide.h5", "--method", "fbp", "-o", out, "--like", source) == 0
    assert recon.read(out).same_grid(wide)
    assert all(len(pydicom.dcmread(path).SourceImageSequence) == 1 for path in out.iterdir())


def test_what_cannot_be_is_told_before_the_work(source, scan, tmp_path, capsys, monkeypatch):
    """Nothing is reconstructed for an image that cannot be written."""
    monkeypatch.setattr("recon.reconstruction.reconstruct", lambda *_, **__: pytest.fail("work was done"))
    start = ("reconstruct", scan, "--method", "fbp", "--like")
    error = complaint(capsys, *start, source, "-o", tmp_path / "x.nii.gz")
    assert "--like does not go with writer 'nifti'" in error
    error = complaint(capsys, *start, tmp_path / "none", "-o", tmp_path / "out")
    assert "none, the series of --like, does not exist" in error
    write_slices(tmp_path / "mr", np.ones((2, 5, 5), np.int16), modality="MR")
    error = complaint(capsys, *start, tmp_path / "mr", "-o", tmp_path / "out")
    assert "RECON-DICOM-WRITE-SOURCE: the image is of modality CT, the series of --like MR" in error
    error = complaint(capsys, *start, source, "-o", tmp_path / "out", "--unit", "1/mm")
    assert "RECON-DICOM-WRITE-KIND" in error
    error = complaint(capsys, "reconstruct", scan, scan, "--method", "fbp", "-o", tmp_path / "out", "--like", source)
    assert "--like is about one scan" in error
    write_slices(tmp_path / "aside", np.ones((2, SIZE, SIZE), np.int16), origin=(900.0, 900.0, 0.0), change=complete)
    error = complaint(capsys, *start, tmp_path / "aside", "-o", tmp_path / "out")
    assert "does not lie where" in error
    assert not (tmp_path / "out").exists()


def test_mr(tmp_path):
    """A measurement of k-space whose header tells its place."""
    yy, xx = torch.meshgrid(torch.linspace(-1, 1, 32), torch.linspace(-1, 1, 32), indexing="ij")
    truth = ((yy**2 + xx**2) < 0.6).float() * (1 + 0.3 * xx)
    write_slices(tmp_path / "mr", (1000 * truth[None]).numpy().astype(np.int16), modality="MR", change=complete)
    place = recon.read(tmp_path / "mr")
    kspace = torch.fft.fftshift(torch.fft.fft2(torch.fft.ifftshift(truth), norm="ortho"))
    recon.write(
        Measurement(
            data=kspace[None, None],
            operator_config={"use": "fourier"},
            affine=place.affine,
            dims=("z", "y", "x"),
            metadata={"modality": "MR"},
        ),
        tmp_path / "scan.h5",
    )
    out = tmp_path / "out"
    assert run("reconstruct", tmp_path / "scan.h5", "--method", "adjoint", "-o", out, "--like", tmp_path / "mr") == 0
    back = recon.read(out)
    assert back.same_grid(place)
    assert torch.allclose(back.data[0], truth, atol=1e-3)
