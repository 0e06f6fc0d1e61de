"""Derived DICOM beside its source: joined to its study, or anonymous; valid, and in the same place for others."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

import recon
from recon import Image
from recon.errors import CodedFileError, UsageError
from recon.io.confidentiality import Pseudonyms
from recon_datasets.dicom_series import write_slices

STUDY, FRAME = generate_uid(entropy_srcs=["study"]), generate_uid(entropy_srcs=["frame"])
OBLIQUE = (0.8, 0.6, 0.0, -0.36, 0.48, 0.8)


def complete(dataset: Dataset, number: int) -> None:
    """Give a synthetic slice what a scanner's has."""
    dataset.StudyInstanceUID, dataset.FrameOfReferenceUID = STUDY, FRAME
    dataset.PatientID, dataset.PatientBirthDate, dataset.PatientSex = "PID-4711", "19700131", "F"
    dataset.StudyDate, dataset.StudyTime, dataset.StudyID = "20200102", "101112", "S1"
    dataset.AccessionNumber, dataset.ReferringPhysicianName = "ACC-12", "Doctor^Some"
    dataset.SeriesNumber, dataset.BodyPartExamined, dataset.PatientPosition = 7, "ABDOMEN", "HFS"
    dataset.Manufacturer, dataset.ManufacturerModelName = "MAKER", "Model 5"
    dataset.InstitutionName, dataset.StudyDescription = "Hospital", "Study of Nobody"
    dataset.PatientComments, dataset.OperatorsName = "never copied", "Operator^Some"
    dataset.XRayTubeCurrent = 100 + number
    if dataset.Modality == "CT":
        dataset.KVP = 120
    else:
        dataset.EchoTime, dataset.RepetitionTime, dataset.FlipAngle = 12.5, 600, 70
        dataset.ScanningSequence, dataset.SequenceVariant, dataset.MRAcquisitionType = "GR", "SP", "2D"
        dataset.SequenceName = "fl2d"


def series(folder: Path, modality: str = "CT", **options: object) -> Path:
    values = np.random.default_rng(0).integers(0, 2000, (4, 10, 12))
    intercept = -1024.0 if modality == "CT" else 0.0
    settings = {"orientation": OBLIQUE, "modality": modality, "intercept": intercept, "change": complete, **options}
    write_slices(folder, values, **settings)  # type: ignore[arg-type]
    return folder


def headers(folder: Path) -> list[Dataset]:
    return [pydicom.dcmread(path) for path in sorted(folder.iterdir())]


def derive(tmp_path: Path, modality: str = "CT", **options: object) -> tuple[list[Dataset], list[Dataset], Image]:
    source = series(tmp_path / "in", modality)
    image = recon.read(source)
    assert isinstance(image, Image)
    image = image.with_data(image.data * 0.5 + 0.3)
    recon.write(image, tmp_path / "out", writer={"use": "dicom_series", "like": str(source), **options})
    return headers(source), headers(tmp_path / "out"), image


@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_it_joins_its_study(tmp_path, modality):
    before, after, image = derive(tmp_path, modality, description="Denoised", window=(50, 300))
    for number, (old, new) in enumerate(zip(before, after, strict=True)):
        for keyword in (
            "PatientName", "PatientID", "PatientBirthDate", "StudyInstanceUID", "FrameOfReferenceUID", "StudyDate",
            "AccessionNumber", "BodyPartExamined", "PatientPosition", "StudyDescription",
        ):  # fmt: skip
            assert new[keyword].value == old[keyword].value, keyword
        assert new.SeriesInstanceUID != old.SeriesInstanceUID
        assert new.SOPInstanceUID != old.SOPInstanceUID
        assert list(new.ImageType[:2]) == ["DERIVED", "SECONDARY"]
        assert new.SeriesDescription == "Denoised - Not for diagnosis"
        assert (new.SeriesNumber, new.WindowCenter, new.WindowWidth) == (1007, 50, 300)
        (reference,) = new.SourceImageSequence
        assert reference.ReferencedSOPInstanceUID == old.SOPInstanceUID
        assert reference.PurposeOfReferenceCodeSequence[0].CodeValue == "121322"
        scanner, ours = new.ContributingEquipmentSequence
        assert (scanner.Manufacturer, scanner.PurposeOfReferenceCodeSequence[0].CodeValue) == ("MAKER", "109101")
        assert (ours.Manufacturer, ours.PurposeOfReferenceCodeSequence[0].CodeValue) == ("recon-toolkit", "109103")
        values = new.pixel_array * float(new.RescaleSlope) + float(new.RescaleIntercept)
        assert np.abs(values - image.data[number].numpy()).max() <= float(new.RescaleSlope) / 2
        assert f"rounded by at most {float(new.RescaleSlope) / 2:.3g}." in new.DerivationDescription
        assert "PatientComments" not in new
        assert "OperatorsName" not in new
        assert "XRayTubeCurrent" not in new, "it differs between slices"
    expected = (
        {"KVP": 120} if modality == "CT" else {"EchoTime": 12.5, "ScanningSequence": "GR", "SequenceName": "fl2d"}
    )
    assert {name: after[0][name].value for name in expected} == expected


