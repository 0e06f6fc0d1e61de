"""Derived DICOM: valid by an independent checker, read back equal, nothing of a patient in it."""

from __future__ import annotations

import pickle
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch

import recon
from recon import Image
from recon.cli import main
from recon.errors import CodedUsageError, UsageError
from recon_datasets.dicom_series import write_slices

AFFINE = np.array([[-0.7, 0, 0, 100.0], [0, -0.9, 0, 80.0], [0, 0, 2.5, -30.0], [0, 0, 0, 1]])


def volume(slices: int = 3, affine: np.ndarray = AFFINE) -> Image:
    values = torch.randn(slices, 6, 8, generator=torch.Generator().manual_seed(0)) * 300 - 400
    return Image(data=values, affine=affine, unit="HU", metadata={"kvp": 120.0, "modality": "CT"})


def oblique() -> np.ndarray:
    """Axes turned about two angles."""
    a, b = 0.3, -0.5
    one = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    two = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    affine = np.eye(4)
    affine[:3, :3] = (one @ two) * [-0.7, -0.9, 2.5]
    affine[:3, 3] = 10, -20, 5.5
    return affine


@pytest.mark.parametrize("affine", [AFFINE, oblique()], ids=["axial", "oblique"])
def test_a_volume_reads_back(tmp_path, affine):
    image = volume(affine=affine)
    recon.write(image, tmp_path / "series")
    assert sorted(path.name for path in (tmp_path / "series").iterdir()) == [f"slice_000{i}.dcm" for i in (1, 2, 3)]
    back = recon.read(tmp_path / "series")
    assert (back.unit, back.dims, back.metadata["kvp"]) == ("HU", ("z", "y", "x"), 120.0)
    assert np.allclose(back.affine, affine, atol=1e-5)
    assert float((back.data - image.data).abs().max()) <= 2**-5 + 1e-4


MR = {"modality": "MR", "echo_time_ms": 27.0, "repetition_time_ms": 2800.0, "flip_angle_deg": 140.0}


def mr_volume(scale: float = 1e-5) -> Image:
    values = scale * torch.rand(3, 6, 8, generator=torch.Generator().manual_seed(0))
    return Image(data=values, affine=oblique(), metadata={**MR, "field_strength_T": 2.89362, "coils": 8})


@pytest.mark.parametrize("scale", [1e-5, 1.0, 3e6])
def test_an_mr_volume_of_any_scale_reads_back(tmp_path, scale):
    image = mr_volume(scale)
    recon.write(image, tmp_path / "series")
    back = recon.read(tmp_path / "series")
    assert back.unit == "arbitrary"
    assert {name: back.metadata[name] for name in MR} == MR
    assert np.allclose(back.affine, oblique(), atol=1e-5)
    assert float((back.data - image.data).abs().max()) <= 1.01 * 2**-15 * scale
    header = pydicom.dcmread(tmp_path / "series" / "slice_0002.dcm")
    assert header.SOPClassUID.name == "MR Image Storage"
    assert (header.Modality, header.RescaleType, header.MagneticFieldStrength) == ("MR", "US", 2.89362)
    assert "Not for diagnosis" in header.SeriesDescription
    assert header.PatientName == ""
    low, high = np.percentile(image.data, (1, 99))
    assert ("WindowCenter" in header) == (high - low >= 1)


def test_whole_numbers_of_mr_stay_whole(tmp_path):
    image = Image(data=torch.arange(48.0).reshape(6, 8) * 500, affine=AFFINE, metadata={"modality": "MR"})
    recon.write(image, tmp_path / "slice.dcm")
    header = pydicom.dcmread(tmp_path / "slice.dcm")
    assert header.RescaleSlope == 1
    assert np.array_equal(header.pixel_array, image.data.numpy())
    recon.write(image.with_data(torch.zeros(6, 8)), tmp_path / "slice.dcm")
    assert pydicom.dcmread(tmp_path / "slice.dcm").RescaleSlope == 1


def test_slices_that_run_downwards_keep_their_places(tmp_path):
    """The reader sorts along the slices' normal; each voxel must stay where it was."""
    affine = AFFINE.copy()
    affine[2, 2] *= -1
    recon.write(volume(affine=affine), tmp_path / "series")
    back = recon.read(tmp_path / "series")
    flip = np.diag([1.0, 1.0, -1.0, 1.0])
    flip[2, 3] = 2
    assert np.allclose(back.affine @ flip, affine, atol=1e-6)
    assert torch.allclose(back.data.flip(0), volume().data, atol=0.04)


