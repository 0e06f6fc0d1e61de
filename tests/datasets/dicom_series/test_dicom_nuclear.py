"""Nuclear medicine: slices, gates, windows and detectors by the vectors of their frames."""

import numpy as np
import pytest
from pydicom.dataset import Dataset

import recon
from recon_datasets.dicom_series.scan import scan

from .whole_files import ORIENTATIONS, VALUES, code, lps, read, whole


def nuclear(kind, pointers=(), apart=4.5, place="detector", **changes):
    def change(dataset):
        dataset.Modality, dataset.ImageType = "NM", ["ORIGINAL", "PRIMARY", kind, "EMISSION"]
        detector = Dataset()
        if place == "detector":
            detector.ImageOrientationPatient = dataset.ImageOrientationPatient
            detector.ImagePositionPatient = dataset.ImagePositionPatient
        if place != "root":
            del dataset.ImageOrientationPatient, dataset.ImagePositionPatient
        dataset.DetectorInformationSequence = [detector]
        if apart is not None:
            dataset.SpacingBetweenSlices = apart
        dataset.FrameIncrementPointer = list(pointers)
        for name, value in changes.items():
            setattr(dataset, name, value)

    return change


@pytest.mark.parametrize("place", ["detector", "root"])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("direction", ORIENTATIONS)
def test_reconstructed_slices_of_nuclear_medicine(tmp_path, direction, sign, place):
    """PS3.3 C.8.4.15: slices follow one another along row x column, against it where their distance is negative."""
    order = [2, 1, 3, 6, 5, 4]
    change = nuclear("RECON TOMO", [0x00540080], sign * 4.5, place, SliceVector=order)
    orientation = ORIENTATIONS[direction]
    image = recon.read(whole(tmp_path, "20", change, orientation=orientation, spacing=(0.7, 0.9)))
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    found = {}
    for z in range(6):
        frame = next(n for n in range(6) if np.array_equal(VALUES[n], image.data[z].numpy()))
        found[frame] = lps(image.affine, (6, 4, z))
    for frame, number in enumerate(order):
        height = sign * 4.5 * (number - order[0])  # the first frame's pixel is the one whose place is told
        place_of = np.array([-10, 20, 30]) + np.cross(row, column) * height + row * 0.9 * 6 + column * 0.7 * 4
        assert np.allclose(found[frame], place_of, atol=1e-4)


@pytest.mark.parametrize("sign", [1, -1])
def test_nuclear_medicine_against_another_library(tmp_path, sign):
    sitk = pytest.importorskip("SimpleITK")
    change = nuclear("RECON TOMO", [0x00540080], sign * 4.5, SliceVector=[1, 2, 3, 4, 5, 6])
    path = whole(tmp_path, "20", change, spacing=(0.7, 0.9))
    image, other = recon.read(path), sitk.ReadImage(str(path))
    truth = sitk.GetArrayFromImage(other)
    for index in ((0, 0, 0), (6, 0, 5), (2, 4, 3)):
        place = np.array(other.TransformIndexToPhysicalPoint(index))
        ours = np.rint(np.linalg.inv(image.affine) @ [*(place * [-1, -1, 1]), 1]).astype(int)
        assert np.allclose(lps(image.affine, ours[:3]), place, atol=1e-4)
        assert image.data[ours[2], ours[1], ours[0]] == truth[index[::-1]]


def test_gated_slices_are_times(tmp_path):
    vectors = {"SliceVector": [1, 2, 1, 2, 1, 2], "TimeSlotVector": [2, 2, 1, 1, 3, 3], "RRIntervalVector": [1] * 6}
    change = nuclear("RECON GATED TOMO", [0x00540060, 0x00540070, 0x00540080], **vectors)
    image = recon.read(whole(tmp_path, "20", change))
    assert image.dims == ("t", "z", "y", "x")
    assert np.array_equal(image.data.numpy(), VALUES.reshape(3, 2, 5, 7)[[1, 0, 2]])


def test_windows_are_images_of_their_own(tmp_path):
    vectors = {"SliceVector": [1, 1, 2, 2, 3, 3], "EnergyWindowVector": [1, 2] * 3}
    path = whole(tmp_path, "20", nuclear("RECON TOMO", [0x00540010, 0x00540080], Units="BQML", **vectors))
    assert code(path) == "AMBIGUOUS"
    for window in (1, 2):
        image = read(path, stack=window)
        assert image.unit == "Bq/ml"
        assert np.array_equal(image.data.numpy(), VALUES[window - 1 :: 2])
    assert [stack.kind for stack in scan(path)[0].stacks] == ["NM window 1 axial", "NM window 2 axial"]


def test_scintigrams(tmp_path):
    """A whole body from front and back; a dynamic study of one detector."""
    path = whole(tmp_path / "a", "20", nuclear("WHOLE BODY", [0x00540020], DetectorVector=[1, 2]), VALUES[:2])
    assert code(path) == "AMBIGUOUS"
    back = read(path, stack=2)
    assert (back.dims, back.affine, back.voxel_size) == (("y", "x"), None, (0.9, 0.7))
    assert np.array_equal(back.data.numpy(), VALUES[1])
    vectors = {"PhaseVector": [2, 2, 2, 1, 1, 1], "TimeSliceVector": [1, 2, 3, 1, 2, 3]}
    image = read(whole(tmp_path / "b", "20", nuclear("DYNAMIC", [0x00540030, 0x00540100], **vectors)))
    assert image.dims == ("t", "y", "x")
    assert np.array_equal(image.data.numpy(), VALUES[[3, 4, 5, 0, 1, 2]])


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (nuclear("TOMO", [0x00540090], AngularViewVector=[1, 2, 3, 4, 5, 6]), "KIND"),
        (nuclear("SOMETHING"), "KIND"),
        (nuclear("RECON TOMO", [0x00540080]), "MULTIFRAME"),
        (nuclear("RECON TOMO", [0x00540080], SliceVector=[1, 2, 3]), "MULTIFRAME"),
        (nuclear("RECON TOMO", [0x00540080], SliceVector=[1, 2, 3, 4, 5, 5]), "MULTIFRAME"),
        (nuclear("RECON TOMO", [0x00540080], SliceVector=[1, 2, 3, 4, 5, 7]), "GAP"),
        (nuclear("RECON TOMO", [0x00540080], None, SliceVector=[1, 2, 3, 4, 5, 6]), "GEOMETRY"),
        (nuclear("RECON TOMO", [0x00540080], place="nowhere", SliceVector=[1, 2, 3, 4, 5, 6]), "GEOMETRY"),
    ],
)
def test_nuclear_medicine_that_is_refused(tmp_path, change, expected):
    assert code(whole(tmp_path, "20", change)) == expected
