"""``recon convert`` of series that need a choice, and ``recon convert --batch``."""

from __future__ import annotations

import json

import numpy as np
import pydicom
import pytest
import torch

import recon
from recon.cli import main
from recon_datasets.dicom_series import write_slices

VALUES = np.random.default_rng(0).integers(0, 2000, (6, 8, 10))


@pytest.fixture
def gap(tmp_path):
    write_slices(tmp_path / "gap", VALUES, name="gap")[2].unlink()
    return tmp_path / "gap"


@pytest.fixture
def archive(tmp_path):
    """A whole series, one with a gap, and one that is cut off."""
    root = tmp_path / "archive"
    write_slices(root / "a", VALUES, name="a")
    write_slices(root / "b", VALUES, name="b")[2].unlink()
    last = write_slices(root / "c", VALUES, name="c")[0]
    last.write_bytes(last.read_bytes()[:-60])
    write_slices(root / "d" / "e", VALUES + 1, name="d", modality="MR", intercept=0.0)
    return root


def results(folder):
    return sorted(path.name for path in folder.glob("*.nii.gz"))


def test_gaps_are_interpolated_on_request_only(gap, tmp_path, capsys):
    out = tmp_path / "out.nii.gz"
    assert main(["convert", str(gap), str(out)]) == 2
    assert "RECON-DICOM-GAP" in capsys.readouterr().err
    assert not out.exists()
    assert main(["convert", str(gap), str(out), "--allow-gaps"]) == 0
    assert "note: " in capsys.readouterr().out
    volume = recon.read(out).data
    assert volume.shape == (6, 8, 10)
    whole = torch.from_numpy(VALUES - 1024.0)
    assert torch.allclose(volume[2].double(), (whole[1] + whole[3]) / 2, atol=1e-3)
    assert torch.equal(volume[[0, 1, 3, 4, 5]].double(), whole[[0, 1, 3, 4, 5]])


def test_options_that_a_reader_does_not_have_are_named(tmp_path, capsys):
    recon.write(recon.Image(data=torch.zeros(2, 3, 4)), tmp_path / "x.nii")
    assert main(["convert", str(tmp_path / "x.nii"), str(tmp_path / "y.nii"), "--series", "2"]) == 2
    assert "--series does not go with reader 'nifti'" in capsys.readouterr().err
    assert main(["convert", str(tmp_path / "x.nii"), str(tmp_path / "y.nii"), "--window", "lung"]) == 2
    assert "--window does not go with writer 'nifti'" in capsys.readouterr().err
    assert not (tmp_path / "y.nii").exists()


def test_a_window_is_a_preset_or_two_numbers(gap, tmp_path, capsys):
    for words in (["longue"], ["1", "x"], ["1", "2", "3"], ["40", "-1"]):
        assert main(["convert", str(gap), str(tmp_path / "d"), "--allow-gaps", "--window", *words]) == 2
        assert "--window" in capsys.readouterr().err