def test_a_slice_reads_back_through_pydicom_alone(tmp_path):
    image = volume()
    single = Image(data=image.data[0], affine=AFFINE, unit="HU")
    recon.write(single, tmp_path / "slice.dcm")
    dataset = pydicom.dcmread(tmp_path / "slice.dcm")
    values = dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
    assert np.abs(values - single.data.numpy()).max() <= 2**-5
    assert dataset.pixel_array.dtype == np.int16
    # DICOM's axes grow to the left and the back: RAS with the first two signs turned.
    assert list(dataset.ImagePositionPatient) == [-100, -80, -30]
    assert list(dataset.ImageOrientationPatient) == [1, 0, 0, 0, 1, 0]
    assert list(dataset.PixelSpacing) == [0.9, 0.7]
    assert list(dataset.ImageType[:2]) == ["DERIVED", "SECONDARY"]
    assert "Not for diagnosis" in dataset.SeriesDescription


@pytest.mark.parametrize(
    ("values", "slope"), [([-1024, 0, 3071], 1), ([-1000.5, 40.2, 1500.1], 2**-4), ([9000.5], 0.5)]
)
def test_the_slope_follows_the_values(tmp_path, values, slope):
    recon.write(Image(data=torch.tensor([values]), affine=AFFINE, unit="HU"), tmp_path / "x.dcm")
    assert float(pydicom.dcmread(tmp_path / "x.dcm").RescaleSlope) == slope
    assert torch.allclose(recon.read(tmp_path / "x.dcm").data, torch.tensor([values]).float(), atol=slope / 2 + 1e-3)


def test_nobody_is_named_and_no_identifier_is_kept(tmp_path):
    source = write_slices(tmp_path / "in", np.random.default_rng(0).integers(0, 3000, (2, 5, 7)))
    recon.write(recon.read(tmp_path / "in"), tmp_path / "out")
    recon.write(recon.read(tmp_path / "in"), tmp_path / "again")
    uids = set()
    for folder in ("out", "again"):
        for path in sorted((tmp_path / folder).iterdir()):
            assert b"Nobody" not in path.read_bytes()
            dataset = pydicom.dcmread(path)
            assert dataset.PatientName == "" and not dataset.PatientID
            assert dataset.file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID
            uids.add(dataset.SOPInstanceUID)
            assert dataset.SeriesInstanceUID != pydicom.dcmread(source[0]).SeriesInstanceUID
    assert len(uids) == 4


def test_a_file_holds_one_slice(tmp_path):
    with pytest.raises(UsageError, match="this image has 3: give the name of a folder"):
        recon.write(volume(), tmp_path / "x.dcm")
    assert list(tmp_path.iterdir()) == []


FLAT = torch.zeros(4, 4)
SKEWED = AFFINE + np.eye(4, k=1) * [[1], [0], [0], [0]]


@pytest.mark.parametrize(
    ("image", "code", "message"),
    [
        (Image(data=FLAT, affine=AFFINE), "KIND", "whether it is of CT or MR: name its source with --like"),
        (Image(data=FLAT, affine=AFFINE, unit="HU", metadata={"modality": "MR"}), "KIND", "CT images in HU"),
        (Image(data=FLAT, affine=AFFINE, unit="Bq/ml", metadata={"modality": "PT"}), "KIND", "of modality PT"),
        (Image(data=FLAT, affine=AFFINE, unit="1/mm", metadata={"modality": "CT"}), "KIND", "with --water"),
        (Image(data=FLAT, affine=AFFINE, unit="rad", metadata={"modality": "MR"}), "KIND", "'rad' units"),
        (Image(data=FLAT, unit="HU"), "PLACE", "no place in a patient"),
        (Image(data=FLAT, affine=SKEWED, unit="HU"), "PLACE", "not at right angles"),
        (Image(data=torch.full((4, 4), np.nan), affine=AFFINE, unit="HU"), "VALUES", "not finite"),
        (Image(data=torch.full((4, 4), 4e4), affine=AFFINE, unit="HU"), "VALUES", "do not fit 16 bits"),
        (Image(data=FLAT + 0j, affine=AFFINE, metadata={"modality": "MR"}), "AXES", "not complex values"),
        (
            Image(data=torch.zeros(2, 4, 4), dims=("channel", "y", "x"), affine=AFFINE, unit="HU"),
            "AXES",
            "not the axes channel, y, x",
        ),
    ],
)
def test_what_it_cannot_hold(tmp_path, image, code, message):
    with pytest.raises(CodedUsageError, match=message) as error:
        recon.write(image, tmp_path / "x.dcm")
    assert error.value.code == f"RECON-DICOM-WRITE-{code}"
    assert pickle.loads(pickle.dumps(error.value)).message == error.value.message
    assert list(tmp_path.iterdir()) == []


