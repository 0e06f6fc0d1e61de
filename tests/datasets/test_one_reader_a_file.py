"""Every reader's own example files are taken by that reader and by no other: several formats share HDF5 and folders."""

from __future__ import annotations

from importlib import import_module

import pytest

from recon.building import build
from recon.io.files import FOLDER, _choose
from recon.registry import registry

READERS = sorted(entry.name for entry in registry().entries("reader") if entry.plugin.first_party)


def examples(entry):
    module, _, function = entry.component.examples.partition(":")
    return getattr(import_module(module), function)()


@pytest.mark.parametrize("name", READERS)
def test_no_other_reader_takes_it(name, tmp_path):
    own = next(entry for entry in registry().entries("reader") if entry.name == name)
    for package in own.component.requires:
        pytest.importorskip(package)
    for number, example in enumerate(examples(own)):
        folder = tmp_path / str(number)
        folder.mkdir()
        path = example.prepare(folder)["path"]
        assert type(_choose(path)) is own.load()
        others = [entry for entry in registry().entries("reader") if entry.name != name]
        if path.is_dir():
            others = [entry for entry in others if FOLDER in entry.component.suffixes]
        else:
            head = path.read_bytes()[:512]
            others = [e for e in others if any(head[at : at + len(mark)] == mark for at, mark in e.component.magic)]
        assert [entry.name for entry in others if build("reader", entry.name).accepts(path)] == []


@pytest.mark.parametrize(
    ("name", "alias"),
    [
        ("nifti", "x.nii"),  # gzipped or not
        ("nifti", "x"),
        ("nrrd", "x.nii"),
        ("metaimage", "x.dcm"),
        ("picture", "x.h5"),
        ("hdf5_image", "x.tif"),
        ("fastmri", "x.mha"),
        ("measurement_file", "x"),
        ("ismrmrd", "x.png"),
    ],
)
def test_a_wrong_suffix_changes_nothing(name, alias, tmp_path):
    own = next(entry for entry in registry().entries("reader") if entry.name == name)
    for number, example in enumerate(examples(own)):
        folder = tmp_path / str(number)
        folder.mkdir()
        path = example.prepare(folder)["path"]
        if path.suffix == ".mhd":  # of two files
            continue
        assert type(_choose(path.rename(folder / alias))) is own.load()
