"""The index of headers, and what is selected by it."""

import json
import os
import pickle

import pytest
import torch

from recon.errors import FileFormatError, ParameterError
from recon_datasets.fastmri import FastMRI, index, write_synthetic
from recon_datasets.fastmri.index import index_files


@pytest.fixture
def root(tmp_path):
    """Two splits of two kinds, two protocols, two widths."""
    volumes = {
        "multicoil_train/file1.h5": {"coils": 3, "acquisition": "CORPD_FBK"},
        "multicoil_train/batch_1/file2.h5": {"coils": 4, "acquisition": "CORPDFS_FBK", "shape": (32, 30)},
        "brain_multicoil_val_batch_0/file3.h5": {"coils": 4, "acquisition": "AXT2"},
        "singlecoil_val/file4.h5": {"coils": None},
    }
    for number, (name, options) in enumerate(volumes.items()):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_synthetic(path, slices=2, seed=number, **options)
    (tmp_path / "data" / "multicoil_train" / ".DS_Store").write_text("junk")
    return tmp_path / "data"


def names(**options):
    return [path.stem for path in FastMRI(**options).files]


def test_splits_and_challenges_are_told_by_folders_and_contents(root):
    assert names(root=root, challenge="multicoil") == ["file3", "file2", "file1"]
    assert names(root=root, challenge="singlecoil") == ["file4"]
    assert names(root=root, split="train") == ["file2", "file1"]
    assert names(root=root, split="val") == ["file3", "file4"]
    assert names(root=root / "multicoil_train", split="train") == ["file2", "file1"]
    assert names(root=root / "singlecoil_val" / "file4.h5", split="val") == ["file4"]
    with pytest.raises(FileFormatError, match=r"4 files, none of which is asked for: of split (train|val) \(2\)"):
        names(root=root, split="test")


def test_selections(root):
    assert names(root=root, only={"acquisition": "AXT2"}) == ["file3"]
    assert names(root=root, only={"acquisition": ["AXT2", "CORPDFS_FBK"]}) == ["file3", "file2"]
    assert names(root=root, only={"coils": 4, "width": (24, 30)}) == ["file3", "file2"]
    assert names(root=root, only={"coils": 4, "width": 30}) == ["file2"]
    assert names(root=root, only={"volumes": (1, 3)}) == ["file2", "file1"]
    assert len(FastMRI(root=root, only={"coils": 4})) == 4
    halves = [names(root=root, only={"share": 0.5, "seed": seed}) for seed in range(8)]
    assert all(len(half) == 2 for half in halves)
    assert len({tuple(half) for half in halves}) > 2
    assert halves[0] == names(root=root, only={"share": 0.5})
    with pytest.raises(FileFormatError, match=r"coils 3 \(1\)"):
        names(root=root, challenge="multicoil", only={"coils": 15})
    with pytest.raises(FileFormatError, match="none of which is asked for"):
        names(root=root, only={"volumes": (9, 12)})
    with pytest.raises(ParameterError, match=r"only\.volumes: \[2, 2\] is empty"):
        FastMRI(root=root, only={"volumes": (2, 2)})
    with pytest.raises(ParameterError, match=r"only\.widht: unknown parameter; did you mean 'width'"):
        FastMRI(root=root, only={"widht": 368})
    with pytest.raises(ParameterError, match=r"only\.share: input should be less than or equal to 1"):
        FastMRI(root=root, only={"share": 2})


def test_buckets_are_items_of_one_shape(root):
    data = FastMRI(root=root, challenge="multicoil")
    labels = data.buckets()
    assert len(labels) == len(data) == 6
    for i, one in enumerate(labels):
        for j, other in enumerate(labels):
            shapes = [{k: v.shape for k, v in data[n].items()} for n in (i, j)]
            assert (one == other) == (shapes[0] == shapes[1])
    # The U-Net's items are cropped: all files of one reference size go together.
    assert set(FastMRI(root=root, challenge="multicoil", form="unet").buckets()) == {0}


@pytest.fixture
def looked_at(monkeypatch):
    """Names of the files whose headers are read."""
    seen = []
    real = index.look_at
    monkeypatch.setattr(index, "look_at", lambda path: seen.append(path.stem) or real(path))
    return seen