def errors(path: Path) -> list[str]:
    """Return what the checker calls errors; nothing where it is not installed."""
    if shutil.which("dciodvfy") is None:
        return []
    found = subprocess.run(["dciodvfy", path], capture_output=True, text=True, check=False).stderr
    assert "Image\n" in found
    return [line for line in found.splitlines() if line.startswith("Error")]


def in_time(modality: str) -> Image:
    values = torch.randint(0, 1000, (3, 4, 6, 8), generator=torch.Generator().manual_seed(0)).float()
    facts = {"modality": modality, "times_s": (0.0, 1.5, 3.0)}
    if modality == "MR":
        facts |= {"b_values_s_mm2": (0.0, 1000.0, 500.0)}
        facts |= {"gradient_x": (0.0, 1.0, 0.0), "gradient_y": (0.0, 0.0, 0.6), "gradient_z": (0.0, 0.0, 0.8)}
    unit = "HU" if modality == "CT" else "arbitrary"
    return Image(data=values, dims=("t", "z", "y", "x"), affine=oblique(), unit=unit, metadata=facts)


@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_volumes_in_time_are_one_series(tmp_path, modality):
    """By the checker, our reader, and dcm2niix, if that is installed."""
    image = in_time(modality)
    recon.write(image, tmp_path / "series")
    paths = sorted((tmp_path / "series").iterdir())
    assert len(paths) == 12
    assert errors(paths[0]) == errors(paths[-1]) == []
    headers = [pydicom.dcmread(path) for path in paths]
    assert [int(h.InstanceNumber) for h in headers] == list(range(1, 13))
    assert [int(h.TemporalPositionIdentifier) for h in headers] == [1] * 4 + [2] * 4 + [3] * 4
    assert {(int(h.NumberOfTemporalPositions), float(h.TemporalResolution)) for h in headers} == {(3, 1500)}
    assert len({h.SeriesInstanceUID for h in headers}) == 1
    if modality == "MR":
        assert [h.DiffusionBValue for h in headers[::4]] == [0, 1000, 500]
        directions = [h.get("DiffusionGradientOrientation") for h in headers[::4]]
        assert directions == [None, [-1, 0, 0], [0, -0.6, 0.8]], "towards left, back and head"
    back = recon.read(tmp_path / "series")
    assert back.dims == image.dims
    assert torch.equal(back.data, image.data)
    assert np.allclose(back.affine, image.affine, atol=1e-5)
    if (program := Path(sys.executable).with_name("dcm2niix")).is_file():
        subprocess.run([program, "-f", "x", "-o", tmp_path, tmp_path / "series"], check=True, capture_output=True)
        theirs = recon.read(tmp_path / "x.nii").oriented(image.orientation)
        assert theirs.same_grid(image, 0.01)
        assert torch.equal(theirs.data.float(), image.data)


def test_a_slice_in_time_is_a_series_too(tmp_path):
    image = in_time("MR")
    recon.write(image[:, 2], tmp_path / "series")
    back = recon.read(tmp_path / "series")
    assert torch.equal(back.data[:, 0], image.data[:, 2])
    assert np.allclose(back.affine, image[:, 2:3].affine, atol=1e-5)


@pytest.mark.parametrize("shift", [-0.8, 0.5])
def test_slices_of_a_tilted_gantry_keep_their_places(tmp_path, shift):
    """By the checker and our reader, and dcm2niix, which shears them back.

    It pads its right-angled grid by 4 rows more but moves its origin only where slices are shifted forwards; of those
    shifted backwards its image lies 4 mm off, whatever the header says of the tilt.
    """
    affine = AFFINE.copy()
    affine[:3, :3] = np.diag([-1.0, -1.0, 2.0])
    affine[1, 2] = shift
    yy, xx = torch.meshgrid(torch.linspace(-1, 1, 24), torch.linspace(-1, 1, 24), indexing="ij")
    data = torch.stack([(1000 * torch.exp(-4 * ((yy - 0.1 * z) ** 2 + xx**2))).round() for z in range(5)])
    image = Image(data=data, affine=affine, unit="HU", metadata={"modality": "CT"})
    recon.write(image, tmp_path / "series")
    paths = sorted((tmp_path / "series").iterdir())
    assert errors(paths[0]) == errors(paths[-1]) == []
    header = pydicom.dcmread(paths[0])
    assert header.SliceThickness == 2
    assert abs(header.GantryDetectorTilt) == pytest.approx(np.degrees(np.arctan2(abs(shift), 2)), abs=1e-3)
    back = recon.read(tmp_path / "series")
    assert torch.equal(back.data, data)
    assert np.allclose(back.affine, affine, atol=1e-6)
    assert back.is_sheared
    upright = recon.read(tmp_path / "series", reader={"use": "dicom_series", "untilt": True})
    assert float((back.resample(to=upright).data - upright.data)[:, 4:-4].abs().mean()) < 1
    if shift > 0 and (program := Path(sys.executable).with_name("dcm2niix")).is_file():
        subprocess.run([program, "-f", "x", "-o", tmp_path, tmp_path / "series"], check=True, capture_output=True)
        theirs = recon.read(tmp_path / "x_Tilt_1.nii")
        theirs = theirs.with_data(theirs.data.float()).resample(to=upright, fill=0)
        assert float((theirs.data - upright.data)[:, 4:-4].abs().mean()) < 1


