"""DICOM series: right values in the right place, or a coded refusal of one line without patient data."""

import pickle
import warnings

import numpy as np
import pydicom
import pytest
import torch
from pydicom.uid import JPEGLSLossless, RLELossless

import recon
from recon.errors import FileFormatError
from recon_datasets.dicom_series import DicomError, DicomReader, DicomSeries, write_slices

VALUES = np.random.default_rng(0).integers(-1000, 3000, (4, 5, 7)).astype(np.int16)
OBLIQUE = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
DIRECTIONS = {
    "axial": (1, 0, 0, 0, 1, 0),
    "sagittal": (0, 1, 0, 0, 0, -1),
    "coronal": (1, 0, 0, 0, 0, -1),
    "oblique": (*OBLIQUE[0], *OBLIQUE[1]),
}


def place(affine, x, y, z):
    return (affine @ [x, y, z, 1])[:3]


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_affine_follows_the_standard(tmp_path, direction):
    """Equation C.7.6.2.1-1 for every corner, turned from LPS to RAS."""
    paths = write_slices(tmp_path, VALUES, orientation=DIRECTIONS[direction], spacing=(0.7, 0.9))
    image = recon.read(tmp_path)
    assert image.shape == (4, 5, 7)
    assert image.unit == "HU"
    for z, path in enumerate(paths):
        header = pydicom.dcmread(path)
        x_direction, y_direction = np.array(header.ImageOrientationPatient).reshape(2, 3)
        for x, y in ((0, 0), (6, 0), (0, 4), (6, 4)):
            lps = np.array(header.ImagePositionPatient) + x_direction * 0.9 * x + y_direction * 0.7 * y
            assert np.allclose(place(image.affine, x, y, z), lps * [-1, -1, 1], atol=1e-4)
        assert np.array_equal(image.data[z].numpy(), VALUES[z].astype(np.float32) - 1024)
    assert np.allclose(image.voxel_size, (0.9, 0.7, 2.5), atol=1e-5)


def test_order_is_by_position_whatever_the_names_and_numbers(tmp_path):
    def shuffle(dataset, number):
        dataset.InstanceNumber = [3, 1, 4, 2][number]

    paths = write_slices(tmp_path, VALUES, change=shuffle)
    expected = recon.read(tmp_path)
    for new, path in zip("dbca", paths, strict=True):
        path.rename(tmp_path / f"{new}.dcm")
    image = recon.read(tmp_path)
    assert torch.equal(image.data, expected.data)
    assert torch.equal(image.data, torch.from_numpy(VALUES).float() - 1024)
    assert np.array_equal(image.affine, expected.affine)


def test_order_is_along_the_normal(tmp_path):
    """Slices written feet first and head first give the same volume."""
    write_slices(tmp_path / "up", VALUES, step=2.5, origin=(0, 0, 0))
    write_slices(tmp_path / "down", VALUES[::-1], step=-2.5, origin=(0, 0, 7.5))
    up, down = recon.read(tmp_path / "up"), recon.read(tmp_path / "down")
    assert torch.equal(up.data, down.data)
    assert np.allclose(up.affine, down.affine)


def test_each_slice_has_its_own_slope(tmp_path):
    def scale(dataset, number):
        dataset.RescaleSlope, dataset.RescaleIntercept = number + 0.5, -number

    write_slices(tmp_path, VALUES, change=scale)
    expected = VALUES * (np.arange(4) + 0.5)[:, None, None] - np.arange(4)[:, None, None]
    assert np.allclose(recon.read(tmp_path).data.numpy(), expected)


def test_one_slice(tmp_path):
    path = write_slices(tmp_path, VALUES, spacing=(0.7, 0.9))[2]
    image = recon.read(path)
    assert image.dims == ("y", "x")
    assert np.array_equal(image.data.numpy(), VALUES[2].astype(np.float32) - 1024)
    assert np.allclose(image.affine[:3, :3], np.diag([-0.9, -0.7, 2.5]))
    assert np.allclose(image.affine[:3, 3], (10, -20, 35))
    assert image.metadata["modality"] == "CT"


def test_unused_bits_are_not_values(tmp_path):
    """Twelve signed bits below four that hold an overlay."""
    values = np.array([[[-5, 7], [-2048, 2047]]], dtype=np.int16)
    stored = (values & 0x0FFF) | 0x5000

    def twelve(dataset, number):
        dataset.BitsStored, dataset.HighBit = 12, 11

    write_slices(tmp_path, stored, change=twelve, intercept=0)
    assert np.array_equal(recon.read(tmp_path).data.numpy(), values)


def test_unsigned_and_big_endian_and_inverted(tmp_path):
    def unsigned(dataset, number):
        dataset.PixelRepresentation = 0
        dataset.PhotometricInterpretation = "MONOCHROME1"

    write_slices(tmp_path / "a", VALUES.astype(np.uint16).astype(np.int16), change=unsigned, intercept=0)
    image = recon.read(tmp_path / "a")
    assert np.array_equal(image.data.numpy(), VALUES.astype(np.uint16).astype(np.float32))
    assert "MONOCHROME1" in image.notes[0]


