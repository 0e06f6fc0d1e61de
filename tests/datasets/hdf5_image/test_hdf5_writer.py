"""HDF5 files of images: all that an image holds comes back, equal to the last bit; damage and doubt are refused."""

import json
from collections import Counter

import h5py
import numpy as np
import pytest
import torch

import recon
from recon import Image, Measurement
from recon.cli import main
from recon.errors import CodedFileError, UsageError
from recon.io.provenance import Provenance, hashed
from recon_datasets.hdf5_image import Hdf5ImageReader, Hdf5ImageWriter

AFFINE = np.array([[0, -2.0, 1 / 3, 10], [1.5, 0, 0, -20], [0, 0, np.pi, 30], [0, 0, 0, 1]])


def image(**changes) -> Image:
    settings = {
        "data": torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64),
        "dims": ("echo", "z", "y", "x"),
        "affine": AFFINE,
        "unit": "arbitrary",
        "quantity": "phase",
        "metadata": {"echo_times_ms": (2.5, 1 / 3), "coils": 8, "modality": "MR"},
        "notes": ("RECON-DICOM-TILT: sheared", "Zweite Anmerkung ü"),
        "provenance": Provenance(reader="dicom_series", identifiers={"series": hashed("1.2.3")}, files=24),
    }
    return Image(**{**settings, **changes})


def same(one: Image, two: Image) -> bool:
    place = one.affine is None if two.affine is None else np.array_equal(one.affine, two.affine)
    names = ("dims", "voxel_size", "unit", "quantity", "metadata", "notes", "provenance")
    return (
        one.data.dtype == two.data.dtype
        and torch.equal(one.data, two.data)
        and place
        and all(getattr(one, name) == getattr(two, name) for name in names)
    )


@pytest.mark.parametrize("compress", [False, True])
def test_all_comes_back(tmp_path, compress):
    recon.write(image(), tmp_path / "x.hdf5", writer={"use": "hdf5_image", "compress": compress})
    back = recon.read(tmp_path / "x.hdf5")
    assert same(back, image())
    assert list(back.metadata["echo_times_ms"]) == [2.5, 1 / 3]
    with h5py.File(tmp_path / "x.hdf5") as file:
        assert (file["image"].compression == "gzip") == compress


@pytest.mark.parametrize(
    "kind",
    [
        *("bool", "uint8", "int8", "int16", "uint16", "int32", "uint32", "int64", "float16", "bfloat16", "float32"),
        *("float64", "complex64", "complex128"),
    ],
)
def test_every_type_comes_back(tmp_path, kind):
    values = torch.arange(24).reshape(4, 6).to(getattr(torch, kind))
    recon.write(Image(data=values, voxel_size=(0.7, 1 / 3)), tmp_path / "x.hdf5")
    back = recon.read(tmp_path / "x.hdf5")
    assert back.data.dtype == values.dtype
    assert torch.equal(back.data, values)
    assert back.voxel_size == (0.7, 1 / 3)


def test_what_is_not_finite_comes_back(tmp_path):
    values = torch.tensor([[float("nan"), float("inf")], [-0.0, 5e-324]], dtype=torch.float64)
    recon.write(Image(data=values), tmp_path / "x.hdf5")
    assert recon.read(tmp_path / "x.hdf5").data.numpy().tobytes() == values.numpy().tobytes()


def test_equal_images_give_equal_files(tmp_path):
    for name in ("a", "b"):
        recon.write(image(), tmp_path / f"{name}.hdf5")
    assert (tmp_path / "a.hdf5").read_bytes() == (tmp_path / "b.hdf5").read_bytes()


def test_an_empty_volume_is_not_packed_beyond_belief(tmp_path):
    """Readers take data that declare 1000 times their size for an attack on memory."""
    zeros = Image(data=torch.zeros(36, 700, 700))
    recon.write(zeros, tmp_path / "x.hdf5", writer={"use": "hdf5_image", "compress": True})
    assert torch.equal(recon.read(tmp_path / "x.hdf5").data, zeros.data)


def test_the_suffix_h5_is_left_to_others(tmp_path):
    recon.write(Image(data=torch.zeros(2, 3, 4)), tmp_path / "x.h5")
    with h5py.File(tmp_path / "x.h5") as file:
        assert list(file) == ["reconstruction"]
    recon.write(image(), tmp_path / "y.h5", writer="hdf5_image")
    assert same(recon.read(tmp_path / "y.h5"), image())
    with pytest.raises(UsageError, match="holds an image"):
        Hdf5ImageWriter().write(Measurement(data=torch.zeros(1, 1, 4)), tmp_path / "z.hdf5")


