"""``recon ls``: what it finds, what it says, and what it does not need."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys

import numpy as np
import pytest
import torch

import recon
from recon.cli import main
from recon.io.series import SeriesInfo, StackInfo
from recon_datasets.dicom_series import write_slices


@pytest.fixture
def folder(tmp_path):
    """Three series (one with a missing slice, one with text to hide), a NIfTI file, and a file of no known format."""
    values = np.random.default_rng(0).integers(0, 2000, (6, 8, 10))
    root = tmp_path / "scans"
    write_slices(root / "a", values, name="whole", change=describe)
    write_slices(root / "b", values, name="mr", modality="MR", intercept=0.0)
    (write_slices(root / "c", values, name="gap")[2]).unlink()
    recon.write(recon.Image(data=torch.zeros(2, 3, 4)), root / "x.nii.gz")
    (root / "notes.txt").write_text("hello")
    return root


def describe(dataset, _):
    dataset.SeriesDescription = "Mrs\x1b[31m Secret"
    dataset.SeriesNumber = 7


def test_lists_series_with_kind_grid_and_problems(folder, capsys):
    assert main(["ls", str(folder)]) == 0
    out = capsys.readouterr().out
    assert out.count("CT axial") == 2
    assert "MR axial" in out
    assert "10 x 8 x 6, 0.9 x 0.7 x 2.5 mm" in out
    assert "RECON-DICOM-GAP" in out
    assert "slices are missing at 32.50 to 37.50 mm" in out
    assert out.splitlines()[-1].startswith("3 series in ")
    assert "1 with problems" in out
    assert "1 file for reader nifti, 1 of no known format" in out
    assert "Secret" not in out
    assert "Nobody" not in out


def test_text_is_shown_on_request_without_control_characters(folder, capsys):
    assert main(["ls", str(folder), "--show-text"]) == 0
    out = capsys.readouterr().out
    assert "Secret" in out
    assert "\x1b" not in out


def test_json(folder, capsys):
    assert main(["ls", str(folder), "--json"]) == 0
    text = capsys.readouterr().out
    record = json.loads(text)
    assert len(record["series"]) == 3
    assert record["other"] == {"nifti": 1}
    assert record["unknown"] == 1
    problems = {code for series in record["series"] for code in [series["problem"]] if code}
    assert problems == {"RECON-DICOM-GAP"}
    assert [s["stacks"][0]["shape"] for s in record["series"] if s["problem"] is None] == [[1, 6, 8, 10]] * 2
    assert "Secret" not in text
    assert ".dcm" not in text


def test_numbers_are_those_that_convert_takes(folder, tmp_path, capsys):
    main(["ls", str(folder), "--json"])
    record = json.loads(capsys.readouterr().out)
    number = next(series["number"] for series in record["series"] if series["modality"] == "MR")
    assert main(["convert", str(folder), str(tmp_path / "mr.nii.gz"), "--series", str(number)]) == 0
    assert recon.read(tmp_path / "mr.nii.gz").shape == (6, 8, 10)
    assert torch_equal(recon.read(tmp_path / "mr.nii.gz"), recon.read(folder / "b"))


def torch_equal(one, other):
    return bool((one.data == other.data).all()) and np.allclose(one.affine, other.affine, atol=1e-4)


def test_a_file_that_is_missing(tmp_path, capsys):
    assert main(["ls", str(tmp_path / "nothing")]) == 2
    assert "does not exist" in capsys.readouterr().err


def test_pipes_and_hidden_files_are_passed_over(folder, capsys):
    os.mkfifo(folder / "pipe.dcm")
    (folder / ".hidden.dcm").write_bytes(b"\0" * 128 + b"DICM")
    assert main(["ls", str(folder), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (len(record["series"]), record["unknown"]) == (3, 1)


def test_several_images_of_a_series_get_a_line_each(capsys):
    from recon.cli import ls

    def stack(number):
        return StackInfo(number=number, kind="MR magnitude", shape=(number, 4, 5, 6), voxel_size=(1, 2, 3))

    series = SeriesInfo(
        number=4, study=1, series_number=None, modality="MR", files=9, size=1_500_000, stacks=(stack(1), stack(2)),
        problem="RECON-DICOM-AMBIGUOUS", message="two images",
    )  # fmt: skip
    ls._print([series])
    lines = capsys.readouterr().out.splitlines()
    assert "2 images" in lines[1]
    assert "1.5 MB" in lines[1]
    assert lines[1].endswith("RECON-DICOM-AMBIGUOUS")
    assert " ".join(lines[2].split()) == "1: MR magnitude 6 x 5 x 4, 1 x 2 x 3 mm"
    assert " ".join(lines[3].split()) == "2: MR magnitude 6 x 5 x 4 x 2 volumes, 1 x 2 x 3 mm"
    assert lines[-1] == "series 4: RECON-DICOM-AMBIGUOUS: two images"


SCRIPT = """
import sys
from recon.cli import main
assert main(["ls", sys.argv[1]]) == 0
assert "torch" not in sys.modules, "torch was imported"
"""


def test_needs_neither_torch_nor_time(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path / "empty")], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    assert spent < 0.5
    subprocess.run([sys.executable, "-c", SCRIPT, str(folder)], check=True, stdout=subprocess.DEVNULL)
