"""What private elements of makers tell: field maps, diffusion weighting; and what lies beside images in a series."""

import numpy as np
import pytest
from pydicom import Sequence
from pydicom.dataset import Dataset
from pydicom.uid import ImplicitVRLittleEndian

from recon.io.provenance import hashed
from recon_datasets.dicom_series.errors import DicomError
from recon_datasets.dicom_series.reader import DicomReader
from recon_datasets.dicom_series.scan import scan
from recon_datasets.dicom_series.synthetic import write_slices

from .csa_header import csa

VALUES = np.random.default_rng(7).integers(0, 3000, (6, 5, 7)).astype(np.int16)
DIRECTIONS = np.array([[0.6, 0.0, 0.8], [0.0, -1.0, 0.0]])  # LPS


def read(path, **options):
    return DicomReader(**options).read(path)


def write(folder, change, values=VALUES, **options):
    return write_slices(folder, values, modality="MR", intercept=0, change=change, **options)


def ge(dataset, sequence, collapse):
    dataset.private_block(0x0019, "GEMS_ACQU_01", create=True).add_new(0x9C, "LO", sequence)
    block = dataset.private_block(0x0043, "GEMS_PARM_01", create=True)
    block.add_new(0x2F, "SS", 0)
    block.add_new(0x30, "SS", collapse)


