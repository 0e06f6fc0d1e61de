"""Dose of radiotherapy: each plane where its offset says, in Gy."""

import numpy as np
import pydicom
import pytest

import recon
from recon_datasets.dicom_series import write_slices

from .whole_files import ORIENTATIONS, VALUES, bundled, code, lps, read, whole


def dose(offsets, **changes):
    def change(dataset):
        del dataset.RescaleSlope, dataset.RescaleIntercept
        dataset.Modality, dataset.DoseUnits, dataset.DoseType, dataset.DoseSummationType = (
            "RTDOSE",
            "GY",
            "PHYSICAL",
            "PLAN",
        )
        dataset.DoseGridScaling = "0.00125"
        dataset.GridFrameOffsetVector = offsets
        for name, value in changes.items():
            if value is None:
                delattr(dataset, name)
            else:
                setattr(dataset, name, value)

    return change


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("direction", ORIENTATIONS)
def test_dose_counts_planes_from_the_first(tmp_path, direction, sign):
    """PS3.3 C.8.8.3.2: plane k lies at position + offset k x (row x column), whichever way offsets run."""
    orientation = ORIENTATIONS[direction]
    offsets = [sign * 3.5 * n for n in range(6)]
    path = whole(tmp_path, "481.2", dose(offsets), orientation=orientation, spacing=(0.7, 0.9))
    image = recon.read(path)
    assert (image.unit, image.quantity, image.dims) == ("Gy", "dose", ("z", "y", "x"))
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    for number, offset in enumerate(offsets):
        z = number if sign > 0 else 5 - number
        assert np.allclose(image.data[z].numpy(), VALUES[number] * 0.00125, rtol=1e-6)
        place = np.array([-10, 20, 30]) + np.cross(row, column) * offset + row * 0.9 * 6 + column * 0.7 * 4
        assert np.allclose(lps(image.affine, (6, 4, z)), place, atol=1e-4)


def test_dose_by_height_in_the_patient(tmp_path):
    """The other form of the offsets: each plane's own z."""
    path = whole(tmp_path / "a", "481.2", dose([30 - 2.0 * n for n in range(6)]))
    image = read(path)
    assert np.allclose(lps(image.affine, (0, 0, 0)), [-10, 20, 20])
    assert np.allclose(image.data[0].numpy(), VALUES[5] * 0.00125, rtol=1e-6)
    assert code(whole(tmp_path / "b", "481.2", dose([31 - 2.0 * n for n in range(6)]))) == "GEOMETRY"
    oblique = whole(
        tmp_path / "c", "481.2", dose([30 - 2.0 * n for n in range(6)]), orientation=ORIENTATIONS["oblique"]
    )
    assert code(oblique) == "GEOMETRY"


def test_dose_lies_on_the_scan_that_it_was_planned_on(tmp_path):
    """The same point in the patient has the index of its slice in the scan, and of its plane in the coarser dose."""
    write_slices(tmp_path / "ct", VALUES, step=2.0)
    path = whole(tmp_path / "dose", "481.2", dose([4.0 * n for n in range(6)]), spacing=(2.1, 1.8))
    there = np.linalg.inv(read(tmp_path / "ct").affine) @ read(path).affine
    assert np.allclose(there, np.diag([2, 3, 2, 1]), atol=1e-6)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (dose([0.0, 1.0]), "MULTIFRAME"),
        (dose([0.0, 1, 2, 3, 4, 5], GridFrameOffsetVector=None), "MULTIFRAME"),
        (dose([0.0, 1, 2, 3, 4, 5], DoseGridScaling=None), "RESCALE"),
        (dose([0.0, 1, 2, 3, 4, 8]), "UNEVEN"),
        (dose([0.0, 1, 2, 3, 4, 5], ImagePositionPatient=None), "GEOMETRY"),
    ],
)
def test_dose_that_is_refused(tmp_path, change, expected):
    assert code(whole(tmp_path, "481.2", change)) in (expected, "GAP" if expected == "UNEVEN" else expected)


def test_real_dose_against_another_library():
    """Place by SimpleITK, which does not scale; values by pydicom."""
    sitk = pytest.importorskip("SimpleITK")
    for name in ("rtdose.dcm", "rtdose_rle.dcm", "rtdose_expb.dcm"):
        image, header = recon.read(bundled(name)), pydicom.dcmread(bundled(name))
        expected = header.pixel_array * float(header.DoseGridScaling)
        assert np.allclose(image.data.numpy(), expected, rtol=1e-6)
        assert image.data.max() > 1
        assert image.unit == "arbitrary"  # the file says RELATIVE
    other = sitk.ReadImage(str(bundled("rtdose.dcm")))
    for index in ((0, 0, 0), (9, 0, 14), (3, 8, 7)):
        assert np.allclose(
            lps(recon.read(bundled("rtdose.dcm")).affine, index), other.TransformIndexToPhysicalPoint(index)
        )


def test_doses_of_several_beams_are_images_of_their_own(tmp_path):
    for beam in (1, 2):

        def of_beam(dataset, beam=beam):
            dose([0.0, 2, 4, 6, 8, 10])(dataset)
            dataset.InstanceNumber = beam
            dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.{beam}"

        path = whole(tmp_path, "481.2", of_beam, VALUES + beam)
        path.rename(tmp_path / f"{3 - beam}.dcm")
    assert code(tmp_path) == "AMBIGUOUS"
    for beam in (1, 2):
        assert np.allclose(read(tmp_path, stack=beam).data.numpy(), (VALUES + beam) * 0.00125)
