"""Readers and writers are chosen by content and suffix; bad input ends as one clear line."""

import pickle
from pathlib import Path

import pytest
import torch

import recon
from recon import Component, Image, Measurement
from recon.errors import FileFormatError, UsageError
from recon.io import files
from recon.registry import Entry, Plugin

MAGIC = ((0, b"FAKE"),)


class FakeReader:
    def __init__(self, name="a", accepting=True, failing=False):
        self.name, self.accepting, self.failing = name, accepting, failing

    def accepts(self, path):
        return self.accepting

    def read(self, path):
        if self.failing:
            raise FileFormatError(f"{self.name} found a fault")
        return self.name


class FakeWriter:
    def write(self, image, path):
        path.write_text("half")
        if image is None:
            raise UsageError("cannot hold it")


@pytest.fixture
def plugins(monkeypatch):
    """Replace the registry by entries given as (kind, name, object, Component fields)."""

    def install(*items):
        plugin = Plugin("fake", "fake", "fake", "1")
        entries, objects = [], {}
        for kind, name, item, fields in items:
            component = Component(kind=kind, name=name, target="fake:Fake", summary="x", **fields)
            entries.append(Entry(plugin, component))
            objects[f"fake/{name}"] = item

        class FakeRegistry:
            def entries(self, kind):
                return (entry for entry in entries if entry.component.kind == kind)

        monkeypatch.setattr(files, "registry", FakeRegistry)
        monkeypatch.setattr(files, "build", lambda kind, name: objects[name if "/" in name else f"fake/{name}"])

    return install


@pytest.fixture
def fake_file(tmp_path):
    path = tmp_path / "x.fk"
    path.write_bytes(b"FAKE and more")
    return path


def test_content_wins_over_suffix(plugins, fake_file):
    plugins(
        ("reader", "by_magic", FakeReader("by_magic"), {"magic": MAGIC, "suffixes": (".other",)}),
        ("reader", "elsewhere", FakeReader("elsewhere"), {"magic": ((0, b"ELSE"),), "suffixes": (".fk",)}),
    )
    assert files.read(fake_file) == "by_magic"


def test_suffix_decides_among_those_that_accept(plugins, fake_file):
    plugins(
        ("reader", "a", FakeReader("a"), {"magic": MAGIC}),
        ("reader", "b", FakeReader("b"), {"magic": MAGIC, "suffixes": (".fk",)}),
    )
    assert files.read(fake_file) == "b"


def test_a_tie_names_both(plugins, fake_file):
    plugins(
        ("reader", "a", FakeReader("a"), {"magic": MAGIC}),
        ("reader", "b", FakeReader("b"), {"magic": MAGIC}),
    )
    with pytest.raises(FileFormatError, match="'fake/a' and 'fake/b': say which with reader="):
        files.read(fake_file)
    assert files.read(fake_file, reader="b") == "b"


def test_a_failing_reader_is_the_end(plugins, fake_file):
    plugins(
        ("reader", "a", FakeReader("a", failing=True), {"magic": MAGIC, "suffixes": (".fk",)}),
        ("reader", "b", FakeReader("b"), {"magic": MAGIC}),
    )
    with pytest.raises(FileFormatError, match="a found a fault"):
        files.read(fake_file)


def test_a_wrong_suffix_is_explained(plugins, tmp_path):
    (tmp_path / "x.fk").write_text("something else")
    plugins(("reader", "a", FakeReader(), {"magic": MAGIC, "suffixes": (".fk",)}))
    with pytest.raises(FileFormatError, match="not what its suffix says: fake/a does not recognise"):
        files.read(tmp_path / "x.fk")


def test_folders_go_to_readers_of_folders(plugins, tmp_path):
    plugins(
        ("reader", "a", FakeReader("a"), {"suffixes": ("/",)}),
        ("reader", "b", FakeReader("b"), {"suffixes": (".fk",)}),
    )
    assert files.read(tmp_path) == "a"


def test_missing_file_and_unknown_suffix(tmp_path):
    with pytest.raises(FileFormatError, match="does not exist"):
        recon.read(tmp_path / "none.nii")
    (tmp_path / "x.xyz").write_text("?")
    with pytest.raises(FileFormatError, match=r"no reader recognises .*x\.xyz; known suffixes: .*\.h5"):
        recon.read(tmp_path / "x.xyz")
    with pytest.raises(UsageError, match=r"no writer for x\.xyz; known suffixes: .*\.h5"):
        recon.write(Image(data=torch.zeros(2, 2)), tmp_path / "x.xyz")
    with pytest.raises(UsageError, match="does not exist; make it first"):
        recon.write(Measurement(data=torch.zeros(1, 1, 2, 2)), tmp_path / "no" / "x.h5")


