"""No output of any verb holds a text of a file, the name of a file that was found, or a path that a file gives.

Tokens are planted in every text element of DICOM's dictionary, in private ones and nested ones, in names of files and
folders, in NIfTI's text fields, and in HDF5 attributes. Then verbs run on whole and on faulty data, and all that they
print, log, warn or write is searched.
"""

from __future__ import annotations

import gzip
import logging
import zlib
from pathlib import Path

import h5py
import nibabel as nib
import numpy as np
import pytest
from pydicom.datadict import DicomDictionary
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from recon.cli import main
from recon_datasets.dicom_series import write_slices
from recon_datasets.fastmri import write_synthetic

TOKEN = "ZQXV"  # in no word of ours
MACHINE = "QKWJ"
KEPT = {
    "AttenuationCorrectionMethod", "CodeMeaning", "CodeValue", "CodingSchemeDesignator", "CodingSchemeVersion",
    "ConvolutionKernel", "FilterType", "ImagedNucleus", "Manufacturer", "ManufacturerModelName", "PulseSequenceName",
    "Radiopharmaceutical", "ReceiveCoilName", "ReconstructionMethod", "SequenceName", "SoftwareVersions",
    "TransmitCoilName",
}  # fmt: skip
"""What machines fill in and the basic profile keeps in a de-identified copy; nothing else may tell it either."""
VALUES = np.random.default_rng(0).integers(0, 2000, (4, 8, 10))

