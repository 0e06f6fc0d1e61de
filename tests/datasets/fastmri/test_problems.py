"""What `recon check-data` and `recon info` say about fastMRI files."""

import h5py
import numpy as np
import pytest
import torch

from recon.cli import main
from recon_datasets.fastmri import FastMRIReader, write_synthetic


def problems(path):
    return FastMRIReader().problems(path)


def change(path, edit):
    with h5py.File(path, "r+") as file:
        edit(file)


def replace(name, values):
    def edit(file):
        del file[name]
        if values is not None:
            file[name] = values(file) if callable(values) else values

    return edit


def header(old, new):
    def edit(file):
        text = file["ismrmrd_header"][()].decode()
        assert old in text
        del file["ismrmrd_header"]
        file["ismrmrd_header"] = text.replace(old, new).encode()

    return edit


def nan(name, place):
    def edit(file):
        file[name][place] = np.nan

    return edit


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"coils": None},
        {"measured": (3, 20)},
        {"mask": torch.arange(24) % 3 == 0, "reference": False},
        {"acquisition": "AXFLAIR", "shape": (33, 27), "size": (20, 15)},
    ],
    ids=str,
)
def test_nothing_is_wrong_with_sound_files(tmp_path, options):
    write_synthetic(tmp_path / "a.h5", **options)
    assert problems(tmp_path / "a.h5") == []


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (replace("kspace", None), "no dataset 'kspace' but ismrmrd_header, reconstruction_rss"),
        (replace("kspace", np.zeros((3, 4), "c8")), "is complex64 of shape (3, 4); fastMRI has complex (slice, H"),
        (replace("kspace", np.zeros((0, 3, 32, 24), "c8")), "of shape (0, 3, 32, 24)"),
        (replace("kspace", np.zeros((2, 3, 32, 24), "f4")), "'kspace' is float32"),
        (replace("reconstruction_rss", np.ones((3, 20, 20), "f4")), "of shape (3, 20, 20) does not fit 2 slices"),
        (replace("reconstruction_rss", None), "neither a reference nor a mask"),
        (replace("ismrmrd_header", None), "no dataset 'ismrmrd_header'"),
        (replace("ismrmrd_header", b"<x"), "the header is not XML"),
        (header("<center>12</center></ks", "<center>14</center></ks"), "at -2 to 21, outside of 0 to 23"),
        (header("<maximum>23<", "<maximum>40<"), "at 0 to 40, outside of 0 to 23"),
        (header("<y>24</y>", "<y>26</y>"), "k-space is 32 x 24, the header says 32 x 26"),
        (header("<reconSpace><matrixSize><x>20</x>", "<reconSpace><matrixSize><x>24</x>"), "the header says 24 x 20"),
        (lambda file: file.attrs.__delitem__("max"), "no attribute 'max'"),
        (lambda file: file.attrs.__delitem__("acquisition"), "no attribute 'acquisition'"),
        (lambda file: file.attrs.__setitem__("max", 1.0), "attribute 'max' is 1, the largest value of the reference"),
        (nan("kspace", (1, 0, 3, 4)), "slice 1: k-space holds values that are not finite"),
        (nan("reconstruction_rss", (0, 3, 4)), "slice 0: the reference holds values that are not finite"),
        (replace("kspace", lambda file: np.zeros((2, 3, 32, 24), "c8")), "every slice: k-space is all zero"),
        (replace("reconstruction_rss", np.ones((2, 20, 20), "f4")), "not the reconstruction of its k-space"),
    ],
)  # fmt: skip
def test_each_problem_of_a_training_file_is_one_line(tmp_path, edit, message):
    path = tmp_path / "a.h5"
    write_synthetic(path)
    change(path, edit)
    found = problems(path)
    assert sum(message in line for line in found) == 1
    assert not any("\n" in line or str(path) in line for line in found)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (replace("mask", np.zeros(24)), "the mask is all zero"),
        (replace("mask", np.arange(24) % 5 == 1), "the mask leaves out the centre"),
        (replace("mask", np.ones(23)), "'mask' of shape (23,) does not fit 24 columns"),
        (lambda file: file.attrs.__delitem__("num_low_frequency"), "no attribute 'num_low_frequency'"),
        (lambda file: file["kspace"].__setitem__((0, 1, 2, 1), 1e-3), "not zero where the mask says that nothing"),
        (lambda file: file["kspace"].__setitem__((1, 1, 2, 1), -0.0), "slice 1: zeros of k-space have a sign"),
    ],
)
def test_each_problem_of_a_test_file_is_one_line(tmp_path, edit, message):
    path = tmp_path / "a.h5"
    write_synthetic(path, mask=torch.arange(24) % 3 == 0, reference=False)
    change(path, edit)
    assert sum(message in line for line in problems(path)) == 1


def test_damaged_files(tmp_path):
    path = tmp_path / "a.h5"
    write_synthetic(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert len(problems(path)) == 1
    assert problems(path)[0].startswith("RECON-HDF5-DAMAGED: is not a readable HDF5 file (damaged or cut off?)")
    assert problems(tmp_path / "none.h5") == ["does not exist"]


def ismrmrd_like(path):
    with h5py.File(path, "w") as file:
        file["dataset/xml"] = b"<ismrmrdHeader/>"
        file["dataset/data"] = np.zeros(3)


def test_an_ismrmrd_file_is_told_apart(tmp_path, capsys):
    ismrmrd_like(tmp_path / "scan.h5")
    assert main(["check-data", str(tmp_path / "scan.h5"), "--reader", "fastmri"]) == 1
    out = capsys.readouterr().out
    assert "scan.h5: is not a fastMRI file: it has no dataset 'kspace' but dataset; an ISMRMRD file is for the" in out


def test_a_reference_smaller_than_asked_for_by_a_narrow_matrix_is_no_problem(tmp_path):
    """FLAIR 203 of fastMRI: narrower than its reference."""
    write_synthetic(tmp_path / "a.h5", shape=(32, 18), size=(18, 18))
    change(tmp_path / "a.h5", replace("reconstruction_rss", np.full((2, 20, 20), 1e-5, "f4")))
    found = problems(tmp_path / "a.h5")
    assert not any("not the reconstruction" in line for line in found)


def test_info_explains(tmp_path, capsys):
    write_synthetic(tmp_path / "a.h5", measured=(3, 20))
    assert main(["info", str(tmp_path / "a.h5")]) == 0
    out = capsys.readouterr().out
    assert "multi-coil (3) file, 2 slices, contiguous, mapped into memory" in out
    assert "fully sampled; the scanner measured columns 3 to 19" in out
    assert "reconstruction_rss, 20 x 20" in out
    write_synthetic(tmp_path / "b.h5", coils=None, mask=torch.arange(24) % 3 == 0, reference=False)
    assert main(["info", str(tmp_path / "b.h5")]) == 0
    out = capsys.readouterr().out
    assert "single-coil file" in out
    assert "8 of 24 columns (3-fold acceleration), by the file's mask" in out
    assert "nothing: the file has no reference" in out
