"""``recon deidentify``: whole folders, what is refused, and that no output tells a name."""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

import recon
from recon.cli import main
from recon.io import deidentify as module
from recon_datasets.dicom_series import write_slices

STUDY = generate_uid(entropy_srcs=["study"])
TOKENS = ("Planted", "PLANTED", "Nobody", "PID-4711", "19700131")


def named(dataset: Dataset, number: int) -> None:
    """Make a slice tell who the patient is."""
    dataset.StudyInstanceUID, dataset.PatientID = STUDY, "PID-4711"
    dataset.PatientBirthDate, dataset.SeriesDescription = "19700131", "Planted description"
    dataset.InstitutionName, dataset.BodyPartExamined = "Planted hospital", "ABDOMEN"
    dataset.private_block(0x0009, "PLANTED 1.0", create=True).add_new(1, "LO", f"Planted {number}")
    dataset.file_meta.SourceApplicationEntityTitle = "PLANTED"
    dataset.preamble = b"PLANTED".ljust(128, b"\0")


def study(folder: Path, **options: object) -> Path:
    """Write two series of a named patient, in files of a patient's name, and a text file."""
    values = np.random.default_rng(0).integers(0, 2000, (3, 6, 8))
    settings = {"change": named, "name": "Planted_Anna", **options}
    write_slices(folder / "Planted^Anna", values, **settings)  # type: ignore[arg-type]
    write_slices(folder / "b", values + 1, **{**settings, "name": "Planted_other"})  # type: ignore[arg-type]
    (folder / "Planted.txt").write_text("Planted")
    return folder


def outputs(folder: Path) -> bytes:
    """Return names and content of all that was written."""
    return b"\n".join(str(path.relative_to(folder)).encode() for path in folder.rglob("*")) + b"".join(
        path.read_bytes() for path in folder.rglob("*") if path.is_file()
    )


def run(*words: object) -> int:
    return main(["deidentify", *map(str, words)])


def test_a_study(tmp_path, capsys):
    source = study(tmp_path / "in")
    assert run(source, tmp_path / "out", "--report", tmp_path / "report.json") == 0
    shown = capsys.readouterr()
    report = (tmp_path / "report.json").read_text()
    everything = outputs(tmp_path / "out") + (shown.out + shown.err + report).encode()
    assert not [token for token in TOKENS if token.encode() in everything]
    assert "6 of 6 files copied, 1 not DICOM images" in shown.out
    assert "guarantee" in shown.out
    assert [entry["files"] for entry in json.loads(report)["series"]] == [3, 3]
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o700
    for path in (tmp_path / "out").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)
    headers = [pydicom.dcmread(path) for path in (tmp_path / "out").rglob("*.dcm")]
    assert len({header.StudyInstanceUID for header in headers}) == 1
    assert len({header.SeriesInstanceUID for header in headers}) == 2
    assert len({header.SOPInstanceUID for header in headers}) == 6
    assert {header.file_meta.MediaStorageSOPInstanceUID == header.SOPInstanceUID for header in headers} == {True}
    assert len({header.PatientID for header in headers}) == 1


def test_voxels_and_places_are_the_same(tmp_path):
    source = study(tmp_path / "in")
    assert run(source, tmp_path / "out") == 0
    for folder in ("Planted^Anna", "b"):
        before = recon.read(source / folder)
        copies = [recon.read(path) for path in (tmp_path / "out").iterdir()]
        same = [copy for copy in copies if torch.equal(copy.data, before.data)]
        assert len(same) == 1
        assert np.array_equal(same[0].affine, before.affine)


def test_a_key_makes_copies_fit(tmp_path):
    source = study(tmp_path / "in")
    for name in ("one", "two", "three"):
        key = ["--key", tmp_path / "key"] if name != "three" else []
        assert run(source, tmp_path / name, *key) == 0
    names = {name: sorted(p.name for p in (tmp_path / name).rglob("*")) for name in ("one", "two", "three")}
    assert names["one"] == names["two"] != names["three"]
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    (tmp_path / "short").write_bytes(b"short")
    assert run(source, tmp_path / "four", "--key", tmp_path / "short") == 2


def changed(**values: object):
    def change(dataset: Dataset, number: int) -> None:
        named(dataset, number)
        for name, value in values.items():
            setattr(dataset, name, value)

    return change


