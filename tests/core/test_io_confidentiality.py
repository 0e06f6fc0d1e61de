"""The confidentiality profile: nothing that was planted survives, and what an image needs does."""

from __future__ import annotations

import io
import re
import warnings

import numpy as np
import pydicom
import pytest
from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from recon.io.confidentiality import Pseudonyms, confidential

PSEUDONYMS = Pseudonyms(b"sixteen bytes it")
TOKEN = "PLANTED"
VALUES = {
    "AE": TOKEN, "AS": "042Y", "CS": TOKEN, "DA": "19700131", "DS": "19700131", "DT": "19700131101112",
    "FD": 19700131.0, "FL": 19700131.0, "IS": "19700131", "LO": TOKEN, "LT": TOKEN, "OB": TOKEN.encode() + b"\0",
    "OW": TOKEN.encode() + b"\0", "PN": f"{TOKEN}^Anna", "SH": TOKEN, "SL": 19700131, "SS": 19700, "ST": TOKEN,
    "TM": "101112", "UC": TOKEN, "UI": "1.2.826.0.1.19700131", "UL": 19700131, "UN": TOKEN.encode() + b"\0",
    "UR": f"http://{TOKEN}", "US": 19700, "UT": TOKEN,
}  # fmt: skip
TRACES = re.compile(rb"PLANTED|19700131|1970|101112|042Y|secret|Secret")


def image() -> Dataset:
    """Return a CT slice without a patient."""
    dataset = Dataset()
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID, dataset.StudyInstanceUID = "1.2.826.0.1.5", "1.2.826.0.1.6"
    dataset.SeriesInstanceUID = "1.2.826.0.1.7"
    dataset.Modality, dataset.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.Rows = dataset.Columns = 2
    dataset.ImagePositionPatient, dataset.ImageOrientationPatient = [1.5, -2, 3], [1, 0, 0, 0, 1, 0]
    dataset.PixelSpacing, dataset.SliceThickness = [0.7, 0.9], 2.5
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, -1024
    dataset.KVP, dataset.Manufacturer, dataset.ConvolutionKernel = 120, "MAKER", "B30f"
    dataset.PixelData = np.arange(4, dtype="<u2").tobytes()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return dataset


def encoded(dataset: Dataset) -> bytes:
    """Return the file that the dataset makes, and all of its values as text."""
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue() + str(dataset).encode()


def identifiers() -> list[tuple[str, Dataset]]:
    """Return 27 datasets, each with one identifier in a place where scanners and archives put them."""
    found = []
    for keyword in (
        "PatientName", "PatientID", "PatientBirthDate", "PatientAddress", "PatientTelephoneNumbers", "OtherPatientIDs",
        "PatientComments", "AccessionNumber", "StudyID", "ReferringPhysicianName", "OperatorsName",
        "PerformingPhysicianName", "InstitutionName", "InstitutionAddress", "StationName", "DeviceSerialNumber",
        "StudyDescription", "SeriesDescription", "ProtocolName", "ImageComments", "StudyDate", "AcquisitionDateTime",
    ):  # fmt: skip
        dataset = image()
        setattr(dataset, keyword, VALUES[dictionary_VR(keyword)])
        found.append((keyword, dataset))
    dataset = image()
    dataset.SOPInstanceUID = dataset.SeriesInstanceUID = VALUES["UI"]
    found.append(("identifiers", dataset))
    dataset = image()
    dataset.private_block(0x0009, f"{TOKEN} 1.0", create=True).add_new(1, "LO", TOKEN)
    found.append(("private", dataset))
    dataset = image()
    dataset.add_new((0x6000, 0x0010), "US", 1)
    dataset.add_new((0x6000, 0x0011), "US", 8)
    dataset.add_new((0x6000, 0x3000), "OW", TOKEN.encode() + b"\0")
    dataset.add_new((0x6000, 0x0022), "LO", TOKEN)
    found.append(("overlay", dataset))
    dataset, item, inner = image(), Dataset(), Dataset()
    item.RequestedProcedureDescription = TOKEN
    inner.CodeValue, inner.CodingSchemeDesignator, inner.CodeMeaning = "1", "99HOSPITAL", TOKEN
    item.RequestedProcedureCodeSequence = Sequence([inner])
    dataset.RequestAttributesSequence = Sequence([item])
    found.append(("nested request", dataset))
    # In a sequence that the profile does not name: its items need cleaning too.
    dataset, item, inner = image(), Dataset(), Dataset()
    inner.OperatorsName, inner.ReferencedSOPInstanceUID = VALUES["PN"], VALUES["UI"]
    item.add_new((0x0040, 0x9096), "SQ", Sequence([inner]))
    dataset.add_new((0x5200, 0x9230), "SQ", Sequence([item]))
    found.append(("nested frame", dataset))
    return found


@pytest.mark.parametrize(("name", "dataset"), [pytest.param(*case, id=case[0]) for case in identifiers()])
def test_27_planted_identifiers_are_gone(name, dataset):
    assert TRACES.search(encoded(dataset)), f"{name} was never there"
    confidential(dataset, PSEUDONYMS)
    assert not TRACES.search(encoded(dataset))