def refused(path) -> None:
    with pytest.raises(CodedFileError) as error:
        recon.read(path)
    assert error.value.code == "RECON-IMAGE-HEADER"
    assert "SMITH" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("recon_image", 2),
        ("recon_image", "SMITH"),
        ("recon_image", [1, 1]),
        ("unit", np.bytes_("SMITH")),
        ("unit", "HU"),
        ("unit", 3),
    ],
)
def test_attributes_that_are_none_of_ours(tmp_path, name, value):
    """Nor is a text of variable length, with which a damaged file could crash the library."""
    recon.write(image(), tmp_path / "x.hdf5")
    with h5py.File(tmp_path / "x.hdf5", "r+") as file:
        file["image"].attrs[name] = value
    refused(tmp_path / "x.hdf5")


@pytest.mark.parametrize(
    "change",
    [
        {"dims": ["t", "z", "y"]},
        {"dims": 3},
        {"dims": None},
        {"dtype": "SMITH"},
        {"quantity": "SMITH"},
        {"quantity": 3},
        {"patient": "SMITH"},
        {"metadata": {"patient": "SMITH"}},
        {"metadata": {"kvp": {"deep": "SMITH"}}},
        {"metadata": ["SMITH"]},
        {"notes": "SMITH"},
        {"notes": [["SMITH"]]},
        {"provenance": {"reader": "SMITH^JOHN"}},
        {"provenance": {"reader": "nifti", "identifiers": {"file": "SMITH"}}},
        {"provenance": {"reader": "nifti", "identifiers": {"file": 5}}},
        {"provenance": {"reader": "nifti", "files": "SMITH"}},
        {"provenance": {"reader": "nifti", "patient": "SMITH"}},
    ],
)
def test_what_is_told_that_is_none_of_ours(tmp_path, change):
    recon.write(image(), tmp_path / "x.hdf5")
    with h5py.File(tmp_path / "x.hdf5", "r+") as file:
        about = json.loads(file["about"][()].tobytes()) | change
        del file["about"]
        file["about"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
    refused(tmp_path / "x.hdf5")


@pytest.mark.parametrize(
    "text",
    [b"{", b"\xff\xfe", b"3", b"[" * 100_000, np.zeros(3), np.zeros((2, 2), np.uint8), np.zeros(2**25, np.uint8), None],
)
def test_a_text_that_is_none(tmp_path, text):
    recon.write(image(), tmp_path / "x.hdf5")
    with h5py.File(tmp_path / "x.hdf5", "r+") as file:
        del file["about"]
        if text is not None:
            file["about"] = np.frombuffer(text, np.uint8) if isinstance(text, bytes) else text
    refused(tmp_path / "x.hdf5")


def test_many_facts_come_back(tmp_path):
    """HDF5's attributes end at 64 KiB."""
    times = tuple(float(t) / 3 for t in range(20_000))
    long = Image(data=torch.zeros(20_000, 1, 1), dims=("t", "y", "x"), metadata={"times_s": times})
    recon.write(long, tmp_path / "x.hdf5")
    assert recon.read(tmp_path / "x.hdf5").metadata["times_s"] == times


def test_flipped_bytes_never_crash(tmp_path):
    """The same image, another that is whole, or a refusal."""
    recon.write(image(), tmp_path / "x.hdf5")
    raw, random = bytearray((tmp_path / "x.hdf5").read_bytes()), np.random.default_rng(0)
    outcomes = Counter()
    for _ in range(120):
        changed = raw.copy()
        for place in random.integers(0, len(raw), 2):
            changed[place] = random.integers(0, 256)
        (tmp_path / "y.hdf5").write_bytes(changed)
        try:
            recon.read(tmp_path / "y.hdf5")
            outcomes["read"] += 1
        except CodedFileError:
            outcomes["refused"] += 1
    assert outcomes["read"] > 20
    assert outcomes["refused"] > 20


def test_attributes_of_others_are_left_out(tmp_path):
    """Without the mark, texts of a file are texts of anybody."""
    recon.write(image(), tmp_path / "x.hdf5")
    with h5py.File(tmp_path / "x.hdf5", "r+") as file:
        del file["image"].attrs["recon_image"]
        file["image"].attrs["notes"] = "SMITH^JOHN"
    back = Hdf5ImageReader().read(tmp_path / "x.hdf5")
    assert (back.notes, back.metadata, back.dims) == ((), {}, ("t", "z", "y", "x"))
    assert np.array_equal(back.affine, AFFINE)


def test_on_the_command_line(tmp_path, capsys):
    recon.write(image(notes=()), tmp_path / "x.hdf5")
    assert main(["convert", str(tmp_path / "x.hdf5"), str(tmp_path / "y.hdf5")]) == 0
    assert (tmp_path / "y.hdf5").read_bytes() == (tmp_path / "x.hdf5").read_bytes()
    capsys.readouterr()
    assert main(["info", str(tmp_path / "y.hdf5"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["provenance"] == {"reader": "dicom_series", "files": 24, "known by": ["series"]}
    assert told["quantity"] == "phase"
