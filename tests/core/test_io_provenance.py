"""Every reader says where an image came from, in hashes; nothing of it leaves in a file for others."""

from __future__ import annotations

import gzip
import os

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image as Pillow

import recon
from recon import Image
from recon.cli import main
from recon.errors import UsageError
from recon.io.provenance import Provenance, from_files

VALUES = np.random.default_rng(0).integers(0, 200, (3, 4, 5)).astype(np.int16)


def metaimage(folder):
    text = "NDims = 3\nDimSize = 5 4 3\nElementType = MET_SHORT\nElementDataFile = a.raw\n"
    (folder / "a.raw").write_bytes(VALUES.tobytes())
    (folder / "a.mhd").write_text(text)
    return folder / "a.mhd"


def nrrd(folder):
    text = "NRRD0004\ntype: short\ndimension: 3\nsizes: 5 4 3\nencoding: raw\nendian: little\n\n"
    (folder / "a.nrrd").write_bytes(text.encode() + VALUES.tobytes())
    return folder / "a.nrrd"


def nifti(folder):
    nib.save(nib.Nifti1Image(VALUES.T, np.eye(4)), folder / "a.nii.gz")
    return folder / "a.nii.gz"


def pair(folder):
    nib.save(nib.Nifti1Pair(VALUES.T, np.eye(4)), folder / "a.img")
    return folder / "a.hdr"


def picture(folder):
    Pillow.fromarray(VALUES[0].astype(np.uint8)).save(folder / "a.png")
    return folder / "a.png"


def stack(folder):
    (folder / "stack").mkdir()
    for number in range(3):
        Pillow.fromarray(VALUES[number].astype(np.uint8)).save(folder / "stack" / f"{number}.png")
    return folder / "stack"


def hdf5(folder):
    import h5py

    with h5py.File(folder / "a.h5", "w") as file:
        file["image"] = VALUES
    return folder / "a.h5"


@pytest.mark.parametrize(
    ("make", "reader", "files"),
    [
        (metaimage, "metaimage", 2),
        (nrrd, "nrrd", 1),
        (nifti, "nifti", 1),
        (pair, "nifti", 2),
        (picture, "picture", 1),
        (stack, "picture_stack", 3),
        (hdf5, "hdf5_image", 1),
    ],
)
def test_readers_tell_it(tmp_path, capsys, make, reader, files):
    path = make(tmp_path)
    first, second = recon.read(path), recon.read(path)
    assert (first.provenance.reader, first.provenance.files) == (reader, files)
    assert first.provenance == second.provenance, "one file, one hash"
    assert tmp_path.name not in repr(first.provenance)
    assert first[0:1].provenance is first.provenance if first.data.ndim == 3 else True
    assert main(["info", str(path)]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("provenance")]
    assert f"reader: {reader}, files: {files}, known by: file" in line
    assert first.provenance.identifiers["file"] not in line


def test_a_changed_file_is_another(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"one")
    before = from_files("nifti", path)
    os.utime(path, ns=(1, 1))
    assert from_files("nifti", path) != before
    assert from_files("nifti", path, path).files == 1


@pytest.mark.parametrize("files", [0, -1, True, "24", 1.0])
def test_numbers_of_files(files):
    with pytest.raises(UsageError, match="number of files"):
        Provenance(reader="nifti", files=files)


def test_it_stays_out_of_files_for_others(tmp_path):
    """Of what recon writes, only its own HDF5 files hold it."""
    image = recon.read(nifti(tmp_path))
    image = Image(
        data=image.data.float(), affine=image.affine, unit="HU", provenance=image.provenance, notes=image.notes
    )
    token = image.provenance.identifiers["file"].encode()
    for name in ("x.nii.gz", "x.nii", "series", "x.hdf5"):
        recon.write(image, tmp_path / name)
    recon.write(
        image.with_data(torch.zeros(3, 4, 5))[0], tmp_path / "x.png", writer={"use": "picture", "window": "lung"}
    )
    held = {}
    for path in [tmp_path / "x.nii.gz", tmp_path / "x.nii", tmp_path / "x.png", tmp_path / "x.hdf5"]:
        raw = path.read_bytes()
        held[path.name] = token in raw or (path.name.endswith(".gz") and token in gzip.decompress(raw))
    held["series"] = any(token in path.read_bytes() for path in (tmp_path / "series").iterdir())
    assert held == {"x.nii.gz": False, "x.nii": False, "x.png": False, "x.hdf5": True, "series": False}
    header = nib.load(tmp_path / "x.nii").header
    assert header["descrip"].item().decode() == f"recon {recon.__version__}"
