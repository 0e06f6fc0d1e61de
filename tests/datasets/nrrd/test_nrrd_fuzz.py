"""Any byte of a header or of packed data may be wrong: a result, or a refusal with a code."""

import random

import pytest

from recon.building import build
from recon.errors import CodedFileError
from recon_datasets.nrrd.examples import reader as examples


@pytest.mark.parametrize("number", range(3))
def test_flipped_bytes(tmp_path, number):
    chance, refused = random.Random(number), 0
    path = examples()[number].prepare(tmp_path)["path"]
    good = path.read_bytes()
    reader = build("reader", "nrrd")
    for _ in range(150):
        data = bytearray(good)
        data[chance.randrange(len(data))] = chance.randrange(256)
        path.write_bytes(data)
        try:
            reader.read(path)
        except CodedFileError:
            refused += 1
    assert refused > 20