def test_there_are_27():
    assert len(identifiers()) == 27


def test_what_an_image_needs_stays():
    dataset = image()
    before = pydicom.dcmread(io.BytesIO(encoded(image())))
    confidential(dataset, PSEUDONYMS)
    for keyword in (
        "SOPClassUID", "Modality", "ImageType", "Rows", "Columns", "ImagePositionPatient", "ImageOrientationPatient",
        "PixelSpacing", "SliceThickness", "RescaleSlope", "RescaleIntercept", "KVP", "Manufacturer",
        "ConvolutionKernel", "PixelData", "BitsStored",
    ):  # fmt: skip
        assert dataset[keyword].value == before[keyword].value, keyword


def test_the_flags_of_the_standard():
    dataset = image()
    confidential(dataset, PSEUDONYMS)
    assert dataset.PatientIdentityRemoved == "YES"
    assert dataset.DeidentificationMethodCodeSequence[0].CodeValue == "113100"
    assert dataset.DeidentificationMethodCodeSequence[0].CodingSchemeDesignator == "DCM"
    assert dataset.LongitudinalTemporalInformationModified == "REMOVED"
    assert dataset.PatientName == dataset.PatientID == PSEUDONYMS.name("", "", "1.2.826.0.1.6")


def test_references_follow_their_targets():
    one, other, item = image(), image(), Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = one.SOPClassUID, one.SOPInstanceUID
    other.SourceImageSequence = Sequence([item])
    for dataset in (one, other):
        confidential(dataset, PSEUDONYMS)
    found = other.SourceImageSequence[0]
    assert found.ReferencedSOPInstanceUID == one.SOPInstanceUID
    assert found.ReferencedSOPClassUID == CTImageStorage
    assert one.SOPInstanceUID.is_valid
    assert one.SOPInstanceUID.startswith("2.25.")


def test_pseudonyms_depend_on_key_and_identifier():
    other = Pseudonyms(b"another key of 16")
    assert PSEUDONYMS.uid("1.2.3") == Pseudonyms(b"sixteen bytes it").uid("1.2.3") != PSEUDONYMS.uid("1.2.4")
    assert other.uid("1.2.3") != PSEUDONYMS.uid("1.2.3")
    assert PSEUDONYMS.uid("") == ""
    assert PSEUDONYMS.name("A", "B") != PSEUDONYMS.name("AB") != other.name("AB")
    uids = {PSEUDONYMS.uid(f"1.2.{i}") for i in range(2000)}
    assert len(uids) == 2000
    assert max(map(len, uids)) <= 64


def test_text_where_a_number_or_a_code_belongs_goes():
    raw = encoded(image())[: -len(str(image()).encode())]
    spacing = raw.index(b"DS", raw.index(b"\x18\x00\x50\x00"))  # SliceThickness
    raw = raw[: spacing + 4] + b"SM H"[: raw[spacing + 2]] + raw[spacing + 4 + raw[spacing + 2] :]
    dataset = pydicom.dcmread(io.BytesIO(raw))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset.BodyPartExamined = "Planted, Anna"
    confidential(dataset, PSEUDONYMS)
    assert "SliceThickness" not in dataset
    assert "BodyPartExamined" not in dataset
    assert dataset.PixelSpacing == [0.7, 0.9]


def table() -> set[tuple[int, int]]:
    """Return what the table of PS3.15 E.1-1 acts on, by an independent transcription of it (2026c)."""
    fields = pytest.importorskip(
        "dicomanonymizer.dicom_anonymization_databases.dicomfields_2026c",
        reason="dicom-anonymizer, which transcribes the standard's table, is not installed",
    )
    return {tag for tag in fields.ALL_TAGS if len(tag) == 2 and tag[0] > 2}


@pytest.mark.parametrize("nested", [False, True], ids=["top", "in a sequence"])
def test_all_that_the_standard_names_goes(nested):
    """With a value that tells, as large as its type can hold one."""
    item = Dataset()
    for tag in sorted(table()):
        vr = dictionary_VR(tag).split(" or ")[0] if keyword_for_tag(tag) else "LO"
        if vr == "SQ":
            inner = Dataset()
            inner.CodeValue, inner.CodingSchemeDesignator, inner.CodeMeaning = TOKEN, "99LOCAL", TOKEN
            inner.TextValue = TOKEN
            item.add_new(tag, vr, Sequence([inner]))
        else:
            item.add_new(tag, vr, VALUES[vr])
    dataset = image()
    if nested:
        dataset.add_new((0x5200, 0x9229), "SQ", Sequence([item]))
    else:
        dataset.update(item)
    planted = [element.tag for element in item if TRACES.search(str(element).encode())]
    numbers = [element.tag for element in item if element.VR in ("US", "FL", "FD", "SS", "SL", "UL")]
    assert len(planted) + len(numbers) > 570
    confidential(dataset, PSEUDONYMS)
    left = dataset[0x5200, 0x9229].value[0] if nested else dataset
    assert [keyword_for_tag(element.tag) for element in left if TRACES.search(str(element).encode())] == []
    assert [keyword_for_tag(tag) for tag in numbers if tag in left] == []
    assert not TRACES.search(encoded(dataset))