def test_without_rescaling_there_are_no_hounsfield_units(tmp_path):
    def plain(dataset, number):
        del dataset.RescaleSlope, dataset.RescaleIntercept

    write_slices(tmp_path, VALUES, change=plain)
    image = recon.read(tmp_path)
    assert image.unit == "arbitrary"
    assert np.array_equal(image.data.numpy(), VALUES)


def test_compressed_slices(tmp_path):
    def run_length(dataset, number):
        dataset.compress(RLELossless, generate_instance_uid=False)

    write_slices(tmp_path, VALUES, change=run_length)
    assert np.array_equal(recon.read(tmp_path).data.numpy(), VALUES - 1024.0)


def test_small_flaws_are_accepted(tmp_path):
    def rounded(dataset, number):
        dataset.ImageOrientationPatient = [round(value, 3) for value in OBLIQUE[:2].flatten()]
        dataset.ImagePositionPatient = [float(v) + 1e-3 * (-1) ** number for v in dataset.ImagePositionPatient]
        del dataset.InstanceNumber

    write_slices(tmp_path, VALUES, orientation=DIRECTIONS["oblique"], change=rounded)
    (tmp_path / "README.txt").write_text("not DICOM")
    image = recon.read(tmp_path)
    assert np.allclose(image.affine[:3, 2] / 2.5, np.cross(OBLIQUE[0], OBLIQUE[1]) * [-1, -1, 1], atol=2e-3)


def setting(**changes):
    def change(dataset, number):
        for name, value in changes.items():
            value = value(number) if callable(value) else value
            if value is None:
                delattr(dataset, name)
            elif value != "keep":
                setattr(dataset, name, value)

    return change


def on(which, value):
    return lambda number: value if number == which else "keep"