def test_an_image_that_tells_no_unit(tmp_path):
    """NIfTI holds none."""
    source = series(tmp_path / "in")
    image = recon.read(source)
    recon.write(image, tmp_path / "x.nii")
    bare = recon.read(tmp_path / "x.nii")
    writer = {"use": "dicom_series", "like": str(source)}
    with pytest.raises(UsageError, match="does not tell its unit"):
        recon.write(bare, tmp_path / "out", writer=writer)
    recon.write(bare, tmp_path / "out", writer={**writer, "unit": "HU"})
    back = recon.read(tmp_path / "out")
    assert back.unit == "HU"
    assert torch.equal(back.data, image.data)


def test_slices_of_another_grid_refer_to_those_that_they_cut(tmp_path):
    source = series(tmp_path / "in")
    image = recon.read(source)
    affine = image.affine.copy()
    affine[:3, 3] += affine[:3, 2] * 0.5  # half way between the first two
    affine[:3, 2] *= 2
    data = torch.zeros(2, 10, 12)
    recon.write(
        Image(data=data, affine=affine, unit="HU"),
        tmp_path / "out",
        writer={"use": "dicom_series", "like": str(source)},
    )
    uids = [header.SOPInstanceUID for header in headers(source)]
    found = [[r.ReferencedSOPInstanceUID for r in h.SourceImageSequence] for h in headers(tmp_path / "out")]
    # Thick slices of 2 steps about 0.5 and 2.5: from -0.5 to 1.5, and from 1.5 to 3.5.
    assert found == [uids[:2], uids[2:]]


def test_anonymous_copies(tmp_path):
    (tmp_path / "key").write_bytes(b"a secret of 16 bytes")
    before, after, _ = derive(tmp_path, "CT", anonymous=True, key_file=str(tmp_path / "key"))
    pseudonyms = Pseudonyms(b"a secret of 16 bytes")
    for old, new in zip(before, after, strict=True):
        raw = b"".join(path.read_bytes() for path in (tmp_path / "out").iterdir())
        for token in (b"Nobody", b"PID-4711", b"19700131", b"20200102", b"ACC-12", b"Doctor", b"Hospital"):
            assert token not in raw
        for uid in (STUDY, FRAME, old.SeriesInstanceUID, old.SOPInstanceUID):
            assert str(uid).encode() not in raw
        assert new.StudyInstanceUID == pseudonyms.uid(STUDY)
        assert new.SourceImageSequence[0].ReferencedSOPInstanceUID == pseudonyms.uid(old.SOPInstanceUID)
        assert new.PatientIdentityRemoved == "YES"
        assert new.DeidentificationMethodCodeSequence[0].CodeValue == "113100"
        assert new.LongitudinalTemporalInformationModified == "REMOVED"
        assert new.PatientID == pseudonyms.name("", "PID-4711")
        assert new.SeriesDescription == "Not for diagnosis"
        assert new.KVP == 120


def test_lossy_compression_and_burned_in_text_stay_on_record(tmp_path):
    def lossy(dataset: Dataset, number: int) -> None:
        complete(dataset, number)
        dataset.LossyImageCompression, dataset.LossyImageCompressionRatio = "01", 12.5
        dataset.LossyImageCompressionMethod, dataset.BurnedInAnnotation = "ISO_10918_1", "YES"

    source = series(tmp_path / "in", change=lossy)
    recon.write(recon.read(source), tmp_path / "out", writer={"use": "dicom_series", "like": str(source)})
    for header in headers(tmp_path / "out"):
        assert (header.LossyImageCompression, header.LossyImageCompressionRatio) == ("01", 12.5)
        assert header.BurnedInAnnotation == "YES"


