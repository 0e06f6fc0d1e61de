"""Radiographs and films: planes without a place, with the spacing that the standard means."""

import numpy as np
import pytest
from pydicom.dataset import Dataset

import recon
from recon.cli import main
from recon.io.montage import montage
from recon_datasets.dicom_series.scan import scan

from .whole_files import VALUES, code, lps, plate, read, whole


@pytest.mark.parametrize("end", ["1", "1.1", "1.1.1", "1.2", "1.3", "12.1", "481.1"])
def test_a_radiograph_is_a_plane_without_a_place(tmp_path, end):
    image = recon.read(whole(tmp_path, end, plate(RescaleSlope=2, RescaleIntercept=-7), VALUES[:1]))
    assert (image.dims, image.affine, image.voxel_size, image.unit) == (("y", "x"), None, None, "arbitrary")
    assert np.array_equal(image.data.numpy(), VALUES[0] * 2.0 - 7)


@pytest.mark.parametrize(
    ("changes", "spacing", "note"),
    [
        ({"ImagerPixelSpacing": [0.2, 0.1]}, (0.1, 0.2), "of the detector"),
        ({"ImagerPixelSpacing": [0.2, 0.1], "PixelSpacing": [0.2, 0.1]}, (0.1, 0.2), "of the detector"),
        ({"ImagerPixelSpacing": [0.2, 0.1], "PixelSpacing": [0.18, 0.09]}, (0.09, 0.18), "calibrated"),
        ({"PixelSpacing": [0.18, 0.09]}, (0.09, 0.18), "calibrated"),
        (
            {"ImagerPixelSpacing": [0.2, 0.1], "EstimatedRadiographicMagnificationFactor": 1.25},
            (0.1, 0.2),
            "by about 1.25",
        ),
        ({"NominalScannedPixelSpacing": [0.3, 0.3]}, (0.3, 0.3), "film"),
        ({"ImagerPixelSpacing": [0, 0.1]}, None, None),
    ],
)
def test_spacing_of_radiographs(tmp_path, changes, spacing, note):
    """PS3.3 10.7.1.3: where both spacings stand and differ, PixelSpacing is the calibrated one."""
    image = recon.read(whole(tmp_path, "1.1", plate(**changes), VALUES[:1]))
    assert image.voxel_size == spacing
    assert note is None or any(note in text for text in image.notes)


def test_inverted_radiographs_and_their_tables(tmp_path):
    table = Dataset()
    table.LUTDescriptor, table.ModalityLUTType = [3000, 0, 16], "US"
    table["LUTDescriptor"].VR = "US"
    values = (np.arange(3000) * 7 % 4096).astype("<u2")
    table.add_new("LUTData", "OW", values.tobytes())

    def change(dataset):
        plate(PhotometricInterpretation="MONOCHROME1", ModalityLUTSequence=[table])(dataset)
        del dataset.RescaleSlope, dataset.RescaleIntercept

    image = recon.read(whole(tmp_path, "1", change, VALUES[:1]))
    assert np.array_equal(image.data.numpy(), values[VALUES[0]])
    assert any("MONOCHROME1" in note for note in image.notes)


def test_films_have_times(tmp_path):
    steady = read(whole(tmp_path / "a", "12.1", plate(FrameTime=40, FrameIncrementPointer=0x00181063)))
    assert steady.dims == ("t", "y", "x")
    assert np.array_equal(steady.data.numpy(), VALUES)
    assert steady.metadata["times_s"] == pytest.approx((0, 0.04, 0.08, 0.12, 0.16, 0.2))
    vector = plate(FrameTimeVector=[0, 100, 100, 500, 500, 500], FrameIncrementPointer=0x00181065)
    assert read(whole(tmp_path / "b", "12.2", vector)).metadata["times_s"] == pytest.approx(
        (0, 0.1, 0.2, 0.7, 1.2, 1.7)
    )
    assert code(whole(tmp_path / "c", "12.1", plate())) == "MULTIFRAME"


def test_views_of_one_series_are_never_stacked(tmp_path):
    """Two views and a copy of the first: each is chosen by its number, whatever the names."""
    for number, name in ((1, "b"), (2, "a"), (1, "copy")):

        def view(dataset, number=number):
            plate(InstanceNumber=number, ImagerPixelSpacing=[0.1, 0.1])(dataset)
            dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.{number}"

        whole(tmp_path, "1.1", view, VALUES[number - 1 : number]).rename(tmp_path / f"{name}.dcm")
    assert code(tmp_path) == "AMBIGUOUS"
    first, second = (read(tmp_path, stack=number) for number in (1, 2))
    assert np.array_equal(first.data.numpy(), VALUES[0])
    assert np.array_equal(second.data.numpy(), VALUES[1])
    assert any("twice" in note for note in first.notes)
    assert [stack.kind for stack in scan(tmp_path)[0].stacks] == ["DX radiograph"] * 2


def test_breast_tomosynthesis_has_a_place(tmp_path):
    """An enhanced image like any other."""

    def change(dataset):
        orientation, position, spacing = (
            dataset.ImageOrientationPatient,
            dataset.ImagePositionPatient,
            dataset.PixelSpacing,
        )
        plate()(dataset)
        shared = Dataset()
        shared.PlaneOrientationSequence = [Dataset()]
        shared.PlaneOrientationSequence[0].ImageOrientationPatient = orientation
        shared.PixelMeasuresSequence = [Dataset()]
        shared.PixelMeasuresSequence[0].PixelSpacing = spacing
        dataset.SharedFunctionalGroupsSequence = [shared]
        frames = []
        for number in range(6):
            frame = Dataset()
            frame.PlanePositionSequence = [Dataset()]
            frame.PlanePositionSequence[0].ImagePositionPatient = [*position[:2], position[2] + number]
            frames.append(frame)
        dataset.PerFrameFunctionalGroupsSequence = frames

    image = recon.read(whole(tmp_path, "13.1.3", change))
    assert np.array_equal(image.data.numpy(), VALUES)
    assert np.allclose(lps(image.affine, (0, 0, 5)), [-10, 20, 35])


def test_inverted_radiographs_are_drawn_inverted(tmp_path):
    """What is bright in one picture is as dark in the other."""
    pillow = pytest.importorskip("PIL.Image")
    pictures = []
    for name in ("MONOCHROME1", "MONOCHROME2"):
        path = whole(tmp_path / name, "1", plate(PhotometricInterpretation=name), VALUES[:1])
        image = read(path)
        assert image.metadata.get("photometric") == (name if name == "MONOCHROME1" else None)
        drawn = montage(image, window=(1500, 3000))
        assert (drawn.black, drawn.white) == ((3000, 0) if name == "MONOCHROME1" else (0, 3000))
        assert main(["view", str(path), "-o", str(tmp_path / f"{name}.png"), "--window", "1500", "3000"]) == 0
        pictures.append(np.asarray(pillow.open(tmp_path / f"{name}.png")).astype(int))
    assert np.abs(pictures[0] + pictures[1] - 255).max() <= 1
    assert np.ptp(pictures[0]) > 100