def test_headers_are_read_once(root, tmp_path, looked_at):
    place = tmp_path / "index.json"
    first = index_files(root, place)
    assert sorted(looked_at) == ["file1", "file2", "file3", "file4"]
    written = place.stat().st_mtime_ns
    looked_at.clear()
    assert index_files(root, place) == first
    assert looked_at == []
    assert place.stat().st_mtime_ns == written
    text = place.read_text()
    assert "patient" not in text
    json.loads(text)


def test_files_that_changed_are_read_again(root, tmp_path, looked_at):
    place = tmp_path / "index.json"
    index_files(root, place)
    looked_at.clear()
    path = root / "singlecoil_val" / "file4.h5"
    write_synthetic(path, slices=3, coils=None)
    (root / "multicoil_train" / "file1.h5").unlink()
    found = {path.stem: facts for path, facts in index_files(root, place)}
    assert looked_at == ["file4"]
    assert found["file4"].slices == 3
    assert "file1.h5" not in place.read_text()
    os.utime(path, ns=(1, 1))
    index_files(root, place)
    assert looked_at == ["file4", "file4"]


def test_one_index_may_serve_several_folders(root, tmp_path, looked_at):
    place = tmp_path / "index.json"
    parts = [root / "multicoil_train", root / "singlecoil_val"]
    for part in parts:
        index_files(part, place)
    looked_at.clear()
    for part in parts:
        index_files(part, place)
    assert looked_at == []


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"format": "other"}', '{"format": "recon fastmri index 1", "files": 3}', "[" * 20000, "\x00"],
)
def test_a_damaged_index_costs_time_only(root, tmp_path, content):
    place = tmp_path / "index.json"
    expected = index_files(root)
    place.write_text(content)
    assert index_files(root, place) == expected
    assert json.loads(place.read_text())["files"]


@pytest.mark.parametrize(
    "change", [{"slices": "many"}, {"size": [1]}, {"size": None}, {"more": 1}, {"coils": -1}, None]
)
def test_entries_that_are_not_sound_are_read_again(root, tmp_path, change):
    place = tmp_path / "index.json"
    expected = index_files(root, place)
    kept = json.loads(place.read_text())
    for entry in kept["files"].values():
        entry["facts"] = None if change is None else entry["facts"] | change
    place.write_text(json.dumps(kept))
    assert index_files(root, place) == expected


def test_places_that_cannot_be_written_do_not_matter(root, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("a file, not a folder")
    expected = index_files(root)
    assert index_files(root, tmp_path / "file" / "index.json") == expected
    (tmp_path / "folder.json").mkdir()
    assert index_files(root, tmp_path / "folder.json") == expected

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(index, "atomic_file", full)
    assert index_files(root, tmp_path / "index.json") == expected
    assert not (tmp_path / "index.json").exists()


def test_the_cache_folder_is_used_for_many_files(root, tmp_path, monkeypatch, looked_at):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    index_files(root)
    assert not (tmp_path / "caches").exists()
    monkeypatch.setattr(index, "_WORTH", 3)
    index_files(root)
    (kept,) = (tmp_path / "caches").rglob("*.json")
    assert kept.is_relative_to(tmp_path / "caches" / "recon")
    looked_at.clear()
    index_files(root)
    assert looked_at == []
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert index.default_place(root).is_relative_to(tmp_path / ".cache")


def test_workers_get_the_index_with_the_dataset(root, looked_at):
    data = FastMRI(root=root)
    len(data)
    looked_at.clear()
    copy = pickle.loads(pickle.dumps(data))
    assert torch.equal(copy[0]["measurement"], data[0]["measurement"])
    assert looked_at == []


def test_a_file_that_changed_since_is_told(tmp_path):
    write_synthetic(tmp_path / "a.h5", slices=3)
    data = FastMRI(root=tmp_path)
    assert len(data) == 3
    write_synthetic(tmp_path / "a.h5", slices=1)
    with pytest.raises(FileFormatError, match="has changed since it was indexed"):
        data[0]
