"""What forms an image: stacks, time, tilt, gaps, mosaics, enhanced files, tables, PET, archives."""

import struct
import sys
import zipfile

import numpy as np
import pydicom
import pytest
import torch
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, JPEGLSLossless

import recon
from recon_datasets.dicom_series import DicomError, DicomReader, write_slices
from recon_datasets.dicom_series.scan import scan

from .csa_header import csa

RNG = np.random.default_rng(0)
VALUES = RNG.integers(0, 3000, (6, 5, 7)).astype(np.int16)
HU = VALUES.astype(np.float32) - 1024


def read(path, **options):
    return DicomReader(**options).read(path)


def code(path, **options):
    with pytest.raises(DicomError) as error:
        read(path, **options)
    assert "\n" not in str(error.value)
    return error.value.code.removeprefix("RECON-DICOM-")


def at(*heights):
    def change(dataset, number):
        dataset.ImagePositionPatient = [0, 0, heights[number]]

    return change


# Series and stacks.


def test_several_series_are_listed_and_chosen(tmp_path):
    write_slices(tmp_path / "a", VALUES, name="one", change=lambda d, n: setattr(d, "SeriesNumber", 7))
    write_slices(tmp_path / "b", VALUES[:3] + 1, name="two", change=lambda d, n: setattr(d, "SeriesNumber", 3))
    with pytest.raises(DicomError, match=r"AMBIGUOUS.*1: 3 CT files; 2: 6 CT files"):
        read(tmp_path)
    assert torch.equal(read(tmp_path, series=2).data, torch.from_numpy(HU))
    assert read(tmp_path, series=1).shape == (3, 5, 7)
    assert code(tmp_path, series=3) == "CHOICE"
    first, second = scan(tmp_path)
    assert (first.series_number, first.files, first.stacks[0].shape) == (3, 3, (1, 3, 5, 7))
    assert second.stacks[0].kind == "CT axial"
    assert np.allclose(second.stacks[0].voxel_size, (0.9, 0.7, 2.5))


