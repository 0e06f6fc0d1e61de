"""PET in time, by gates, and in the units that scanners write; uptake of each."""

import numpy as np
import pytest
from pydicom.dataset import Dataset

import recon
from recon_datasets.dicom_series import DicomError, DicomReader, write_slices

VALUES = np.random.default_rng(7).integers(0, 3000, (6, 5, 7)).astype(np.int16)
SLOPES = 0.5 + np.arange(6)
ACTIVITY = (VALUES * SLOPES[:, None, None]).reshape(3, 2, 5, 7)
SCRAMBLED = [4, 1, 6, 2, 5, 3]


def series(folder, change=lambda dataset, number: None, **changes):
    """Three volumes of two slices, with slopes of their own, in files whose numbers tell nothing."""

    def pet(dataset, number):
        z = number % 2
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.128"
        dataset.Modality, dataset.Units, dataset.DecayCorrection, dataset.PatientWeight = "PT", "BQML", "START", 70
        dataset.SeriesDate = dataset.AcquisitionDate = "20200101"
        dataset.SeriesTime = dataset.AcquisitionTime = "110000"
        dataset.ImagePositionPatient = [0, 0, 3.0 * z]
        dataset.InstanceNumber, dataset.RescaleSlope = SCRAMBLED[number], SLOPES[number]
        drug = Dataset()
        drug.RadionuclideTotalDose, drug.RadionuclideHalfLife = 3.5e8, 6586.2
        drug.RadiopharmaceuticalStartTime = "100000"
        dataset.RadiopharmaceuticalInformationSequence = [drug]
        for name, value in changes.items():
            setattr(dataset, name, value)
        change(dataset, number)

    return write_slices(folder, VALUES, intercept=0, change=pet)


def test_frames_in_time(tmp_path):
    """Frames of 5, 60 and 300 s, each corrected to the start of the scan: one factor for all."""

    def dynamic(dataset, number):
        dataset.AcquisitionTime = ["110000", "110005.5", "110105.5"][number // 2]

    series(tmp_path, dynamic)
    image = recon.read(tmp_path)
    assert (image.dims, image.unit, image.quantity) == (("t", "z", "y", "x"), "Bq/ml", "activity")
    assert np.allclose(image.data.numpy(), ACTIVITY)
    assert image.metadata["times_s"] == (0.0, 5.5, 65.5)
    uptake = DicomReader(suv=True).read(tmp_path)
    dose = 3.5e8 * 0.5 ** (3600 / 6586.2)
    assert (uptake.unit, uptake.quantity) == ("g/ml", "uptake")
    assert np.allclose(uptake.data.numpy(), ACTIVITY * 70e3 / dose, rtol=1e-6)


def test_gates_by_image_index(tmp_path):
    """All gates carry one clock; ImageIndex counts slices within gates (PS3.3 C.8.9.4.1.9)."""
    order = [1, 0, 2]

    def gated(dataset, number):
        gate, z = order.index(number // 2), number % 2
        dataset.NumberOfSlices, dataset.ImageIndex = 2, 2 * gate + z + 1

    series(tmp_path, gated)
    image = recon.read(tmp_path)
    assert np.allclose(image.data.numpy(), ACTIVITY[order])
    assert "times_s" not in image.metadata


def test_volumes_that_nothing_tells_apart_are_refused(tmp_path):
    series(tmp_path)
    with pytest.raises(DicomError, match="RECON-DICOM-DUPLICATE"):
        recon.read(tmp_path)


def gates(dataset, number):
    dataset.TemporalPositionIdentifier = number // 2 + 1


def philips(factor, creator="Philips PET Private Group"):
    def change(dataset, number):
        gates(dataset, number)
        dataset.Units = "CNTS"
        block = dataset.private_block(0x7053, creator, create=True)
        value = factor(number) if callable(factor) else factor
        block.add_new(0x00, "DS", str(value))

    return change


def test_uptake_of_counts_by_the_factor_beside_them(tmp_path):
    series(tmp_path, philips(0.000125))
    image = recon.read(tmp_path)
    assert (image.unit, image.quantity) == ("counts", "activity")
    assert np.allclose(image.data.numpy(), ACTIVITY)
    assert np.allclose(DicomReader(suv=True).read(tmp_path).data.numpy(), ACTIVITY * 0.000125)


@pytest.mark.parametrize(
    "change", [philips(0), philips(lambda number: 0.1 + number), philips(0.1, creator="SOMEBODY ELSE")]
)
def test_counts_without_a_factor_have_no_uptake(tmp_path, change):
    series(tmp_path, change)
    with pytest.raises(DicomError, match="RECON-DICOM-SUV"):
        DicomReader(suv=True).read(tmp_path)


def test_images_that_are_uptake_already(tmp_path):
    series(tmp_path / "a", gates, Units="GML", SUVType="BW")
    for suv in (False, True):
        image = DicomReader(suv=suv).read(tmp_path / "a")
        assert image.unit == "g/ml"
        assert np.allclose(image.data.numpy(), ACTIVITY)
    series(tmp_path / "b", gates, Units="GML", SUVType="LBM")  # by lean body mass: another quantity
    assert recon.read(tmp_path / "b").unit == "arbitrary"
    with pytest.raises(DicomError, match="RECON-DICOM-SUV"):
        DicomReader(suv=True).read(tmp_path / "b")


@pytest.mark.parametrize("decay", ["NONE", ""])
def test_activity_without_correction_for_decay_has_no_uptake(tmp_path, decay):
    series(tmp_path, gates, DecayCorrection=decay)
    with pytest.raises(DicomError, match="RECON-DICOM-SUV"):
        DicomReader(suv=True).read(tmp_path)


def test_correction_to_the_injection(tmp_path):
    series(tmp_path, gates, DecayCorrection="ADMIN")
    assert np.allclose(DicomReader(suv=True).read(tmp_path).data.numpy(), ACTIVITY * 70e3 / 3.5e8, rtol=1e-6)
