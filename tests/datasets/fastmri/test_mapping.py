"""Memory maps: where they serve, that they give the same, and that they follow nothing out of the file."""

import multiprocessing

import h5py
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from recon.errors import FileFormatError
from recon.io.hdf5 import memory_map
from recon_datasets.fastmri import FastMRI, write_synthetic

LAYOUTS = {
    "contiguous": {},
    "chunked": {"chunks": (1, 3, 32, 24)},
    "gzip": {"compression": "gzip"},
    "lzf and shuffle": {"compression": "lzf", "shuffle": True},
    "checksums": {"fletcher32": True},
}


def stored_as(path, **layout):
    """Write the file again with another layout of k-space."""
    with h5py.File(path, "r+") as file:
        values = file["kspace"][()]
        del file["kspace"]
        file.create_dataset("kspace", data=values, **layout)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_all_layouts_give_the_same(tmp_path, layout):
    write_synthetic(tmp_path / "a.h5", slices=3)
    expected = [FastMRI(root=tmp_path, form=form)[2] for form in ("kspace", "unet")]
    stored_as(tmp_path / "a.h5", **LAYOUTS[layout])
    for form, wanted in zip(("kspace", "unet"), expected, strict=True):
        data = FastMRI(root=tmp_path, form=form)
        item = data[2]
        assert all(torch.equal(item[name], wanted[name]) for name in wanted)
        file, volume = data._open[0]
        assert volume.mapped == (layout == "contiguous")
        assert (file is None) == (layout == "contiguous")


@pytest.mark.parametrize("dtype", [">c8", "<c16"])
def test_other_types_become_complex64(tmp_path, dtype):
    write_synthetic(tmp_path / "a.h5")
    expected = FastMRI(root=tmp_path)[1]["measurement"]
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        values = file["kspace"][()].astype(dtype)
        del file["kspace"]
        file["kspace"] = values
    item = FastMRI(root=tmp_path)[1]["measurement"]
    assert item.dtype == torch.complex64
    assert torch.equal(item, expected)


@pytest.mark.parametrize("block", [0, 512, 4096])
def test_places_are_counted_from_the_start_of_the_file(tmp_path, block):
    values = np.arange(24, dtype="f4").reshape(2, 3, 4)
    with h5py.File(tmp_path / "a.h5", "w", userblock_size=block) as file:
        file["first"] = np.zeros(100)
        file["data"] = values
        file.create_dataset("unwritten", (3, 4), "f4")
        file.create_dataset("empty", (0, 4), "f4")
        file.create_dataset("chunked", data=values, chunks=True)
        file["text"] = "text"
    with h5py.File(tmp_path / "a.h5") as file:
        mapped = memory_map(file["data"])
        others = [memory_map(file[name]) for name in ("unwritten", "empty", "chunked", "text")]
    assert np.array_equal(mapped, values)
    assert others == [None] * 4


def test_what_is_written_to_a_map_does_not_reach_the_file(tmp_path):
    write_synthetic(tmp_path / "a.h5")
    before = (tmp_path / "a.h5").read_bytes()
    data = FastMRI(root=tmp_path)
    first = data[0]["measurement"].clone()
    data[0]["measurement"].zero_()
    data._volume(0).kspace[:] = 0
    assert (tmp_path / "a.h5").read_bytes() == before
    assert torch.equal(FastMRI(root=tmp_path)[0]["measurement"], first)


def test_data_in_other_files_are_refused(tmp_path):
    path = tmp_path / "a.h5"
    (tmp_path / "outside.bin").write_bytes(bytes(2 * 3 * 32 * 24 * 8))
    write_synthetic(path)
    stored_as(path)
    with h5py.File(path, "r+") as file:
        del file["kspace"]
        place = [(str(tmp_path / "outside.bin"), 0, h5py.h5f.UNLIMITED)]
        file.create_dataset("kspace", (2, 3, 32, 24), "c8", external=place)
    with pytest.raises(FileFormatError, match="keeps its data in other files"):
        len(FastMRI(root=tmp_path))


def test_files_that_shrink_after_they_were_indexed(tmp_path):
    path = tmp_path / "a.h5"
    write_synthetic(path)
    data = FastMRI(root=tmp_path)
    assert len(data) == 2
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(FileFormatError, match=r"a\.h5: slice 0 cannot be read: .*truncated"):
        data[0]


@pytest.mark.parametrize("layout", ["contiguous", "chunked"])
def test_workers_read_what_the_main_process_reads(tmp_path, layout):
    for number in range(3):
        write_synthetic(tmp_path / f"{number}.h5", seed=number)
        stored_as(tmp_path / f"{number}.h5", **LAYOUTS[layout])
    data = FastMRI(root=tmp_path, keep_open=2)
    expected = [data[i]["measurement"] for i in range(len(data))]  # leaves files open, which a fork inherits
    method = "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"
    loader = DataLoader(data, batch_size=None, num_workers=2, multiprocessing_context=method)
    found = [item["measurement"] for item in loader]
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