def test_what_does_not_fit_its_source_is_refused(tmp_path):
    source = series(tmp_path / "in")
    image = recon.read(source)
    aside = image.affine.copy()
    aside[:3, 3] += 500
    writer = {"use": "dicom_series", "like": str(source)}
    with pytest.raises(UsageError, match="does not lie where"):
        recon.write(Image(data=image.data, affine=aside, unit="HU"), tmp_path / "out", writer=writer)
    mr = Image(data=image.data, affine=image.affine, metadata={"modality": "MR"})
    with pytest.raises(UsageError, match="of modality MR, the series of `like` CT"):
        recon.write(mr, tmp_path / "out", writer=writer)
    series(tmp_path / "in" / "more", name="other")
    with pytest.raises(CodedFileError, match=r"RECON-DICOM-AMBIGUOUS.*holds 2 series"):
        recon.write(image, tmp_path / "out", writer=writer)
    (tmp_path / "empty").mkdir()
    with pytest.raises(CodedFileError, match="RECON-DICOM-EMPTY"):
        recon.write(image, tmp_path / "out", writer={**writer, "like": str(tmp_path / "empty")})
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("stated", [True, False], ids=["positions in time", "none"])
def test_volumes_in_time_refer_to_their_own(tmp_path, stated):
    values = np.random.default_rng(0).integers(0, 2000, (4, 10, 12))
    for time in (1, 0):

        def at(dataset: Dataset, number: int, time: int = time) -> None:
            complete(dataset, number)
            dataset.AcquisitionNumber = time + 1
            if stated:
                dataset.TemporalPositionIdentifier = time + 1

        write_slices(tmp_path / "in" / str(time), values + time, modality="MR", change=at)
    series_uid = pydicom.dcmread(next((tmp_path / "in" / "0").iterdir())).SeriesInstanceUID
    for path in (tmp_path / "in" / "1").iterdir():
        header = pydicom.dcmread(path)
        header.SeriesInstanceUID = series_uid
        header.save_as(path)
    image = recon.read(tmp_path / "in")
    assert image.shape == (2, 4, 10, 12)
    recon.write(image, tmp_path / "out", writer={"use": "dicom_series", "like": str(tmp_path / "in")})
    uids = [[header.SOPInstanceUID for header in headers(tmp_path / "in" / str(time))] for time in (0, 1)]
    found = [{r.ReferencedSOPInstanceUID for r in header.SourceImageSequence} for header in headers(tmp_path / "out")]
    if stated:
        assert found == [{uid} for volume in uids for uid in volume]
    else:
        assert found == [set(pair) for pair in zip(*uids, strict=True)] * 2


@pytest.mark.parametrize("part", ["LUNG", "KNEE", "CHEST", "MADE UP", None])
@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (Debian package dicom3tools) is not installed")
def test_a_side_is_named_only_of_what_comes_twice(tmp_path, part):
    def of_part(dataset: Dataset, number: int) -> None:
        complete(dataset, number)
        dataset.BodyPartExamined = part
        if part is None:
            del dataset.BodyPartExamined

    source = series(tmp_path / "in", change=of_part)
    recon.write(recon.read(source), tmp_path / "out", writer={"use": "dicom_series", "like": str(source)})
    path = next((tmp_path / "out").iterdir())
    found = subprocess.run(["dciodvfy", path], capture_output=True, text=True, check=False).stderr
    assert [line for line in found.splitlines() if line.startswith("Error")] == []
    assert ("Laterality" in pydicom.dcmread(path)) == (part != "CHEST")


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (Debian package dicom3tools) is not installed")
@pytest.mark.parametrize("anonymous", [False, True], ids=["named", "anonymous"])
@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_the_standard_is_met(tmp_path, modality, anonymous):
    derive(tmp_path, modality, anonymous=anonymous)
    for path in sorted((tmp_path / "out").iterdir())[:2]:
        found = subprocess.run(["dciodvfy", path], capture_output=True, text=True, check=False).stderr
        assert f"{modality}Image" in found
        assert [line for line in found.splitlines() if line.startswith("Error")] == []


