"""Bytes of headers flipped at random: an image or a refusal, never a crash, a hang, or another error."""

import h5py
import nibabel as nib
import numpy as np
import pytest

from .faults.catalogue import CASES
from .faults.scan import VALUES, make

FORMATS = ("dicom", "rle", "enhanced", "mosaic", "nifti", "nifti_gz", "hdf5")


def seed(kind, folder):
    """A good file, and how many of its first bytes are the header."""
    builders = {"dicom": "plain", "rle": "rle", "enhanced": "enhanced_multi_frame", "mosaic": "mosaic"}
    if kind in builders:
        scan = CASES[builders[kind]].build() if kind != "dicom" else make(VALUES[:1])
        path = scan.save(folder)[0]
        content = path.read_bytes()
        return content, content.index(b"\xe0\x7f\x10\0") + 12, ".dcm"
    if kind == "hdf5":
        with h5py.File(folder / "seed.h5", "w") as file:
            file.create_dataset("image", data=VALUES[:4], chunks=(1, 20, 28), compression="gzip", shuffle=True)
            file["image"].attrs["affine"] = np.eye(4)
        content = (folder / "seed.h5").read_bytes()
        return content, len(content), ".h5"
    suffix = ".nii" if kind == "nifti" else ".nii.gz"
    nib.Nifti1Image(VALUES[:4], np.diag([2, 2, 2, 1])).to_filename(folder / f"seed{suffix}")
    content = (folder / f"seed{suffix}").read_bytes()
    return content, 352, suffix


def fuzz(reading, folder, kind, count, entropy=0):
    folder.mkdir(exist_ok=True)
    content, header, suffix = seed(kind, folder)
    generator = np.random.default_rng([entropy, FORMATS.index(kind)])
    read = refused = 0
    path = folder / f"mutant{suffix}"
    for number in range(count):
        mutant = bytearray(content)
        for at in generator.integers(0, header, generator.integers(1, 5)):
            mutant[at] = (
                generator.integers(256) if generator.random() < 0.5 else mutant[at] ^ (1 << generator.integers(8))
            )
        if generator.random() < 0.1:
            del mutant[generator.integers(1, len(mutant)) :]
        path.write_bytes(mutant)
        answer = reading(path)
        assert "crash" not in answer, (kind, entropy, number, answer)
        assert answer["seconds"] < 10, (kind, entropy, number, answer)
        refused += "code" in answer
        read += "code" not in answer
    assert refused
    return read, refused


@pytest.mark.parametrize("kind", FORMATS)
def test_flipped_bytes(reading, tmp_path, kind):
    fuzz(reading, tmp_path, kind, 45)


@pytest.mark.slow
@pytest.mark.parametrize("entropy", range(1, 11))
@pytest.mark.parametrize("kind", FORMATS)
def test_flipped_bytes_at_length(reading, tmp_path, kind, entropy):
    fuzz(reading, tmp_path, kind, 145, entropy)