@pytest.mark.parametrize(
    "values",
    [
        {"BurnedInAnnotation": "YES"},
        {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"},
        {"ConversionType": "WSD"},
        {"Modality": "US"},
        {"Modality": "DX"},
        {"Modality": ""},
        {"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]},
    ],
    ids=str,
)
def test_pixels_that_may_show_text_are_left_out(tmp_path, capsys, values):
    write_slices(tmp_path / "in", np.zeros((2, 4, 4), dtype=int), change=changed(**values))
    assert run(tmp_path / "in", tmp_path / "out") == 2
    assert "RECON-DICOM-BURNED-IN 2x" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert run(tmp_path / "in", tmp_path / "out", "--force") == 0
    assert "may show text" in capsys.readouterr().out
    assert {pydicom.dcmread(path).BurnedInAnnotation for path in (tmp_path / "out").rglob("*.dcm")} == {"YES"}


def test_bad_files_do_not_stop_the_rest(tmp_path, capsys):
    source = study(tmp_path / "in")
    first = next((source / "b").iterdir())
    whole = first.read_bytes()
    (source / "b" / "cut.dcm").write_bytes(whole[:-20])
    (source / "b" / "long.dcm").write_bytes(whole.replace(b"OW\0\0\x60\0\0\0", b"OW\0\0\x68\0\0\0") + b"PLANTED!")
    (source / "b" / "garbage.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"Planted" * 9)
    (source / "b" / "link.dcm").symlink_to(first)
    assert run(source, tmp_path / "out") == 1
    shown = capsys.readouterr()
    assert "6 of 9 files copied, 2 not DICOM images" in shown.out
    assert shown.err.count("left out: RECON-DICOM-") == 3
    assert not [token for token in TOKENS if token in shown.err]
    assert run(source, tmp_path / "again", "--show-paths") == 1
    assert "garbage.dcm left out" in capsys.readouterr().err


def test_reports_are_never_copied(tmp_path, capsys):
    def report(dataset: Dataset, number: int) -> None:
        named(dataset, number)
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.88.11"
        del dataset.PixelData

    write_slices(tmp_path / "in", np.zeros((1, 4, 4), dtype=int), change=report)
    assert run(tmp_path / "in", tmp_path / "out", "--force") == 2
    assert "RECON-DICOM-KIND" in capsys.readouterr().err


def test_overlays_in_the_bits_of_pixels_go(tmp_path):
    def overlay(dataset: Dataset, number: int) -> None:
        named(dataset, number)
        dataset.BitsStored, dataset.HighBit = 12, 11
        dataset.add_new((0x6000, 0x0100), "US", 16)
        dataset.add_new((0x6000, 0x0102), "US", 12)
        stored = np.frombuffer(dataset.PixelData, dtype="<u2") & 0x0FFF
        dataset.PixelData = (stored | 0x1000).astype("<u2").tobytes()
        dataset.PixelRepresentation = 0

    write_slices(tmp_path / "in", np.arange(48).reshape(1, 6, 8), change=overlay)
    assert run(tmp_path / "in", tmp_path / "out") == 0
    (path,) = (tmp_path / "out").rglob("*.dcm")
    stored = np.frombuffer(pydicom.dcmread(path).PixelData, dtype="<u2")
    assert np.array_equal(stored, np.arange(48))


def test_a_deflated_bomb_is_refused(tmp_path, capsys, monkeypatch):
    def deflate(dataset: Dataset, number: int) -> None:
        named(dataset, number)
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian

    write_slices(tmp_path / "in", np.zeros((1, 64, 64), dtype=int), change=deflate)
    assert run(tmp_path / "in", tmp_path / "good") == 0
    monkeypatch.setattr(module, "_MOST_INFLATED", 4096)
    capsys.readouterr()
    assert run(tmp_path / "in", tmp_path / "out") == 2
    assert "RECON-DICOM-BOMB" in capsys.readouterr().err


def test_compressed_pixels_are_copied_and_noted(tmp_path, capsys):
    def compress(dataset: Dataset, number: int) -> None:
        named(dataset, number)
        dataset.compress(pydicom.uid.RLELossless, encoding_plugin="pydicom")

    write_slices(tmp_path / "in", np.arange(48).reshape(1, 6, 8), change=compress)
    assert run(tmp_path / "in", tmp_path / "out") == 0
    assert "with comments that their encoder may have left" in capsys.readouterr().out
    (path,) = (tmp_path / "out").rglob("*.dcm")
    copy = pydicom.dcmread(path)
    assert copy.file_meta.TransferSyntaxUID == pydicom.uid.RLELossless
    assert np.array_equal(copy.pixel_array, np.arange(48).reshape(6, 8))


def test_bad_usage(tmp_path, capsys):
    assert run(tmp_path / "none", tmp_path / "out") == 2
    assert "does not exist" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert run(tmp_path / "empty", tmp_path / "out") == 2
    assert "RECON-DICOM-EMPTY" in capsys.readouterr().err
    source = study(tmp_path / "in")
    assert run(source, source) == 2
    assert "not empty" in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (Debian package dicom3tools) is not installed")
def test_real_files_stay_as_valid_as_they_were(tmp_path, shared_data):
    source = shared_data / "dicom" / "dicom2nifti_tests" / "siemens" / "anatomical" / "001"
    if not source.is_dir():
        pytest.skip("the Siemens series is not here")

    def errors(path: Path) -> set[str]:
        found = subprocess.run(["dciodvfy", path], capture_output=True, text=True, check=False).stderr
        return {line for line in found.splitlines() if line.startswith("Error")}

    assert run(source, tmp_path / "out") == 0
    before = set().union(*(errors(path) for path in sorted(source.iterdir())[:2]))
    after = set().union(*(errors(path) for path in sorted((tmp_path / "out").rglob("*.dcm"))[:2]))
    assert after <= before


def test_mosaics_are_told_to_be_lost(tmp_path, capsys):
    """What places their slices is in the private header, which goes."""

    def mosaic(dataset: Dataset, number: int) -> None:
        named(dataset, number)
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "M", "MOSAIC"]

    write_slices(tmp_path / "in", np.ones((1, 8, 8), np.int16), modality="MR", change=mosaic)
    assert run(tmp_path / "in", tmp_path / "out") == 0
    assert "1 of 1 series: Siemens mosaics cannot be cut into slices" in capsys.readouterr().out