_TEXT = ("AE", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT")
_LONGEST = {"AE": 16, "SH": 16}


def plant(dataset: Dataset, number: int) -> None:
    """Fill every element of text that is not retired, in the dataset, an item of a sequence, and private elements."""
    for tag, (vr, _, _, retired, keyword) in DicomDictionary.items():
        if vr in _TEXT and not retired and keyword and tag >> 16 not in (0, 2) and keyword not in dataset:
            token = MACHINE if keyword in KEPT else TOKEN
            setattr(dataset, keyword, f"{token}{keyword}"[: _LONGEST.get(vr, 60)])
    dataset.PatientName = f"{TOKEN}^Given"
    dataset.RescaleType = "HU"
    dataset.StudyID = TOKEN
    item = Dataset()
    item.CodeMeaning = f"{TOKEN} nested"
    item.PatientID = f"{TOKEN}{number}"
    dataset.RequestAttributesSequence = Sequence([item])
    block = dataset.private_block(0x0011, f"{TOKEN} maker", create=True)
    block.add_new(1, "LO", f"{TOKEN} private")
    block.add_new(2, "UN", f"{TOKEN} bytes".encode())


def sabotage(kind: str):
    """Return a change that plants the tokens, and a fault whose refusal might quote them."""

    def change(dataset: Dataset, number: int) -> None:
        plant(dataset, number)
        odd = number == 1
        if kind == "modality" and odd:
            dataset.Modality = MACHINE
        elif kind == "class" and odd:
            dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.88.11"
        elif kind == "photometric" and odd:
            dataset.PhotometricInterpretation = MACHINE
        elif kind == "type":
            dataset.ImageType = ["ORIGINAL", "PRIMARY", MACHINE]
        elif kind == "rescale" and odd:
            dataset.RescaleType = MACHINE
        elif kind == "place" and odd:
            del dataset.ImagePositionPatient
        elif kind == "size" and odd:
            dataset.Rows = 9
        elif kind == "pixels" and odd:
            dataset.PixelData = dataset.PixelData[:-20]
        elif kind == "echo":
            dataset.EchoTime = str(number)

    return change


FAULTS = ("none", "modality", "class", "photometric", "type", "rescale", "place", "size", "pixels", "echo")


@pytest.fixture(params=FAULTS)
def study(request, tmp_path):
    """A folder whose subfolder and files bear the token."""
    root = tmp_path / "in"
    folder = root / f"{TOKEN}_folder"
    paths = write_slices(folder, VALUES, name=f"{TOKEN}_file", change=sabotage(request.param))
    assert sum(TOKEN.encode() in path.read_bytes() for path in paths) == len(paths)
    if request.param == "none":
        (folder / f"{TOKEN}_cut.dcm").write_bytes(paths[0].read_bytes()[:700])
        (folder / f"{TOKEN}.txt").write_text(TOKEN)
    return root


def contents(path: Path) -> bytes:
    """Return a file's bytes, unpacked where they are packed: gzip, and the text chunks of PNG."""
    raw = path.read_bytes()
    if raw[:2] == b"\x1f\x8b":
        return raw + gzip.decompress(raw)
    if raw[:4] == b"\x89PNG":
        at, found = 8, raw
        while at < len(raw):
            length = int.from_bytes(raw[at : at + 4], "big")
            if raw[at + 4 : at + 8] in (b"zTXt", b"iTXt"):
                found += zlib.decompress(raw[at + 8 : at + 8 + length].partition(b"\0")[2][1:])
            at += length + 12
        return found
    return raw


def leaks(out: Path, text: str, caplog, tokens: tuple[str, ...] = (TOKEN, MACHINE)) -> list[str]:
    """Return where a token is found."""

    def has(words: str) -> bool:
        return any(token in words for token in tokens)

    found = ["printed: " + line for line in text.splitlines() if has(line)]
    found += [f"logged: {record.getMessage()}" for record in caplog.records if has(record.getMessage())]
    for path in [out, *out.rglob("*")] if out.exists() else []:
        if has(path.name):
            found.append(f"name: {path.name}")
        if path.is_file() and has(contents(path).decode("latin-1")):
            found.append(f"in file: {path.name}")
    return found


VERBS = {
    "ls": ["ls", "IN"],
    "ls as JSON": ["ls", "IN", "--json"],
    "info": ["info", "IN"],
    "info as JSON": ["info", "IN", "--json"],
    "check-data": ["check-data", "IN", "--reader", "dicom_series"],
    "convert": ["convert", "IN", "OUT/x.nii.gz"],
    "convert all gaps": ["convert", "IN", "OUT/x.nii", "--allow-gaps", "--untilt"],
    "convert to DICOM": ["convert", "IN", "OUT/dicom"],
    "batch": ["convert", "IN", "OUT/batch", "--batch"],
    "deidentify": ["deidentify", "IN", "OUT/copy", "--report", "OUT/report.json"],
    "montage": ["montage", "IN", "-o", "OUT/x.png"],
    "view": ["view", "IN", "-o", "OUT/y.png"],
}


def run(verb: list[str], source: Path, out: Path) -> int:
    out.mkdir(exist_ok=True)
    return main([word.replace("OUT", str(out)).replace("IN", str(source)) if word.isupper() or "OUT/" in word else word
                 for word in verb])  # fmt: skip


def test_no_verb_tells_a_text_of_dicom(study, tmp_path, capsys, caplog):
    caplog.set_level(logging.DEBUG)
    codes = {}
    faulty = not (study / f"{TOKEN}_folder" / f"{TOKEN}.txt").exists()
    for name, verb in VERBS.items():
        if faulty and name not in ("ls", "info", "convert all gaps", "batch", "deidentify"):
            continue
        out = tmp_path / name.replace(" ", "_")
        codes[name] = run(verb, study, out)
        captured = capsys.readouterr()
        tokens = (TOKEN,) if name == "deidentify" else (TOKEN, MACHINE)
        assert leaks(out, captured.out + captured.err, caplog, tokens) == [], name
        assert "Traceback" not in captured.err
        assert "--debug" not in captured.err, f"{name}: an error that is none of ours: {captured.err}"
    assert set(codes.values()) <= {0, 1, 2}
    assert codes["ls"] == 0


def test_the_search_finds_what_is_there(tmp_path, capsys, caplog):
    """Otherwise the test above proves nothing."""
    write_slices(tmp_path / "in", VALUES, change=plant)
    assert main(["ls", str(tmp_path / "in"), "--show-text"]) == 0
    assert leaks(tmp_path / "none", capsys.readouterr().out, caplog)
    assert leaks(tmp_path / "in", "", caplog)
    logging.getLogger("pydicom").warning("about %s", TOKEN)
    assert leaks(tmp_path / "none", "", caplog)
    out = tmp_path / "out"
    out.mkdir()
    (out / "x.nii.gz").write_bytes(gzip.compress(TOKEN.encode()))
    assert leaks(out, "", caplog)[-1] == "in file: x.nii.gz"


def test_no_verb_tells_a_text_of_nifti(tmp_path, capsys, caplog):
    image = nib.Nifti1Image(VALUES.astype(np.int16), np.eye(4))
    for field in ("descrip", "aux_file", "intent_name", "db_name"):
        image.header[field] = f"{TOKEN} {field}"[:18]
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", TOKEN.encode()))
    nib.save(image, tmp_path / "x.nii.gz")
    assert TOKEN.encode() in gzip.decompress((tmp_path / "x.nii.gz").read_bytes())
    out = tmp_path / "out"
    out.mkdir()
    source = str(tmp_path / "x.nii.gz")
    for verb in (
        ["info", source],
        ["info", source, "--json"],
        ["convert", source, str(out / "y.nii.gz")],
        ["view", source, "-o", str(out / "y.png")],
        ["montage", source, "-o", str(out / "z.png")],
        ["ls", source],
    ):
        assert main(verb) == 0
    captured = capsys.readouterr()
    assert leaks(out, captured.out + captured.err, caplog) == []


def test_no_verb_tells_a_text_of_fastmri(tmp_path, capsys, caplog):
    write_synthetic(tmp_path / "x.h5")
    with h5py.File(tmp_path / "x.h5", "r+") as file:
        file.attrs["patient_id"] = TOKEN
        file.attrs["note"] = TOKEN
    out = tmp_path / "out"
    out.mkdir()
    for verb in (
        ["info", str(tmp_path / "x.h5")],
        ["convert", str(tmp_path / "x.h5"), str(out / "own.h5")],
        ["convert", str(tmp_path / "x.h5"), str(out / "y.nii.gz"), "--reference"],
        ["ls", str(tmp_path)],
    ):
        assert main(verb) == 0
    captured = capsys.readouterr()
    assert leaks(out, captured.out + captured.err, caplog) == []
