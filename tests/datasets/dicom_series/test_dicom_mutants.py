"""Bytes flipped at random in headers of the rarer kinds: an image or a coded refusal, without a word of the file."""

import numpy as np
import pytest

from recon.errors import CodedFileError
from recon_datasets.dicom_series import DicomReader

from .test_dicom_dose import dose
from .test_dicom_nuclear import nuclear
from .whole_files import bundled, plate, whole


def bare(folder):
    path = whole(folder, "12.1", plate(FrameTime=40))
    path.write_bytes(path.read_bytes()[132:])
    return path


SEEDS = {
    "dose": (lambda folder: whole(folder, "481.2", dose([3.5 * n for n in range(6)])), {}),
    "nuclear": (
        lambda folder: whole(folder, "20", nuclear("RECON TOMO", [0x00540080], SliceVector=[1, 2, 3, 4, 5, 6])),
        {},
    ),
    "film": (lambda folder: whole(folder, "12.1", plate(FrameTime=40)), {}),
    "without a mark": (bare, {"assume": "implicit-le"}),
    "colours": (lambda folder: bundled("SC_rgb_rle.dcm"), {"kind": "picture"}),
    "palette": (lambda folder: bundled("examples_palette.dcm"), {"kind": "picture"}),
    "grey": (lambda folder: bundled("JPEGLSNearLossless_16.dcm"), {"kind": "picture"}),
}


def flip(folder, name, count, entropy):
    make, options = SEEDS[name]
    content = make(folder).read_bytes()
    header = content.index(b"\xe0\x7f\x10\0") + 12
    random = np.random.default_rng([entropy, *name.encode()])
    path, read, refusals = folder / "mutant.dcm", 0, []
    for _ in range(count):
        mutant = bytearray(content)
        for at in random.integers(0, header, random.integers(1, 5)):
            mutant[at] = random.integers(256) if random.random() < 0.5 else mutant[at] ^ (1 << random.integers(8))
        path.write_bytes(mutant)
        try:
            DicomReader(**options).read(path)
            read += 1
        except CodedFileError as error:
            refusals.append(str(error))
    assert read
    assert refusals
    assert not any("\n" in text for text in refusals)


@pytest.mark.parametrize("name", SEEDS)
def test_flipped_bytes(tmp_path, name):
    flip(tmp_path, name, 40, 0)


@pytest.mark.slow
@pytest.mark.parametrize("entropy", range(1, 6))
@pytest.mark.parametrize("name", SEEDS)
def test_flipped_bytes_at_length(tmp_path, name, entropy):
    flip(tmp_path, name, 400, entropy)