@pytest.mark.parametrize("component", ["magnitude", "phase", "real", "imaginary"])
def test_components_of_mr_are_not_taken_for_one_another(tmp_path, component):
    recon.write(replace(mr_volume(1.0), quantity=component), tmp_path / "series")
    assert recon.read(tmp_path / "series").quantity == component
    assert errors(tmp_path / "series" / "slice_0001.dcm") == []


def test_folders_on_the_command_line(tmp_path, capsys):
    write_slices(tmp_path / "in", np.random.default_rng(0).integers(0, 3000, (2, 5, 7)))
    assert main(["convert", str(tmp_path / "in"), str(tmp_path / "out")]) == 0
    before, after = recon.read(tmp_path / "in"), recon.read(tmp_path / "out")
    assert torch.equal(before.data, after.data)
    assert np.allclose(before.affine, after.affine)
    capsys.readouterr()
    assert main(["convert", str(tmp_path / "in"), str(tmp_path / "out")]) == 2
    assert "exists and is not empty; choose another name" in capsys.readouterr().err
    assert main(["convert", str(tmp_path / "in"), str(tmp_path / "none" / "out")]) == 2
    assert "none does not exist; make it first" in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (Debian package dicom3tools) is not installed")
@pytest.mark.parametrize("affine", [AFFINE, oblique()], ids=["axial", "oblique"])
def test_the_standard_is_met(tmp_path, affine):
    recon.write(volume(affine=affine), tmp_path / "series")
    for path in sorted((tmp_path / "series").iterdir()):
        found = subprocess.run(["dciodvfy", path], capture_output=True, text=True, check=False).stderr
        assert "CTImage" in found
        assert [line for line in found.splitlines() if line.startswith("Error")] == []


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (dicom3tools) is not installed")
@pytest.mark.parametrize("facts", [{}, {"inversion_time_ms": 900.0}], ids=["spin echo", "inversion recovery"])
def test_the_standard_is_met_by_mr(tmp_path, facts):
    image = mr_volume()
    recon.write(replace(image, metadata={**image.metadata, **facts}), tmp_path / "series")
    for path in sorted((tmp_path / "series").iterdir()):
        found = subprocess.run(["dciodvfy", path], capture_output=True, text=True, check=False).stderr
        assert "MRImage" in found
        assert [line for line in found.splitlines() if line.startswith("Error")] == []


def test_another_toolkit_reads_the_same_place(tmp_path):
    sitk = pytest.importorskip("SimpleITK", reason="SimpleITK is not installed")
    image = volume(affine=oblique())
    recon.write(image, tmp_path / "series")
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path / "series")))
    theirs = reader.Execute()
    assert np.allclose(sitk.GetArrayFromImage(theirs), image.data.numpy(), atol=0.04)
    for index in ((0, 0, 0), (7, 5, 2)):
        world = np.diag([-1, -1, 1]) @ (oblique() @ [*index, 1])[:3]
        assert np.allclose(theirs.TransformIndexToPhysicalPoint(index), world, atol=1e-4)


def test_a_real_slice_reads_back(tmp_path, shared_data: Path):
    path = shared_data / "ct_images" / "ct100_dicom" / "ID_0002_AGE_0074_CONTRAST_1_CT.dcm"
    if not path.is_file():
        pytest.skip("the slice is not here")
    image = recon.read(path)
    recon.write(image, tmp_path / "out.dcm")
    back = recon.read(tmp_path / "out.dcm")
    assert torch.equal(back.data, image.data)
    assert np.allclose(back.affine, image.affine, atol=1e-4)
    if shutil.which("dciodvfy"):
        found = subprocess.run(["dciodvfy", tmp_path / "out.dcm"], capture_output=True, text=True, check=False).stderr
        assert "Error" not in found