@pytest.mark.parametrize("implicit", [False, True])
def test_ge_field_map(tmp_path, implicit):
    def change(dataset, number):
        ge(dataset, "3db0map", 2 * (number % 2))
        dataset.ImagePositionPatient = [0, 0, 2.0 * (number // 2)]
        if implicit:
            dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian

    write(tmp_path, change)
    with pytest.raises(DicomError, match="RECON-DICOM-MIXED"):
        read(tmp_path)
    magnitude, field = read(tmp_path, stack=1), read(tmp_path, stack=2)
    assert (magnitude.quantity, magnitude.unit) == ("magnitude", "arbitrary")
    assert (field.quantity, field.unit) == ("field", "Hz")
    assert np.array_equal(magnitude.data.numpy(), VALUES[1::2])
    assert np.array_equal(field.data.numpy(), VALUES[::2])
    assert [stack.kind for stack in scan(tmp_path)[0].stacks] == ["MR magnitude axial", "MR field map axial"]


def test_ge_flow_is_told_apart_from_magnitude(tmp_path):
    def change(dataset, number):
        ge(dataset, "pc", 2 + number % 2)
        dataset.ImagePositionPatient = [0, 0, 2.0 * (number // 2)]

    write(tmp_path, change)
    flow, magnitude = read(tmp_path, stack=1), read(tmp_path, stack=2)
    assert (flow.quantity, magnitude.quantity) == ("unknown", "magnitude")
    assert np.array_equal(flow.data.numpy(), VALUES[1::2])


@pytest.mark.parametrize(
    ("unit", "slope", "expected"), [("Hz", 0.5, "Hz"), ("1", 0.5, "arbitrary"), ("Hz", 2.0, "arbitrary")]
)
def test_real_world_values_in_hertz(tmp_path, unit, slope, expected):
    """The unit of real-world values is that of the image only where slope and intercept are the same."""

    def change(dataset, number):
        dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.4.1"
        dataset.NumberOfFrames = 1
        code = Dataset()
        code.CodeValue = unit
        mapping = Dataset()
        mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept = slope, -500.0
        mapping.MeasurementUnitsCodeSequence = Sequence([code])
        place, orientation, measures, transform = Dataset(), Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = dataset.ImagePositionPatient
        orientation.ImageOrientationPatient = dataset.ImageOrientationPatient
        measures.PixelSpacing, measures.SliceThickness = [1, 1], 2
        transform.RescaleSlope, transform.RescaleIntercept, transform.RescaleType = 0.5, -500, "US"
        group = Dataset()
        group.PlanePositionSequence, group.PlaneOrientationSequence = Sequence([place]), Sequence([orientation])
        group.PixelMeasuresSequence = Sequence([measures])
        group.PixelValueTransformationSequence = Sequence([transform])
        group.RealWorldValueMappingSequence = Sequence([mapping])
        dataset.PerFrameFunctionalGroupsSequence = Sequence([group])

    path = write(tmp_path, change, VALUES[:1])[0]
    image = read(path)
    assert image.unit == expected
    assert (image.quantity == "field") == (expected == "Hz")
    assert np.array_equal(image.data.numpy(), VALUES[0] * 0.5 - 500)


def standard(dataset, b, direction):
    if b:  # Canon writes no b-value where there is no weighting
        dataset.DiffusionBValue = float(b)
        dataset.DiffusionGradientOrientation = [float(part) for part in direction]


def siemens(dataset, b, direction):
    block = dataset.private_block(0x0019, "SIEMENS MR HEADER", create=True)
    block.add_new(0x0C, "IS", b)
    if b:
        block.add_new(0x0E, "FD", [float(part) for part in direction])


def siemens_csa(dataset, b, direction):
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "DIFFUSION", "NONE"]
    elements = {"B_value": [b]} | ({"DiffusionGradientDirection": list(direction)} if b else {})
    dataset.private_block(0x0029, "SIEMENS CSA HEADER", create=True).add_new(0x10, "OB", csa(elements))


def philips(dataset, b, direction):
    dataset.private_block(0x2001, "Philips Imaging DD 001", create=True).add_new(0x03, "FL", float(b))
    block = dataset.private_block(0x2005, "Philips MR Imaging DD 001", create=True)
    for number, part in enumerate(direction):
        block.add_new(0xB0 + number, "FL", float(part))


def ge_diffusion(dataset, b, direction):
    dataset.private_block(0x0043, "GEMS_PARM_01", create=True).add_new(0x39, "IS", [10**9 + b, 8, 0, 0])
    block = dataset.private_block(0x0019, "GEMS_ACQU_01", create=True)
    for number, part in enumerate(direction):
        block.add_new(0xBB + number, "DS", float(part))


@pytest.mark.parametrize("maker", [standard, siemens, siemens_csa, philips, ge_diffusion])
def test_diffusion(tmp_path, maker):
    """Volumes in the order measured, b-values and directions beside them; GE's directions are not the patient's."""
    table = [(1000, DIRECTIONS[1]), (0, np.zeros(3)), (2000, DIRECTIONS[0])]

    def change(dataset, number):
        dataset.ImagePositionPatient = [0, 0, 2.0 * (number % 2)]
        maker(dataset, *table[number // 2])

    write(tmp_path, change)
    image = read(tmp_path)
    assert np.array_equal(image.data.numpy(), VALUES.reshape(3, 2, 5, 7))
    assert image.metadata["b_values_s_mm2"] == (1000, 0, 2000)
    assert any("b-value" in note for note in image.notes) == (maker is standard)
    if maker is ge_diffusion:
        assert "gradient_x" not in image.metadata
        return
    gradients = np.array([image.metadata[f"gradient_{axis}"] for axis in "xyz"]).T
    assert np.allclose(gradients, [[0, 1, 0], [0, 0, 0], [-0.6, 0, 0.8]], atol=1e-5)
    last = image[::-1]  # a table follows its volumes
    assert last.metadata["b_values_s_mm2"] == (2000, 0, 1000)
    assert last.metadata["gradient_z"] == image.metadata["gradient_z"][::-1]


def test_private_elements_of_others_are_no_b_values(tmp_path):
    def change(dataset, number):
        dataset.private_block(0x0019, "SOMEBODY ELSE", create=True).add_new(0x0C, "IS", 1000)

    write(tmp_path, change)
    assert "b_values_s_mm2" not in read(tmp_path).metadata


def test_averages_over_directions_are_noted(tmp_path):
    def change(dataset, number):
        dataset.ImagePositionPatient = [0, 0, 2.0 * (number % 2)]
        philips(dataset, (0, 1000, 1000)[number // 2], [(0, 0, 0), (0, 1, 0), (0, 0, 0)][number // 2])

    write(tmp_path, change)
    image = read(tmp_path)
    assert image.metadata["gradient_y"] == (0, -1, 0)
    assert any("averages over directions (trace): 1" in note for note in image.notes)


def test_raw_data_in_a_series_are_left_out(tmp_path):
    def change(dataset, number):
        if number == 5:
            dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.66"
            del dataset.PixelData

    write(tmp_path, change)
    image = read(tmp_path)
    assert np.array_equal(image.data.numpy(), VALUES[:5])
    assert "1 objects of the series that are no scans left out" in image.notes
    (found,) = scan(tmp_path)
    assert found.problem is None or not found.problem
    assert found.modality == "MR"


def test_numbers_tell_series_of_one_identifier_apart(tmp_path):
    write(tmp_path, lambda dataset, number: setattr(dataset, "SeriesNumber", 1 + number // 3))
    with pytest.raises(DicomError, match="RECON-DICOM-AMBIGUOUS"):
        read(tmp_path)
    assert np.array_equal(read(tmp_path, series=2).data.numpy(), VALUES[3:])


def test_sums_of_thin_slices_and_others_are_joined_on_request(tmp_path):
    """As head CT was done: thin slices added up below, thick ones above."""
    heights = [0.0, 4.0, 8.0, 9.0, 16.0, 23.0]
    values = np.stack([np.full((5, 7), 100 * height) for height in heights]).astype(np.int16)

    def change(dataset, number):
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL", *(["ADD"] if number < 3 else [])]
        dataset.ImagePositionPatient = [0, 0, heights[number]]

    write_slices(tmp_path, values, intercept=0, change=change)
    with pytest.raises(DicomError, match="RECON-DICOM-MIXED"):
        read(tmp_path)
    assert read(tmp_path, stack=1).affine[2, 2] == 7
    joined = read(tmp_path, gaps="resample")
    assert joined.affine[2, 2] == 4
    assert np.allclose(joined.data[:, 0, 0].numpy(), 100 * (joined.affine[2, 3] + 4.0 * np.arange(len(joined.data))))
    assert np.array_equal(joined.data[:3].numpy(), values[:3])


def test_provenance(tmp_path):
    write(tmp_path, lambda dataset, number: setattr(dataset, "StudyInstanceUID", "1.2.3"))
    provenance = read(tmp_path).provenance
    assert provenance.reader == "dicom_series"
    assert provenance.files == 6
    assert provenance.identifiers["study"] == hashed("1.2.3")
    assert set(provenance.identifiers) <= {"study", "series", "frame_of_reference"}


def test_philips_scale_is_told_and_not_applied(tmp_path):
    """Values by the standard's slope; the precise ones are stored / scale (Chenevert et al., 10.1593/tlo.13811)."""

    def philips(dataset, number):
        dataset.RescaleSlope, dataset.RescaleIntercept = 1.25, 0
        dataset.private_block(0x2005, "Philips MR Imaging DD 001", create=True).add_new(0x0E, "FL", 0.004)

    write_slices(tmp_path, VALUES, modality="MR", change=philips)
    image = DicomReader().read(tmp_path)
    assert np.allclose(image.data.numpy(), VALUES * 1.25)
    assert np.allclose(image.data.numpy() / image.metadata["philips_scale"], VALUES / 0.004, rtol=1e-5)