def test_empty_file(tmp_path):
    (tmp_path / "x.h5").touch()
    with pytest.raises(FileFormatError, match="is empty"):
        recon.read(tmp_path / "x.h5")


def test_special_files_are_refused():
    if not Path("/dev/null").exists():
        pytest.skip("no /dev/null here")
    with pytest.raises(FileFormatError, match="neither a file nor a folder"):
        recon.read("/dev/null")


def test_a_failed_write_leaves_nothing(plugins, tmp_path):
    plugins(("writer", "w", FakeWriter(), {"suffixes": (".fk",)}))
    with pytest.raises(UsageError, match="cannot hold it"):
        files.write(None, tmp_path / "x.fk")
    assert list(tmp_path.iterdir()) == []


def test_the_longest_suffix_names_the_writer(plugins, tmp_path):
    class Other:
        def write(self, image, path):
            path.write_text("other")

    plugins(
        ("writer", "w", FakeWriter(), {"suffixes": (".gz",)}),
        ("writer", "v", Other(), {"suffixes": (".fk.gz",)}),
    )
    files.write(1, tmp_path / "x.fk.gz")
    assert (tmp_path / "x.fk.gz").read_text() == "other"


def test_writers_tie(plugins, tmp_path):
    plugins(*[("writer", name, FakeWriter(), {"suffixes": (".fk",)}) for name in "ab"])
    with pytest.raises(UsageError, match="'fake/a' and 'fake/b': say which with writer="):
        files.write(1, tmp_path / "x.fk")


def test_measurement_wraps_reconstructions():
    y = Measurement(data=torch.zeros(2, 3, 4, 5), dims=("z", "y", "x"), voxel_size=(1, 2, 3), unit="1/mm")
    image = y.image(torch.ones(2, 1, 4, 5), note="done")
    assert (image.dims, image.shape, image.voxel_size, image.unit) == (("z", "y", "x"), (2, 4, 5), (1, 2, 3), "1/mm")
    assert image.notes == ("done",)
    assert y.image(torch.ones(2, 2, 4, 5)).dims == ("channel", "z", "y", "x")
    with pytest.raises(UsageError, match="2 items, the reconstruction 1"):
        y.image(torch.ones(1, 1, 4, 5))


@pytest.mark.parametrize(
    ("batch", "space", "dims", "expected"),
    [
        (1, (4, 5), None, ("y", "x")),
        (2, (4, 5), None, ("batch", "y", "x")),
        (1, (3, 4, 5), None, ("z", "y", "x")),
        (1, (3, 4, 5), ("z", "y", "x"), ("z", "y", "x")),
        (1, (4, 5), ("z", "y", "x"), ("z", "y", "x")),
        (2, (3, 4, 5), ("t", "z", "y", "x"), ("t", "z", "y", "x")),
    ],
)
def test_measurement_names_the_batch(batch, space, dims, expected):
    y = Measurement(data=torch.zeros(batch, 1, 7), dims=dims)
    x = torch.randn(batch, 1, *space, generator=torch.Generator().manual_seed(0))
    image = y.image(x)
    assert image.dims == expected
    assert torch.equal(image.data.flatten(), x.flatten())


def test_measurement_refuses_contradictions():
    with pytest.raises(UsageError, match="has the shape"):
        Measurement(data=torch.zeros(2, 3))
    with pytest.raises(UsageError, match="under 'use'"):
        Measurement(data=torch.zeros(1, 1, 3), operator_config={"name": "x"})
    with pytest.raises(UsageError, match="does not say which operator"):
        Measurement(data=torch.zeros(1, 1, 3)).operator()


def test_measurement_pickles():
    y = Measurement(
        data=torch.zeros(1, 1, 3), operator_config={"use": "fourier"}, reference=Image(data=torch.ones(2, 2))
    )
    copy = pickle.loads(pickle.dumps(y))
    assert copy.operator_config == {"use": "fourier"}
    assert torch.equal(copy.reference.data, torch.ones(2, 2))