def test_a_batch_does_what_can_be_done_and_resumes(archive, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["convert", str(archive), str(out), "--batch"]) == 1
    first = capsys.readouterr().out
    assert first.splitlines()[-1] == "2 converted, 1 RECON-DICOM-GAP, 1 RECON-DICOM-TRUNCATED"
    assert len(results(out)) == 2
    shapes = {recon.read(out / name).shape for name in results(out)}
    assert shapes == {(6, 8, 10)}
    stamps = {name: (out / name).stat().st_mtime_ns for name in results(out)}

    # One result is lost, the missing slice is found.
    (out / results(out)[0]).unlink()
    write_slices(archive / "b", VALUES, name="b")
    assert main(["convert", str(archive), str(out), "--batch"]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "2 converted, 1 finished before, 1 RECON-DICOM-TRUNCATED"
    assert len(results(out)) == 3
    assert sum(stamps.get(name) == (out / name).stat().st_mtime_ns for name in results(out)) == 1

    (archive / "c" / "c_000.dcm").unlink()
    assert main(["convert", str(archive), str(out), "--batch"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "1 converted, 3 finished before"


def test_a_batch_equals_single_conversions(archive, tmp_path):
    out = tmp_path / "out"
    main(["convert", str(archive), str(out), "--batch", "--allow-gaps"])
    expected = recon.read(archive / "d")
    found = [recon.read(out / name) for name in results(out)]
    equal = [image for image in found if torch.equal(image.data, expected.data)]
    assert len(found) == 3
    assert len(equal) == 1
    assert np.allclose(equal[0].affine, expected.affine, atol=1e-4)


def test_a_series_in_two_folders_is_one_image(tmp_path, capsys):
    """Every second slice alone would be an evenly spaced volume, and wrong."""
    paths = write_slices(tmp_path / "in" / "x", VALUES, name="x")
    (tmp_path / "in" / "y").mkdir()
    for path in paths[::2]:
        path.rename(tmp_path / "in" / "y" / path.name)
    assert main(["convert", str(tmp_path / "in"), str(tmp_path / "out"), "--batch"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "1 converted"
    volume = recon.read(tmp_path / "out" / results(tmp_path / "out")[0]).data
    assert np.array_equal(volume.numpy(), VALUES - 1024)


def test_a_journal_that_was_cut_off_or_is_of_other_options(archive, tmp_path, capsys):
    out = tmp_path / "out"
    main(["convert", str(archive), str(out), "--batch"])
    journal = out / "batch.jsonl"
    lines = journal.read_text().splitlines()
    assert set(json.loads(lines[0])) == {"salt", "settings"}
    journal.write_text("\n".join(lines)[:-5])
    capsys.readouterr()
    assert main(["convert", str(archive), str(out), "--batch"]) == 1
    assert "1 converted, 1 finished before" in capsys.readouterr().out
    assert main(["convert", str(archive), str(out), "--batch", "--allow-gaps"]) == 2
    assert "other options" in capsys.readouterr().err
    journal.write_text("{}\n")
    assert main(["convert", str(archive), str(out), "--batch"]) == 2
    assert "is damaged" in capsys.readouterr().err


def test_a_batch_of_nothing_or_into_something(archive, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert main(["convert", str(tmp_path / "empty"), str(tmp_path / "out"), "--batch"]) == 2
    assert "holds no series" in capsys.readouterr().err
    assert main(["convert", str(archive), str(archive), "--batch"]) == 2
    assert "is not empty" in capsys.readouterr().err
    assert main(["convert", str(archive), str(tmp_path / "out"), "--batch", "--series", "1"]) == 2
    assert "leave it out with --batch" in capsys.readouterr().err


def test_a_derived_series_belongs_to_its_source(tmp_path, capsys):
    write_slices(tmp_path / "in", VALUES, name="in")
    assert main(["convert", str(tmp_path / "in"), str(tmp_path / "x.nii.gz")]) == 0
    command = ["convert", str(tmp_path / "x.nii.gz"), str(tmp_path / "out"), "--like", str(tmp_path / "in")]
    assert main([*command, "--unit", "HU", "--window", "lung"]) == 0
    found, source = recon.read(tmp_path / "out"), recon.read(tmp_path / "in")
    assert torch.equal(found.data, source.data)
    assert found.same_grid(source)
    slices = [pydicom.dcmread(path) for path in (tmp_path / "out").glob("*.dcm")]
    assert {(float(item.WindowCenter), float(item.WindowWidth)) for item in slices} == {(-600.0, 1500.0)}
    assert all(item.SourceImageSequence for item in slices)
    assert main([*command[:-1], str(tmp_path / "nothing")]) == 2
    assert "recon: " in capsys.readouterr().err


def test_a_batch_that_is_interrupted_says_how_to_go_on(archive, tmp_path, capsys, monkeypatch):
    from recon.cli import batch

    convert, done = batch._convert, []

    def interrupted(*arguments):
        if done:
            raise KeyboardInterrupt
        done.append(convert(*arguments))

    out = tmp_path / "out"
    monkeypatch.setattr(batch, "_convert", interrupted)
    assert main(["convert", str(archive), str(out), "--batch"]) == 130
    assert "the same command goes on with what is not finished" in capsys.readouterr().err
    assert len(results(out)) == 1
    monkeypatch.undo()
    assert main(["convert", str(archive), str(out), "--batch"]) == 1
    assert capsys.readouterr().out.splitlines()[-1].startswith("1 converted, 1 finished before")
    assert len(results(out)) == 2


def test_choices_of_info_montage_and_view(archive, tmp_path, capsys):
    """A folder of several series, as every study is."""
    assert main(["info", str(archive)]) == 2
    assert "choose with --series N: 1: " in capsys.readouterr().err
    assert main(["ls", str(archive), "--json"]) == 0
    listed = {s["number"]: s for s in json.loads(capsys.readouterr().out)["series"]}
    for number, series in listed.items():
        assert main(["info", str(archive), "--series", str(number)]) == (
            2 if series["problem"] or series["stacks"][0]["problem"] else 0
        )
        capsys.readouterr()
    (gap,) = [n for n, s in listed.items() if s["stacks"] and s["stacks"][0]["problem"] == "RECON-DICOM-GAP"]
    drawn = tmp_path / "x.png"
    words = ["montage", str(archive), "-o", str(drawn), "--series", str(gap)]
    assert main(words) == 2
    assert "fill with --allow-gaps" in capsys.readouterr().err
    assert main([*words, "--allow-gaps"]) == 0
    assert "note: 1 of 6 slices interpolated" in capsys.readouterr().out
    assert drawn.is_file()
    assert main(["view", str(archive), "-o", str(drawn), "--series", str(gap), "--allow-gaps"]) == 0
    recon.write(recon.read(drawn), tmp_path / "y.png")
    assert main(["info", str(tmp_path / "y.png"), "--series", "1"]) == 2
    assert "--series does not go with reader 'picture'" in capsys.readouterr().err