def test_echoes_and_phase_are_stacks(tmp_path):
    def echoes(dataset, number):
        dataset.EchoTime = [4.5, 7.0][number % 2]
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "MP"[number % 3 == 2]]
        dataset.ImagePositionPatient = [0, 0, 2.0 * (number // 6)]

    values = RNG.integers(0, 99, (12, 3, 4)).astype(np.int16)
    write_slices(tmp_path, values, modality="MR", change=echoes)
    with pytest.raises(DicomError, match=r"MIXED.*4 images.*magnitude axial, echo 4.5 ms"):
        read(tmp_path)
    kinds = [stack.kind for stack in scan(tmp_path)[0].stacks]
    assert kinds == [f"MR {c} axial, echo {e} ms" for c in ("magnitude", "phase") for e in ("4.5", "7")]


def test_ge_components_are_told_by_their_private_element(tmp_path):
    def component(dataset, number):
        block = dataset.private_block(0x0043, "GEMS_PARM_01", create=True)
        block.add_new(0x2F, "SS", number % 2)
        dataset.ImagePositionPatient = [0, 0, 2.0 * (number // 2)]

    write_slices(tmp_path, VALUES, modality="MR", change=component)
    assert code(tmp_path) == "MIXED"
    assert np.array_equal(read(tmp_path, stack=2).data.numpy(), HU[1::2])


def test_localizers_are_left_out(tmp_path):
    def localizer(dataset, number):
        if number == 5:
            dataset.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
            dataset.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]

    write_slices(tmp_path, VALUES, change=localizer)
    image = read(tmp_path)
    assert np.array_equal(image.data.numpy(), HU[:5])
    assert "1 localizer frames left out" in image.notes
    assert read(tmp_path, stack=2).shape == (1, 5, 7)


def test_objects_that_are_no_images_are_passed_over(tmp_path):
    write_slices(tmp_path / "ct", VALUES)
    write_slices(tmp_path, VALUES[:1], name="report", change=lambda d, n: setattr(d, "SOPClassUID", "1.2.840.10008.5.1.4.1.1.88.11"))  # fmt: skip # noqa: E501
    assert np.array_equal(read(tmp_path).data.numpy(), HU)
    assert [info.problem for info in scan(tmp_path)].count("RECON-DICOM-KIND") == 1


# Time.


@pytest.mark.parametrize("by", ["TemporalPositionIdentifier", "AcquisitionNumber", "AcquisitionTime", "InstanceNumber"])
def test_frames_in_one_place_are_times(tmp_path, by):
    """Three volumes of two slices, in files of any order; whatever tells them apart wins over instance numbers."""
    scrambled = [4, 1, 6, 2, 5, 3]

    def times(dataset, number):
        time, z = divmod(number, 2)
        dataset.ImagePositionPatient = [0, 0, 3.0 * z]
        dataset.InstanceNumber = scrambled[number]
        setattr(dataset, by, f"1000{2 * time + z:02d}" if by == "AcquisitionTime" else time + 1)

    write_slices(tmp_path, VALUES, modality="MR", intercept=0, change=times)
    image = read(tmp_path)
    assert image.dims == ("t", "z", "y", "x")
    assert np.array_equal(image.data.numpy(), VALUES.reshape(3, 2, 5, 7))


def test_numbers_alone_do_not_make_time_in_ct(tmp_path):
    write_slices(tmp_path, VALUES, change=at(0, 0, 2, 2, 4, 4))
    assert code(tmp_path) == "DUPLICATE"


def test_diffusion_volumes_are_of_one_gradient(tmp_path):
    """Numbers run slice by slice in one place and the other way in the next: the b-value decides."""
    b_values = [0, 1000, 1000, 0, 0, 1000]

    def weighting(dataset, number):
        dataset.DiffusionBValue = b_values[number]
        dataset.ImagePositionPatient = [0, 0, 2.0 * (number // 2)]

    write_slices(tmp_path, VALUES, modality="MR", intercept=0, change=weighting)
    image = read(tmp_path).data.numpy()
    assert np.array_equal(image[0], VALUES[[0, 3, 4]])
    assert np.array_equal(image[1], VALUES[[1, 2, 5]])


def test_a_volume_that_was_cut_short(tmp_path):
    def times(dataset, number):
        dataset.TemporalPositionIdentifier, z = number // 2 + 1, number % 2
        dataset.ImagePositionPatient = [0, 0, 3.0 * z]

    write_slices(tmp_path, VALUES[:5], modality="MR", intercept=0, change=times)
    assert code(tmp_path) == "UNEVEN-TIME"
    image = read(tmp_path, drop_partial=True)
    assert np.array_equal(image.data.numpy(), VALUES[:4].reshape(2, 2, 5, 7))
    assert "1 frames of volumes that miss slices left out" in image.notes


def test_copies_are_left_out_and_others_refused(tmp_path):
    write_slices(tmp_path / "same", VALUES[[0, 1, 2, 2]], change=at(0, 2, 4, 4))
    image = read(tmp_path / "same")
    assert np.array_equal(image.data.numpy(), HU[:3])
    assert "1 slices that were there twice left out" in image.notes
    write_slices(tmp_path / "other", VALUES[:4], change=at(0, 2, 4, 4))
    assert code(tmp_path / "other") == "DUPLICATE"


# Space.


def test_a_tilted_gantry_shears_the_affine(tmp_path):
    """Voxels stay where the header puts them; shifting the slices back gives the same values at the same places."""
    y, x = np.mgrid[:40, :30]
    values = np.stack([100 * x + 3 * y + 50 * z for z in range(6)]).astype(np.int16)
    shift = 2.5 * np.tan(np.radians(15))

    def tilt(dataset, number):
        dataset.ImagePositionPatient = [0, number * shift, number * 2.5]

    write_slices(tmp_path, values, spacing=(0.7, 0.9), intercept=0, change=tilt)
    image = read(tmp_path)
    assert np.allclose(image.affine @ [3, 4, 5, 1], [-3 * 0.9, -(4 * 0.7 + 5 * shift), 12.5, 1], atol=1e-5)
    assert any("15.00 degrees" in note for note in image.notes)
    upright = read(tmp_path, untilt=True)
    axes = upright.affine[:3, :3] / np.linalg.norm(upright.affine[:3, :3], axis=0)
    assert np.allclose(axes.T @ axes, np.eye(3), atol=1e-9)
    # A linear image is exact under linear interpolation: compare through the patient.
    there = np.linalg.inv(image.affine) @ upright.affine
    for z in range(6):
        for row, column in ((20, 10), (25, 17)):
            px, py, pz, _ = there @ [column, row, z, 1]
            assert pz == pytest.approx(z, abs=1e-9)
            assert upright.data[z, row, column].item() == pytest.approx(100 * px + 3 * py + 50 * pz, abs=1e-2)


def test_gaps_are_filled_on_request(tmp_path):
    ramp = np.arange(6, dtype=np.int16)[:, None, None] * np.ones((5, 7), np.int16) * 10
    kept = [0, 1, 2, 4, 5]
    write_slices(tmp_path, ramp[kept], intercept=0, change=at(*(2.0 * k for k in kept)))
    assert code(tmp_path) == "GAP"
    image = read(tmp_path, gaps="resample")
    assert np.allclose(image.data.numpy(), ramp)
    assert image.voxel_size[2] == pytest.approx(2)
    assert any("interpolated" in note for note in image.notes)
    holes = read(tmp_path, gaps="nan").data
    assert torch.isnan(holes[3]).all()
    assert np.array_equal(holes[kept].numpy(), ramp[kept])


def test_uneven_slices_are_resampled_on_request(tmp_path):
    heights = [0.0, 1.0, 2.0, 3.0, 5.5, 8.0]
    values = np.stack([np.full((5, 7), 100 * h) for h in heights]).astype(np.int16)
    write_slices(tmp_path, values, intercept=0, change=at(*heights))
    assert code(tmp_path) == "UNEVEN"
    assert code(tmp_path, gaps="nan") == "UNEVEN"
    image = read(tmp_path, gaps="resample")
    z = image.affine[2, 3] + image.affine[2, 2] * np.arange(image.shape[0])
    assert np.allclose(image.data[:, 2, 3].numpy(), 100 * z, atol=1e-2)


def test_files_without_a_place(tmp_path):
    write_slices(tmp_path, VALUES, change=lambda d, n: delattr(d, "ImagePositionPatient"))
    assert code(tmp_path) == "GEOMETRY"
    image = read(tmp_path, geometry="unknown")
    assert image.affine is None
    assert np.array_equal(image.data.numpy(), HU)


# Values.


def test_modality_table(tmp_path):
    def table(dataset, number):
        del dataset.RescaleSlope, dataset.RescaleIntercept
        item = Dataset()
        item.add_new("LUTDescriptor", "US", [4, 10, 16])
        item.ModalityLUTType = "HU"
        item.add_new("LUTData", "OW", np.array([5, 50, 500, 5000], "<u2").tobytes())
        dataset.ModalityLUTSequence = Sequence([item])

    stored = np.array([[[0, 10, 11], [12, 13, 99]]], np.int16)
    write_slices(tmp_path, stored, change=table)
    image = read(tmp_path)
    assert image.unit == "HU"
    assert image.data.tolist() == [[[5, 5, 50], [500, 5000, 5000]]]


def test_padding(tmp_path):
    values = VALUES.copy()
    values[:, 0] = -2000
    write_slices(tmp_path, values, change=lambda d, n: d.add_new("PixelPaddingValue", "SS", -2000))
    assert (read(tmp_path).data[:, 0] == -3024).all()
    assert torch.isnan(read(tmp_path, padding="nan").data[:, 0]).all()
    clipped = read(tmp_path, padding="clip").data
    assert np.array_equal(clipped[2, 0].numpy(), np.full(7, HU[2, 1:].min()))
    assert np.array_equal(clipped[:, 1:].numpy(), HU[:, 1:])


def pet(dataset, number, **changes):
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.128"
    dataset.Modality, dataset.Units, dataset.DecayCorrection = "PT", "BQML", "START"
    dataset.PatientWeight = 70
    dataset.SeriesDate = dataset.AcquisitionDate = "20200101"
    dataset.SeriesTime, dataset.AcquisitionTime = "110000", f"11{number:02d}00"
    drug = Dataset()
    drug.RadionuclideTotalDose, drug.RadionuclideHalfLife = 3.5e8, 6586.2
    drug.RadiopharmaceuticalStartTime = "100000"
    dataset.RadiopharmaceuticalInformationSequence = Sequence([drug])
    dataset.RescaleSlope = 2.5 + number
    for name, value in changes.items():
        setattr(dataset, name, value)


def test_uptake_of_pet(tmp_path):
    write_slices(tmp_path, VALUES, intercept=0, change=pet)
    activity = VALUES * (2.5 + np.arange(6))[:, None, None]
    image = read(tmp_path)
    assert image.unit == "Bq/ml"
    assert np.allclose(image.data.numpy(), activity)
    uptake = read(tmp_path, suv=True)
    dose = 3.5e8 * 0.5 ** (3600 / 6586.2)
    assert uptake.unit == "g/ml"
    assert np.allclose(uptake.data.numpy(), activity * 70e3 / dose, rtol=1e-6)


@pytest.mark.parametrize("changes", [{"PatientWeight": None}, {"Units": "CNTS"}, {"SeriesTime": "090000"}])
def test_uptake_needs_what_it_needs(tmp_path, changes):
    write_slices(tmp_path, VALUES, intercept=0, change=lambda d, n: pet(d, n, **changes))
    assert code(tmp_path, suv=True) == "SUV"


# Containers.


@pytest.mark.parametrize("sign", [1, -1])
def test_mosaic(tmp_path, sign):
    """Each tile lies where a single slice of it would."""
    values = RNG.integers(0, 999, (3, 4, 6)).astype(np.int16)
    mosaic = np.zeros((8, 12), np.int16)
    for i in range(3):
        mosaic[4 * (i // 2) : 4 * (i // 2) + 4, 6 * (i % 2) : 6 * (i % 2) + 6] = values[i]

    def tiled(dataset, number):
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]
        dataset.SpacingBetweenSlices = 3.0
        # The first pixel of the large image, if its centre is that of the tiles.
        dataset.ImagePositionPatient = [-10 - 0.9 * 3, 20 - 0.7 * 2, 30]
        block = dataset.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
        block.add_new(0x10, "OB", csa({"NumberOfImagesInMosaic": [3], "SliceNormalVector": [0, 0, sign]}))

    write_slices(tmp_path, mosaic[None], modality="MR", intercept=0, spacing=(0.7, 0.9), change=tiled)
    image = read(tmp_path)
    assert np.array_equal(image.data.numpy(), values[::sign])
    assert np.allclose(image.affine @ [0, 0, 0, 1], [10, -20, 30 if sign > 0 else 24, 1])
    assert np.allclose(image.affine @ [1, 1, 1, 1] - image.affine @ [0, 0, 0, 1], [-0.9, -0.7, 3, 0])


def groups(**items):
    out = Dataset()
    for name, fields in items.items():
        item = Dataset()
        for keyword, value in fields.items():
            setattr(item, keyword, value)
        setattr(out, name, Sequence([item]))
    return out


def test_enhanced(tmp_path):
    """Frames in any order, place and rescaling of each; what a frame says wins over what all share."""
    order = [3, 0, 5, 1, 4, 2]

    def enhanced(dataset, number):
        dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2.1"
        dataset.NumberOfFrames = 6
        dataset.PixelData = VALUES[order].tobytes()
        for name in ("ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing", "RescaleSlope", "RescaleIntercept"):  # fmt: skip # noqa: E501
            delattr(dataset, name)
        dataset.SharedFunctionalGroupsSequence = Sequence(
            [
                groups(
                    PlaneOrientationSequence={"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]},
                    PixelMeasuresSequence={"PixelSpacing": [0.7, 0.9], "SliceThickness": 2},
                    PixelValueTransformationSequence={
                        "RescaleSlope": 1,
                        "RescaleIntercept": -1024,
                        "RescaleType": "HU",
                    },
                )
            ]
        )
        frames = [groups(PlanePositionSequence={"ImagePositionPatient": [1, 2, 2.5 * z]}) for z in order]
        frames[1].PixelValueTransformationSequence = groups(
            A={}, PixelValueTransformationSequence={"RescaleSlope": 2, "RescaleIntercept": 5, "RescaleType": "HU"}
        ).PixelValueTransformationSequence
        dataset.PerFrameFunctionalGroupsSequence = Sequence(frames)

    path = write_slices(tmp_path, VALUES[:1], change=enhanced)[0]
    image = recon.read(path)
    expected = HU.copy()
    expected[0] = VALUES[0] * 2.0 + 5
    assert image.unit == "HU"
    assert np.array_equal(image.data.numpy(), expected)
    assert np.allclose(image.affine @ [1, 1, 1, 1], [-1.9, -2.7, 2.5, 1])
    dataset = pydicom.dcmread(path)
    dataset.PerFrameFunctionalGroupsSequence = dataset.PerFrameFunctionalGroupsSequence[:5]
    dataset.save_as(path)
    assert code(path) == "MULTIFRAME"


def test_zip_and_list(tmp_path):
    paths = write_slices(tmp_path / "ct", VALUES)
    with zipfile.ZipFile(tmp_path / "ct.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("README", "not DICOM" * 40)
        for path in reversed(paths):
            archive.write(path, f"SMITH^JOHN/{path.name}")
    image = recon.read(tmp_path / "ct.zip")
    assert np.array_equal(image.data.numpy(), HU)
    assert np.array_equal(read(paths[::-1]).data.numpy(), HU)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x", bytes(128) + b"DICM" + bytes(2**26 + 2**20))
    assert code(tmp_path / "bomb.zip") == "BOMB"


def test_file_names_are_not_told(tmp_path):
    path = write_slices(tmp_path, VALUES)[2]
    content = path.read_bytes()
    path.rename(tmp_path / "SMITH.dcm").write_bytes(content[:-20])
    with pytest.raises(DicomError, match="TRUNCATED") as error:
        read(tmp_path)
    assert "SMITH" not in str(error.value)


# Hostile.


def test_deflated_bombs_and_sizes_out_of_proportion(tmp_path):
    import zlib

    path = write_slices(tmp_path / "a", VALUES[:1])[0]
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1.99"
    dataset.save_as(path)
    assert np.array_equal(recon.read(path).data.numpy(), HU[0])
    content = path.read_bytes()
    end = 144 + struct.unpack_from("<I", content, 140)[0]
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    path.write_bytes(content[:end] + squeeze.compress(bytes(2**26 + 2**20)) + squeeze.flush())
    assert code(path) == "BOMB"

    from pydicom.encaps import encapsulate

    def huge(dataset, number):
        dataset.Rows = dataset.Columns = 65535
        dataset.PixelData = encapsulate([bytes(64)])
        dataset["PixelData"].is_undefined_length = True
        dataset.file_meta.TransferSyntaxUID = JPEGLSLossless

    assert code(write_slices(tmp_path / "b", VALUES[:1], change=huge)[0]) == "BOMB"
    assert code(write_slices(tmp_path / "c", VALUES)[0].parent, limit_gb=1e-7) == "LIMIT"


def test_scan_without_torch(tmp_path):
    import subprocess

    write_slices(tmp_path, VALUES, change=at(0, 2, 4, 8, 10, 12))
    text = (
        "import sys; from pathlib import Path; from recon_datasets.dicom_series.scan import scan;"
        "found = scan(Path(sys.argv[1])); assert 'torch' not in sys.modules; print(found[0].problem)"
    )
    told = subprocess.run([sys.executable, "-c", text, str(tmp_path)], capture_output=True, text=True)
    assert told.stdout.strip() == "RECON-DICOM-GAP", told.stderr


def test_explicit_files_stay_explicit(tmp_path):
    """Element lengths are bounded by the file, whatever they claim."""
    path = write_slices(tmp_path, VALUES[:1])[0]
    content = path.read_bytes()
    place = content.index(b"\x18\0\x50\0DS")
    path.write_bytes(content[:place] + b"\x18\0\x50\0OB\0\0\xf0\xff\xff\xff" + content[place + 8 :])
    assert code(path) == "LENGTH"
    assert pydicom.uid.UID(ExplicitVRLittleEndian).is_little_endian
