"""``recon check-data``."""

import json

import nibabel as nib
import numpy as np
import pytest
from PIL import Image as Pillow

from recon.cli import main
from recon_datasets.fastmri import write_synthetic


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "deeper").mkdir()
    write_synthetic(tmp_path / "good.h5")
    write_synthetic(tmp_path / "deeper" / "cut.h5")
    cut = tmp_path / "deeper" / "cut.h5"
    cut.write_bytes(cut.read_bytes()[:3000])
    (tmp_path / "empty.h5").touch()
    (tmp_path / "notes.txt").write_text("no data")
    (tmp_path / ".hidden.h5").touch()
    return tmp_path


def test_a_folder(folder, capsys):
    assert main(["check-data", str(folder)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{folder / 'deeper' / 'cut.h5'}: RECON-HDF5-DAMAGED: is not a readable HDF5 file")
    assert lines[1:] == [
        f"{folder / 'empty.h5'}: RECON-IMAGE-UNKNOWN: is empty",
        "3 files checked, 2 with problems, 1 of no known format",
    ]


def test_json(folder, capsys):
    assert main(["check-data", str(folder), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["skipped"] == 1
    assert found["problems"][str(folder / "good.h5")] == []
    assert len(found["problems"][str(folder / "empty.h5")]) == 1


def test_a_sound_file(folder, capsys):
    assert main(["check-data", str(folder / "good.h5")]) == 0
    assert capsys.readouterr().out == "1 file checked, none with problems\n"


def test_any_format(tmp_path, capsys):
    values = np.zeros((4, 5, 3), np.float32)
    nib.save(nib.Nifti1Image(values, np.eye(4)), tmp_path / "zero.nii.gz")
    values[1, 2, 1] = np.nan
    nib.save(nib.Nifti1Image(values, np.eye(4)), tmp_path / "nan.nii")
    Pillow.fromarray(np.arange(20, dtype=np.uint8).reshape(4, 5)).save(tmp_path / "a.png")
    assert main(["check-data", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert "nan.nii: 1 of 60 values are not finite" in out
    assert "zero.nii.gz: all values are zero" in out
    assert "3 files checked, 2 with problems\n" in out


def test_what_is_not_there(tmp_path, capsys):
    assert main(["check-data", str(tmp_path / "none.h5")]) == 2
    assert "none.h5 does not exist" in capsys.readouterr().err
    assert main(["check-data", str(tmp_path)]) == 2
    assert "holds no file that a reader knows" in capsys.readouterr().err


def test_a_reader_of_ones_choice(folder, capsys):
    assert main(["check-data", str(folder), "--reader", "nifti"]) == 2
    assert main(["check-data", str(folder / "good.h5"), "--reader", "nifti"]) == 1
    assert main(["check-data", str(folder), "--reader", "nonsense"]) == 2
    assert "nonsense" in capsys.readouterr().err