FAULTS = {
    "GAP": setting(ImagePositionPatient=lambda n: [0, 0, 2.5 * (n + (n > 1))]),
    "UNEVEN": setting(ImagePositionPatient=lambda n: [0, 0, [0, 2.5, 5.9, 8.0][n]]),
    "UNEVEN ": setting(ImagePositionPatient=lambda n: [0, 0.5 * (n == 1), 2.5 * n]),
    "DUPLICATE": setting(ImagePositionPatient=lambda n: [0, 0, 2.5 * (n // 2)]),
    "ORIENTATION": setting(ImageOrientationPatient=on(3, [0, 1, 0, 0, 0, -1])),
    "GRID": setting(PixelSpacing=on(2, [0.7, 0.8])),
    "MIXED": setting(SOPClassUID="1.2.840.10008.5.1.4.1.1.4", EchoTime=lambda n: n % 2),
    "MIXED ": setting(ImageType=lambda n: ["ORIGINAL", "PRIMARY", "MP"[n % 2]]),
    "MIXED  ": setting(RescaleSlope=on(1, None), RescaleIntercept=on(1, None)),
    "AMBIGUOUS": setting(SeriesInstanceUID=lambda n: f"1.2.{n % 2}"),
    "GEOMETRY": setting(ImagePositionPatient=on(1, None)),
    "GEOMETRY ": setting(ImageOrientationPatient=None),
    "GEOMETRY  ": setting(PixelSpacing=None),
    "GEOMETRY   ": setting(PixelSpacing=[0.0, 1.0]),
    "GEOMETRY    ": setting(ImageOrientationPatient=[1, 0, 0, 0.5, 1, 0]),
    "MULTIFRAME": setting(NumberOfFrames=2, PixelData=bytes(140)),
    "MULTIFRAME ": setting(SOPClassUID="1.2.840.10008.5.1.4.1.1.4.1"),
    "MOSAIC": setting(ImageType=["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]),
    "KIND": setting(SOPClassUID="1.2.840.10008.5.1.4.1.1.7"),
    "KIND ": setting(PhotometricInterpretation="PALETTE COLOR"),
    "KIND  ": setting(PixelData=None),
    "RESCALE": setting(ModalityLUTSequence=[pydicom.Dataset()]),
    "RESCALE ": setting(RescaleSlope=0),
    "TRUNCATED": setting(PixelData=on(2, b"\0" * 68)),
    "PIXELS": setting(PixelData=on(2, b"\0" * 140)),
    "DAMAGED": setting(Rows=None),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_refused_with_a_code(tmp_path, fault):
    write_slices(tmp_path, VALUES, change=FAULTS[fault])
    with pytest.raises(DicomError) as error:
        recon.read(tmp_path)
    assert error.value.code == f"RECON-DICOM-{fault.strip()}"
    assert "\n" not in str(error.value)
    assert "Nobody" not in str(error.value)
    assert pickle.loads(pickle.dumps(error.value)).code == error.value.code


def test_a_gap_tells_where(tmp_path):
    write_slices(tmp_path, VALUES, change=FAULTS["GAP"])
    with pytest.raises(DicomError, match=r"missing at 2\.50 to 7\.50 mm \(step 2\.5 mm\)"):
        recon.read(tmp_path)


@pytest.mark.parametrize("text", ["0,7\\0,9", "nan\\1"])
def test_numbers_that_are_none(tmp_path, text):
    path = write_slices(tmp_path, VALUES[:1], spacing=(0.1234567, 0.7654321))[0]
    old = b"0.1234567\\0.7654321 "
    assert old in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(old, text.ljust(len(old)).encode()))
    with pytest.raises(DicomError) as error:
        recon.read(tmp_path)
    assert error.value.code in ("RECON-DICOM-GEOMETRY", "RECON-DICOM-DAMAGED")


def test_a_missing_decoder_is_named(tmp_path):
    from pydicom.encaps import encapsulate

    def foreign(dataset, number):
        dataset.PixelData = encapsulate([b"\xff\xd8garbage"])
        dataset.file_meta.TransferSyntaxUID = JPEGLSLossless
        dataset["PixelData"].is_undefined_length = True

    write_slices(tmp_path, VALUES, change=foreign)
    with pytest.raises(DicomError) as error:
        recon.read(tmp_path)
    assert error.value.code in ("RECON-DICOM-CODEC", "RECON-DICOM-TRUNCATED")


def test_cut_off_and_foreign_files(tmp_path):
    path = write_slices(tmp_path, VALUES[:1])[0]
    content = path.read_bytes()
    for size in (len(content) - 10, len(content) // 2, 200, 140):
        path.write_bytes(content[:size])
        with pytest.raises(FileFormatError) as error:
            recon.read(path)
        assert "\n" not in str(error.value)
    # Five bytes for the two of Rows: pydicom quotes the file's bytes in its error.
    path.write_bytes(content.replace(b"(\0\x10\0US\x02\0", b"(\0\x10\0US\x05\0"))
    with pytest.raises(DicomError, match="LENGTH") as error:
        recon.read(path)
    assert error.value.__cause__ is None
    path.write_text("hello")
    with pytest.raises(DicomError, match="RECON-DICOM-NOT-DICOM"):
        DicomReader().read(path)
    with pytest.raises(FileFormatError, match="does not exist"):
        DicomReader().read(tmp_path / "none.dcm")
    path.unlink()
    with pytest.raises(FileFormatError, match="holds no series that a reader knows"):
        recon.read(tmp_path)
    with pytest.raises(DicomError, match="RECON-DICOM-EMPTY"):
        DicomReader().read(tmp_path)


def test_warnings_and_logs_stay_silent(tmp_path, caplog):
    def odd(dataset, number):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset.add_new("PatientBirthDate", "DA", "NOT A DATE SMITH")

    write_slices(tmp_path, VALUES, change=odd)
    caplog.clear()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        recon.read(tmp_path)
    assert not [warning for warning in caught if "pydicom" in str(warning.filename)]
    assert "SMITH" not in caplog.text


def test_dataset(tmp_path):
    write_slices(tmp_path / "a", VALUES)
    write_slices(tmp_path / "b" / "c", VALUES[:2] + 1, modality="MR", name="mr", slope=0.5, intercept=0)
    slices = DicomSeries(root=tmp_path)
    assert len(slices) == 6
    assert np.array_equal(slices[1]["image"][0].numpy(), VALUES[1] - 1024.0)
    assert np.array_equal(slices[5]["image"][0].numpy(), (VALUES[1] + 1) * 0.5)
    volumes = DicomSeries(root=tmp_path, items="volumes", shift=-1024, divide_by=4096)
    assert [tuple(volumes[i]["image"].shape) for i in range(2)] == [(1, 4, 5, 7), (1, 2, 5, 7)]
    assert np.allclose(volumes[0]["image"][0].numpy(), VALUES / 4096)
    assert torch.equal(pickle.loads(pickle.dumps(slices))[3]["image"], slices[3]["image"])
    with pytest.raises(IndexError):
        slices[6]
    with pytest.raises(FileFormatError, match="does not exist"):
        len(DicomSeries(root=tmp_path / "none"))


def test_to_nifti_and_back(tmp_path):
    write_slices(tmp_path / "a", VALUES, orientation=DIRECTIONS["oblique"])
    image = recon.read(tmp_path / "a")
    recon.write(image, tmp_path / "x.nii.gz")
    again = recon.read(tmp_path / "x.nii.gz")
    assert torch.equal(again.data, image.data)
    assert np.allclose(again.affine, image.affine, atol=1e-5)


def test_real_slices_of_many_scanners(shared_data):
    folder = shared_data / "ct_images" / "ct100_dicom"
    data = DicomSeries(root=folder)
    assert len(data) == 25
    path = data.series[3].files[0].source.path
    header = pydicom.dcmread(path)
    expected = header.pixel_array * float(header.RescaleSlope) + float(header.RescaleIntercept)
    assert np.array_equal(data[3]["image"][0].numpy(), expected.astype(np.float32))
    assert recon.read(path).unit == "HU"


def test_real_t1(shared_data):
    image = recon.read(shared_data / "dicom" / "datalad_t1_pddl")
    assert image.shape == (16, 384, 274)
    assert image.metadata["modality"] == "MR"
    assert "Patient" not in str(image.metadata)