def placed(data: np.ndarray, affine: np.ndarray, image: Image) -> float:
    """Return the largest difference of values (x, y, z) of another reader from the image's, at equal places."""
    to_ours = np.linalg.inv(image.affine) @ affine
    index = np.stack(np.meshgrid(*map(np.arange, data.shape), indexing="ij"), axis=-1)
    ours = index @ to_ours[:3, :3].T + to_ours[:3, 3]
    nearest = np.rint(ours).astype(int)
    assert np.abs(ours - nearest).max() < 0.01, "voxel centres differ"
    x, y, z = np.moveaxis(nearest, -1, 0)
    return float(np.abs(image.data.numpy()[z, y, x] - data).max())


@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_others_read_the_same_place(tmp_path, modality):
    """With dcm2niix, SimpleITK and MONAI, whichever are installed."""
    _, after, image = derive(tmp_path, modality)
    allowed = float(after[0].RescaleSlope) / 2 + 1e-3
    checked = []
    if (program := Path(sys.executable).with_name("dcm2niix")).is_file():
        nibabel = pytest.importorskip("nibabel")
        (tmp_path / "nii").mkdir()
        subprocess.run([program, "-f", "x", "-o", tmp_path / "nii", tmp_path / "out"], check=True, capture_output=True)
        (file,) = (tmp_path / "nii").glob("*.nii")
        theirs = nibabel.load(file)
        assert placed(theirs.get_fdata(), theirs.affine, image) <= allowed
        checked.append("dcm2niix")
    try:
        import SimpleITK as sitk
    except ImportError:
        pass
    else:
        reader = sitk.ImageSeriesReader()
        reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path / "out")))
        read = reader.Execute()
        affine = np.eye(4)
        affine[:3, :3] = np.reshape(read.GetDirection(), (3, 3)) * read.GetSpacing()
        affine[:3, 3] = read.GetOrigin()
        values = sitk.GetArrayFromImage(read).transpose(2, 1, 0)
        assert placed(values, np.diag([-1, -1, 1, 1]) @ affine, image) <= allowed
        checked.append("SimpleITK")
    if not checked:
        pytest.skip("neither dcm2niix nor SimpleITK is installed")


@pytest.mark.filterwarnings("ignore")
def test_monai_reads_the_same_place(tmp_path):
    reader = pytest.importorskip("monai.data.image_reader", reason="MONAI is not installed")
    _, after, image = derive(tmp_path)
    pydicom_reader = reader.PydicomReader()
    data, meta = pydicom_reader.get_data(pydicom_reader.read(str(tmp_path / "out")))
    affine = np.asarray(meta["affine"], dtype=float)
    if str(meta.get("space", "RAS")).upper().endswith("LPS"):
        affine = np.diag([-1, -1, 1, 1]) @ affine
    assert placed(np.asarray(data), affine, image) <= float(after[0].RescaleSlope) / 2 + 1e-3


@pytest.mark.parametrize("anonymous", [False, True], ids=["named", "anonymous"])
@pytest.mark.parametrize(
    "name",
    [
        "dicom2nifti_tests/siemens/anatomical/001",
        "dicom2nifti_tests/hitachi/anatomical/001",
        "cornerstone_ct_syntaxes/CTImage.dcm",
    ],
)
def test_real_series(tmp_path, shared_data, name, anonymous):
    """Of three makers: the same voxels in the same place, and valid though a source's own age is not."""
    source = shared_data / "dicom" / name
    if not source.exists():
        pytest.skip(f"{name} is not here")
    image = recon.read(source)
    target = tmp_path / ("out" if source.is_dir() else "out.dcm")
    recon.write(image, target, writer={"use": "dicom_series", "like": str(source), "anonymous": anonymous})
    back = recon.read(target)
    assert torch.equal(back.data, image.data)
    assert np.allclose(back.affine, image.affine, atol=1e-5)
    file = next(iter(sorted(target.iterdir()))) if target.is_dir() else target
    assert len(pydicom.dcmread(file).SourceImageSequence) == 1
    if shutil.which("dciodvfy"):
        found = subprocess.run(["dciodvfy", file], capture_output=True, text=True, check=False).stderr
        assert [line for line in found.splitlines() if line.startswith("Error")] == []
