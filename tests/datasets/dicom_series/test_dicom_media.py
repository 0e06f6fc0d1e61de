"""Files as they come on media and from old archives: with an index, without names, preamble or transfer syntax."""

import gc
import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.fileset import FileSet
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian, RLELossless

import recon
from recon_datasets.dicom_series import DicomError, DicomReader, write_slices
from recon_datasets.dicom_series.scan import scan

VALUES = np.random.default_rng(5).integers(-1000, 3000, (4, 5, 7)).astype(np.int16)
HU = VALUES.astype(np.float32) - 1024


def code(path, **options):
    with pytest.raises(DicomError) as error:
        DicomReader(**options).read(path)
    assert "Nobody" not in str(error.value)
    return error.value.code.removeprefix("RECON-DICOM-")


@pytest.fixture
def medium(tmp_path):
    """Two series as on a CD: an index, and files without endings in folders of folders."""
    index = FileSet()
    for name, values in (("first", VALUES), ("second", VALUES[::-1])):

        def complete(dataset, number, name=name):
            dataset.PatientID, dataset.StudyInstanceUID, dataset.StudyID = "SYNTHETIC", "1.2.3", "1"
            dataset.StudyDate, dataset.StudyTime, dataset.AccessionNumber = "20200101", "100000", ""
            dataset.SeriesNumber = 1 if name == "first" else 2

        for path in write_slices(tmp_path / "files", values, name=name, change=complete):
            index.add(path)
    with warnings.catch_warnings():  # pydicom leaves its temporary folders to the garbage collector
        warnings.simplefilter("ignore", ResourceWarning)
        index.write(tmp_path / "medium")
        del index
        gc.collect()
    return tmp_path / "medium"


@pytest.mark.parametrize("named", [".", "DICOMDIR"])
def test_a_medium_reads_by_its_folder_or_its_index(medium, named):
    path = medium / named
    assert not list(medium.rglob("*.dcm"))
    found = scan(path)
    assert [(series.files, series.modality, series.problem) for series in found] == [(4, "CT", None)] * 2
    assert code(path) == "AMBIGUOUS"
    for number, expected in ((1, HU), (2, HU[::-1])):
        assert np.array_equal(DicomReader(series=number).read(path).data.numpy(), expected)


def test_an_index_without_its_files(tmp_path):
    """pydicom's own example of one: nothing is followed out of its folder."""
    content = Path(get_testdata_file("DICOMDIR-empty.dcm", download=False)).read_bytes()
    (tmp_path / "DICOMDIR").write_bytes(content)
    assert code(tmp_path / "DICOMDIR") == "EMPTY"
    assert code(tmp_path) == "EMPTY"


def bare(path, *, meta):
    """Strip the preamble and the mark, with or without the meta information behind them."""
    content = path.read_bytes()
    end = 132 + 12 + int.from_bytes(content[140:144], "little")
    path.write_bytes(content[132 if meta else end :])


@pytest.mark.parametrize("implicit", [True, False])
@pytest.mark.parametrize("meta", [True, False])
def test_files_without_a_mark_are_read_on_request(tmp_path, implicit, meta):
    def encode(dataset, number):
        if implicit:
            dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian

    paths = write_slices(tmp_path, VALUES, change=encode)
    for path in paths:
        bare(path, meta=meta)
    with pytest.raises(DicomError, match=r"NOT-DICOM: .*assume=implicit-le"):
        DicomReader().read(paths[0])
    assert code(tmp_path) == "EMPTY"
    image = recon.read(paths[0], reader={"use": "dicom_series", "assume": "implicit-le"})
    assert np.array_equal(image.data.numpy(), HU[0])
    assert np.array_equal(DicomReader(assume="implicit-le").read(paths).data.numpy(), HU)
    # In a folder anything may lie: there, only marked files count.
    assert code(tmp_path, assume="implicit-le") == "EMPTY"


def test_what_is_no_data_set_is_never_read(tmp_path):
    for name, content in {
        "text": b"Nobody was here, and left a text",
        "zeros": bytes(500),
        "short": b"\x08\0\x05\0",
        "jpeg": b"\xff\xd8\xff\xe0" + bytes(200),
    }.items():
        (tmp_path / name).write_bytes(content)
        assert code(tmp_path / name, assume="implicit-le") == "NOT-DICOM"
    rest = b"\x08\0\x05\0CS\x0a\0ISO_IR 100" + bytes(range(256))
    (tmp_path / "rest").write_bytes(rest)
    assert code(tmp_path / "rest", assume="implicit-le") in ("DAMAGED", "LENGTH")


def without_syntax(path):
    content = path.read_bytes()
    assert b"\x02\0\x10\0UI" in content
    path.write_bytes(content.replace(b"\x02\0\x10\0UI", b"\x02\0\x17\0UI"))


@pytest.mark.parametrize("implicit", [True, False])
def test_a_missing_transfer_syntax(tmp_path, implicit):
    def encode(dataset, number):
        if implicit:
            dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian

    for path in write_slices(tmp_path, VALUES, change=encode):
        without_syntax(path)
    assert code(tmp_path) == "SYNTAX"
    image = DicomReader(assume="implicit-le").read(tmp_path)
    assert np.array_equal(image.data.numpy(), HU)
    assert any("TransferSyntaxUID" in note for note in image.notes)


def test_what_was_assumed_wrongly_is_refused(tmp_path):
    """Compressed pixels, and swapped bytes, never become an image."""
    (path,) = write_slices(tmp_path / "a", VALUES[:1], change=lambda d, n: d.compress(RLELossless))
    without_syntax(path)
    assert code(path, assume="implicit-le") == "SYNTAX"
    (path,) = write_slices(tmp_path / "b", VALUES[:1])
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    dataset.PixelData = VALUES[:1].astype(">i2").tobytes()
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    assert np.array_equal(recon.read(path).data.numpy(), HU[0])
    without_syntax(path)
    assert code(path, assume="implicit-le") in ("DAMAGED", "LENGTH", "SYNTAX")
