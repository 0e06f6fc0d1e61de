"""Values of variable length in HDF5 files, however they are laid out: read as they are, or refused where damaged."""

import struct

import h5py
import numpy as np
import pytest
from h5py import h5d, h5p, h5s, h5t

from recon.errors import CodedFileError
from recon.io.hdf5 import attribute_text, dataset, open_hdf5

TEXT = h5py.string_dtype()
NUMBERS = h5py.vlen_dtype(np.float32)
LONG = "x" * 6000


def _contiguous(file):
    file["data"] = ["", LONG, "b"]


def _scalar(file):
    file["data"] = LONG


def _chunked(file):
    file.create_dataset("data", data=["a" * n for n in range(50)], chunks=(7,), maxshape=(None,), dtype=TEXT)


def _packed(file):
    texts = np.array([["a" * n for n in range(5)]] * 9, dtype=object)
    file.create_dataset("data", data=texts, chunks=(2, 3), dtype=TEXT, compression="gzip", shuffle=True)


def _compact(file):
    properties = h5p.create(h5p.DATASET_CREATE)
    properties.set_layout(h5d.COMPACT)
    h5d.create(file.id, b"data", h5t.py_create(TEXT, logical=True), h5s.create_simple((2,)), properties)
    file["data"][:] = ["a", LONG]


def _records(file):
    """Texts are pointers in memory, half as long as in the file, so that what follows lies elsewhere."""
    form = [("name", TEXT), ("at", "i4"), ("values", NUMBERS), ("pair", TEXT, (2,)), ("end", "f8")]
    file.create_dataset("data", (3,), dtype=np.dtype(form))
    file["data"][1] = (LONG, 7, np.arange(3000, dtype=np.float32), ("a", "b" * 300), 1.0)


LAYOUTS = [_contiguous, _scalar, _chunked, _packed, _compact, _records]


@pytest.mark.parametrize("form", ["earliest", "latest"])
@pytest.mark.parametrize("block", [0, 512])
@pytest.mark.parametrize("write", LAYOUTS)
def test_whole_and_damaged(tmp_path, write, form, block):
    """Each length in the heaps by itself: one that is changed is always found."""
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver=form, userblock_size=block) as file:
        write(file)
        expected = file["data"][()]
    with open_hdf5(path) as file:
        found = dataset(file, "data")[()]
        assert repr(found) == repr(expected)
    content = path.read_bytes()
    sizes = [at for begin in _heaps(content) for at in _sizes(content, begin)]
    assert sizes
    for at in sizes[:: max(1, len(sizes) // 10)]:
        damaged = bytearray(content)
        damaged[at] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(CodedFileError, match="RECON-HDF5-DAMAGED"), open_hdf5(path) as file:
            dataset(file, "data")


@pytest.mark.parametrize("form", ["earliest", "latest"])
def test_attributes(tmp_path, form):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver=form) as file:
        for number in range(7):
            file.attrs[f"a{number}"] = "y" * (1000 * number)
        file.attrs["fixed"], file.attrs["list"], file.attrs["number"] = np.bytes_("z"), ["a", "b"], 3
    with open_hdf5(path) as file:
        assert [attribute_text(file, f"a{number}") for number in range(7)] == ["y" * (1000 * n) for n in range(7)]
        assert attribute_text(file, "fixed") == "z"
        assert attribute_text(file, "list") is attribute_text(file, "number") is attribute_text(file, "none") is None


def _heaps(content):
    begin = content.find(b"GCOL")
    while begin >= 0:
        yield begin
        begin = content.find(b"GCOL", begin + 4)


def _sizes(content, begin):
    """Places of the lengths of what a heap holds."""
    at, end = begin + 16, begin + struct.unpack_from("<Q", content, begin + 8)[0]
    while at + 16 <= end:
        number, length = struct.unpack_from("<H6xQ", content, at)
        if number == 0:
            return
        yield at + 8
        at += 16 + (length + 7) // 8 * 8
